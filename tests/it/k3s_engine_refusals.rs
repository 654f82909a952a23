//! What K3s's engine refuses, with the reason and with nothing half-installed, and what it puts right.

use std::fs;
use std::os::unix::fs::FileExt;

use rackhaven_proto::model::k3s::{Arch, Digest, K3sOrder, K3sSettings, K3sTask, K3sTokenFor};
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_finding::Level;
use rackhaven_tests::k3s::{Board, DoubleRelease, Engine, VERSION};
use rackhaven_tests::process::run_to_end;
use rackhaven_tests::{SmallDisk, wait_for};

use crate::k3s_engine::{first, install, joining, release};

/// The order with files that somebody changes on the way.
async fn with_bad_files(
    board: &Board,
    release: &DoubleRelease,
    settings: &K3sSettings,
    change: impl FnOnce(&std::path::Path, &mut K3sOrder),
) -> Engine {
    use prost::Message;
    let engine = board.engine(Some(release), install(settings, release), 60).unwrap();
    let place = board.agent_folder().join("order");
    let wire = v1::K3sOrder::decode(fs::read(&place).unwrap().as_slice()).unwrap();
    let mut order: K3sOrder = wire.try_into().unwrap();
    change(&board.agent_folder().join("artifacts"), &mut order);
    fs::write(&place, v1::K3sOrder::from(order).encode_to_vec()).unwrap();
    board.finish(engine).await.unwrap()
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let settings = first(false);
    let before = board.tree().unwrap();
    type Change = fn(&std::path::Path, &mut K3sOrder);
    let changes: [(Change, &str); 6] = [
        (
            |files, order| {
                let program = files.join(order.artifacts[0].sha256.to_string());
                fs::File::options().write(true).open(program).unwrap().write_all_at(b"X", 100_000).unwrap();
            },
            "its SHA-256 is ",
        ),
        (
            |files, order| {
                let program = files.join(order.artifacts[0].sha256.to_string());
                fs::File::options().write(true).open(program).unwrap().set_len(100_000).unwrap();
            },
            "the file has 100000 bytes of ",
        ),
        (
            |files, order| {
                fs::remove_file(files.join(order.artifacts[1].sha256.to_string())).unwrap();
            },
            "No such file or directory",
        ),
        (
            // A program for other processors, whole and with its own checksum.
            |files, order| {
                let artifact = &mut order.artifacts[0];
                let mut program = fs::read(files.join(artifact.sha256.to_string())).unwrap();
                let (arch, machine) =
                    if artifact.arch == Arch::Amd64 { (Arch::Arm64, 0xb7) } else { (Arch::Amd64, 0x3e) };
                program[18] = machine;
                let sum = Digest(rackhaven_pki::sha256(&program));
                fs::write(files.join(sum.to_string()), program).unwrap();
                artifact.sha256 = sum;
                order.artifacts.truncate(1);
                order.artifacts[0].arch = arch;
            },
            "which does not run on this machine",
        ),
        (
            // One whose order says something else of it.
            |files, order| {
                let artifact = &mut order.artifacts[0];
                let mut program = fs::read(files.join(artifact.sha256.to_string())).unwrap();
                program[18] = 0xf3;
                let sum = Digest(rackhaven_pki::sha256(&program));
                fs::write(files.join(sum.to_string()), program).unwrap();
                artifact.sha256 = sum;
            },
            "for processors that Rackhaven does not know",
        ),
        (
            |files, order| {
                let artifact = &mut order.artifacts[1];
                let text = b"<html>404</html>".to_vec();
                let sum = Digest(rackhaven_pki::sha256(&text));
                artifact.bytes = text.len() as u64;
                fs::write(files.join(sum.to_string()), text).unwrap();
                artifact.sha256 = sum;
            },
            "it is no images.tar.zst",
        ),
    ];
    for (number, (change, reason)) in changes.into_iter().enumerate() {
        let refused = with_bad_files(&board, &release, &settings, change).await;
        let failure = refused.report().failure;
        assert!(failure.starts_with("files: ") && failure.contains(reason), "change {number}: {failure}");
        assert_eq!(refused.steps(), ["preflight unchanged", "files failed"], "change {number}");
        assert_eq!(board.tree().unwrap(), before, "change {number}");
        assert_eq!(refused.outcome.code, Some(1));
        fs::remove_dir_all(board.agent_folder()).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_installed() {
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let settings = first(false);

    // No room for the data: seen before anything is done.
    let disk = SmallDisk::mount(&board.root().join("var/lib/rancher"), 8 << 20).unwrap();
    let before = board.tree().unwrap();
    let refused = board.order(Some(&release), install(&settings, &release)).await.unwrap();
    assert!(refused.report().failure.contains("disk: 8 MiB are free"), "{}", refused.report().failure);
    assert_eq!((refused.steps(), board.tree().unwrap()), (vec!["preflight failed".to_owned()], before));
    drop(disk);

    // No room for the program: what was placed goes, and with room the same order goes through.
    fs::remove_dir(board.root().join("var/lib/rancher")).unwrap();
    let disk = SmallDisk::mount(&board.root().join("usr/local/bin"), 40 << 20).unwrap();
    disk.fill().unwrap();
    let before = board.tree().unwrap();
    let refused = board.order(Some(&release), install(&settings, &release)).await.unwrap();
    let failure = refused.report().failure;
    assert!(failure.starts_with("program: ") && failure.contains("No space left on device"), "{failure}");
    assert_eq!(refused.steps().last().map(String::as_str), Some("undo done"));
    assert_eq!(board.tree().unwrap(), before);
    disk.make_room().unwrap();
    board.bind_own_address().unwrap();
    board.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();

    // An upgrade that does not fit leaves the one that runs as it is.
    let newer = DoubleRelease::make(&folder.path().join("newer"), "v1.32.0+k3s1").unwrap();
    disk.fill().unwrap();
    let (before, pid) = (board.read("/etc/rancher/k3s/config.yaml"), board.process("k3s.service"));
    let refused = board.order(Some(&newer), install(&settings, &newer)).await.unwrap();
    assert!(refused.report().failure.contains("No space left on device"), "{}", refused.report().failure);
    assert_eq!((board.read("/etc/rancher/k3s/config.yaml"), board.process("k3s.service")), (before, pid));
    disk.make_room().unwrap();
    board.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    assert_eq!(board.process("k3s.service"), pid);
}

#[tokio::test]
async fn what_is_anothers_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    let settings = first(false);
    for (path, word) in [
        ("/usr/local/bin/k3s", "k3s-uninstall.sh"),
        ("/etc/rancher/k3s/config.yaml", "k3s-uninstall.sh"),
        ("/var/lib/rancher/k3s/server/token", "k3s-uninstall.sh"),
        ("/etc/systemd/system/k3s-agent.service", "k3s-uninstall.sh"),
        ("/var/snap/microk8s/x", "MicroK8s"),
        ("/etc/kubernetes/kubelet.conf", "kubeadm"),
    ] {
        let board = Board::new().unwrap();
        board.put(path, "somebody's").unwrap();
        // Even what could be put right is not.
        board.put("/proc/sys/net/ipv4/ip_forward", "0\n").unwrap();
        let before = board.tree().unwrap();
        let refused = board.order(Some(&release), install(&settings, &release)).await.unwrap();
        let failure = refused.report().failure;
        assert!(failure.starts_with("preflight: other installations: ") && failure.contains(word), "{failure}");
        assert_eq!(board.tree().unwrap(), before, "{path}");
        assert_eq!(board.read("/proc/sys/net/ipv4/ip_forward"), "0\n");
        let removed = board.order(None, K3sTask::Remove).await.unwrap();
        let is_k3s = word == "k3s-uninstall.sh" && !path.contains("systemd");
        assert_eq!(removed.report().failure.contains("did not install"), is_k3s, "{}", removed.report().failure);
        assert_eq!(board.tree().unwrap(), before, "{path}");
    }
    // Programs of those names stay, and what an admin keeps beside.
    let board = Board::new().unwrap();
    board.bind_own_address().unwrap();
    board.put("/usr/local/bin/kubectl", "an admin's").unwrap();
    let before = board.tree().unwrap();
    board.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    assert_eq!(board.read("/usr/local/bin/kubectl"), "an admin's");
    // It is not made into something else.
    let agent = joining(&board, "master", "x", K3sTokenFor::Agents);
    let refused = board.order(Some(&release), install(&agent, &release)).await.unwrap();
    assert!(refused.report().failure.contains("it must leave the cluster before"), "{}", refused.report().failure);
    board.order(None, K3sTask::Remove).await.unwrap().fine().unwrap();
    assert_eq!(board.tree().unwrap(), before);
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_goes_on_when_it_can() {
    let (master, agent) = (Board::new().unwrap(), Board::new().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    master.bind_own_address().unwrap();

    // A server that is not there keeps an agent waiting for ever.
    let nobody = joining(&master, "pi-1", "not known yet", K3sTokenFor::Agents);
    let waiting = agent.engine(Some(&release), install(&nobody, &release), 2).unwrap();
    let failure = agent.finish(waiting).await.unwrap().report().failure;
    assert!(
        failure.starts_with("ready: it took longer than 2 s: k3s-agent.service is activating (start)"),
        "{failure}"
    );
    assert!(failure.contains("failed to get CA certs"), "{failure}");
    let pid = agent.process("k3s-agent.service");

    // Then it is there, with another authority than the token's.
    let done = master.order(Some(&release), install(&first(false), &release)).await.unwrap().fine().unwrap();
    let authority = done.report().access.unwrap().authority_pem;
    let waiting = agent.engine(Some(&release), install(&nobody, &release), 3).unwrap();
    let waiting = agent.finish(waiting).await.unwrap();
    let failure = waiting.report().failure;
    assert!(failure.contains("token CA hash does not match the Cluster CA certificate hash"), "{failure}");
    assert_eq!(
        (waiting.text("start").as_str(), agent.process("k3s-agent.service")),
        ("k3s-agent.service runs with all this", pid)
    );

    // With the right one it joins.
    let settings = joining(&master, "pi-1", &authority, K3sTokenFor::Agents);
    agent.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();

    // A configuration of the admin's that K3s ends with, again and again.
    agent.put("/etc/rancher/k3s/config.yaml.d/bad.yaml", "node-label+: [bad]\n").unwrap();
    let other = K3sSettings { labels: vec!["disk=hdd".parse().unwrap()], ..settings.clone() };
    let failure = agent.order(Some(&release), install(&other, &release)).await.unwrap().report().failure;
    assert!(failure.contains("k3s-agent.service ends again and again; its last words: "), "{failure}");
    assert!(failure.contains("invalid label \\\"bad\\\"") || failure.contains("invalid label"), "{failure}");
    // Mended, it comes up by itself; the order sees that.
    fs::remove_file(agent.root().join("etc/rancher/k3s/config.yaml.d/bad.yaml")).unwrap();
    agent.order(Some(&release), install(&other, &release)).await.unwrap().fine().unwrap();
    agent.put("/etc/rancher/k3s/config.yaml.d/bad.yaml", "- no map\n").unwrap();
    let failure = agent.order(Some(&release), install(&other, &release)).await.unwrap().report().failure;
    assert!(failure.contains("bad.yaml is no YAML of keys and values"), "{failure}");
}

#[tokio::test]
async fn a_raspberry_pi_is_put_right_and_booted() {
    const LINE: &str =
        "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootfstype=ext4 fsck.repair=yes rootwait";
    let board = Board::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let release = release(folder.path(), VERSION);
    board.bind_own_address().unwrap();
    board.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n").unwrap();
    board.put("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0").unwrap();
    board.put("/boot/firmware/cmdline.txt", &format!("{LINE}\n")).unwrap();
    board.put("/proc/sys/net/ipv4/ip_forward", "0\n").unwrap();
    let before = board.tree().unwrap();
    let settings = first(false);
    let check = |fix| K3sTask::Check { settings: settings.clone(), fix };
    let of = |engine: &Engine, check: &str| {
        engine.news.findings.iter().find(|finding| finding.check == check).cloned().unwrap()
    };

    let looked = board.order(None, check(false)).await.unwrap();
    assert!(looked.report().failure.starts_with("preflight: memory cgroup: "), "{}", looked.report().failure);
    let found = of(&looked, "memory cgroup");
    assert_eq!(found.level(), Level::Problem);
    assert!(found.remedy.ends_with("/boot/firmware/cmdline.txt, and boot again: cgroup_memory=1 cgroup_enable=memory"));
    assert_eq!((looked.report().needs_reboot, board.tree().unwrap()), (false, before));

    let fixed = board.order(Some(&release), install(&settings, &release)).await.unwrap();
    assert!(fixed.report().failure.contains("boot the node, and say it again"), "{}", fixed.report().failure);
    assert!(fixed.report().needs_reboot && of(&fixed, "memory cgroup").level() == Level::Fixed);
    assert_eq!(board.read("/boot/firmware/cmdline.txt"), format!("{LINE} cgroup_memory=1 cgroup_enable=memory\n"));
    assert_eq!(board.read("/proc/sys/net/ipv4/ip_forward"), "1\n");
    assert!(board.has("/etc/sysctl.d/90-rackhaven-k3s.conf") && !board.has("/usr/local/bin/k3s"));
    // Not booted yet.
    let again = board.order(Some(&release), install(&settings, &release)).await.unwrap();
    assert!(again.report().failure.contains("switches it on: boot again"), "{}", again.report().failure);

    board.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n").unwrap();
    board.order(Some(&release), install(&settings, &release)).await.unwrap().fine().unwrap();
    assert_eq!(board.read("/boot/firmware/cmdline.txt"), format!("{LINE} cgroup_memory=1 cgroup_enable=memory\n"));
}

#[tokio::test]
async fn a_look_by_hand_prints_what_is_to_be_done() {
    let board = Board::new().unwrap();
    let look = async |words: &[&str]| {
        let mut engine = board.command(rackhaven_tests::Program::K3s.path().unwrap());
        engine.args(["check", "--root"]).arg(board.root()).args(words);
        run_to_end(engine).await.unwrap()
    };
    let good = look(&["--role", "server"]).await;
    assert!(good.code == Some(0) && good.out.contains("ok       memory cgroup          on\n"), "{good:?}");
    board.put("/proc/meminfo", "MemTotal: 400000 kB\n").unwrap();
    board.put("/proc/net/route", "Iface\n").unwrap();
    let bad = look(&["--role", "server"]).await;
    assert_eq!(bad.code, Some(1));
    assert!(bad.out.contains("PROBLEM  default route"), "{}", bad.out);
    assert!(bad.out.contains("-> make it an agent, or use a larger board"), "{}", bad.out);
    // The engine that works keeps others out.
    let release_folder = tempfile::tempdir().unwrap();
    let release = release(release_folder.path(), VERSION);
    board.put("/proc/meminfo", "MemTotal: 4000000 kB\n").unwrap();
    board.put("/proc/net/route", "Iface\neth0\t00000000\t0\t3\t0\t0\t0\t00000000\n").unwrap();
    let nobody = joining(&board, "pi-1", "x", K3sTokenFor::Agents);
    let engine = board.engine(Some(&release), install(&nobody, &release), 600).unwrap();
    let mut first = rackhaven_tests::process::Daemon::start("engine", engine, release_folder.path()).unwrap();
    wait_for("the engine at work", async || Ok(board.status().filter(|news| news.steps.len() > 3))).await.unwrap();
    let second = board.order(None, K3sTask::Remove).await.unwrap();
    assert_eq!(second.report().failure, "another rackhaven-k3s is at work here");
    // Asked to stop, it says so in its report.
    first.stop().await.unwrap();
    let wire = fs::read(board.agent_folder().join("result")).unwrap();
    let news = <v1::K3sNews as prost::Message>::decode(wire.as_slice()).unwrap();
    assert!(news.report.unwrap().failure.contains("stop"), "{:?}", news.steps);
}
