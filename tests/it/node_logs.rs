//! A node's journal, read from afar: real journal files, the real journalctl.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::process::{command, run_to_end};
use rackhaven_tests::{Agent, Fleet, wait_until};

/// A node with a journal of its own.
struct Node {
    fleet: Fleet,
    pi: Agent,
    journal: PathBuf,
}

/// 2026-11-21 20:14:57 UTC, microseconds.
const BEGIN_US: u64 = 1_795_292_097_000_000;

impl Node {
    async fn start() -> Self {
        let fleet = Fleet::start().await.unwrap();
        let mut pi = fleet.machine("pi-1");
        let token = fleet.invite("--name pi-1").await.unwrap();
        assert_eq!(pi.join(&fleet.endpoint(), &token, "").await.unwrap().code, Some(0));
        let journal = fleet.folder().join("journal");
        fs::create_dir(&journal).unwrap();
        let program = fleet.folder().join("journalctl");
        fs::write(&program, format!("#!/bin/sh\nexec journalctl -D {} \"$@\"\n", journal.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        pi.settings.set("programs.journalctl", serde_json::Value::from(program.display().to_string()));
        pi.start().unwrap();
        fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
        Self { fleet, pi, journal }
    }

    /// Lines as the journal's export format has them (journal-export-formats.md), each a second after the one before.
    async fn write(&self, from: u64, lines: impl IntoIterator<Item = (&str, u8, String)>) {
        let mut text = Vec::new();
        for (number, (unit, priority, message)) in lines.into_iter().enumerate() {
            let time_us = BEGIN_US + (from + number as u64) * 1_000_000;
            text.extend(
                format!(
                    "__REALTIME_TIMESTAMP={time_us}\n__MONOTONIC_TIMESTAMP={time_us}\nPRIORITY={priority}\n\
                     _BOOT_ID=5c33fbc0b2e84b1f8c1b1d2f3a4b5c6d\n_MACHINE_ID=1c33fbc0b2e84b1f8c1b1d2f3a4b5c6d\n\
                     SYSLOG_IDENTIFIER={unit}\n_SYSTEMD_UNIT={unit}.service\n_PID=77\nMESSAGE\n"
                )
                .into_bytes(),
            );
            text.extend((message.len() as u64).to_le_bytes());
            text.extend(message.into_bytes());
            text.extend(b"\n\n");
        }
        let export = self.fleet.folder().join("export");
        fs::write(&export, text).unwrap();
        let mut remote = command("/lib/systemd/systemd-journal-remote");
        remote.arg("-o").arg(self.journal.join("system.journal")).arg(&export);
        let written = run_to_end(remote).await.unwrap();
        assert_eq!(written.code, Some(0), "{}", written.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_wrote_is_shown_chosen_and_followed() {
    let node = Node::start().await;
    let line = |message: &str| message.to_owned();
    let lines = [
        ("ssh", 6, line("Accepted publickey")),
        ("k3s", 3, line("etcd is slow")),
        ("k3s", 6, line("two\nlines, and \u{1b}[2Jan escape")),
    ];
    node.write(0, lines).await;
    let ctl = node.fleet.ctl().with_variable("TZ", "UTC");
    assert_eq!(
        ctl.ok("node logs pi-1").await.unwrap(),
        "11-21 20:14:57 ssh[77]: Accepted publickey\n\
         11-21 20:14:58 k3s[77]: etcd is slow\n\
         11-21 20:14:59 k3s[77]: two lines, and \u{fffd}[2Jan escape\n"
    );
    assert_eq!(ctl.ok("node logs pi-1 -u k3s -p err").await.unwrap(), "11-21 20:14:58 k3s[77]: etcd is slow\n");
    assert_eq!(ctl.ok("node logs pi-1 -n 1 -u ss*").await.unwrap(), "11-21 20:14:57 ssh[77]: Accepted publickey\n");
    let rows = ctl.json_lines("node logs pi-1 -u ssh").await.unwrap();
    assert_eq!(
        rows,
        [serde_json::json!({ "time": "2026-11-21T20:14:57Z", "priority": "info", "unit": "ssh.service",
            "identifier": "ssh", "pid": 77, "message": "Accepted publickey" })]
    );
    let none = ctl.run("node logs pi-1 -u nosuch").await.unwrap();
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("No lines."), "{}", none.err);
    // The journal's last entry may be of another day, so that --since is only asked for what is surely within it.
    assert_eq!(ctl.ok("node logs pi-1 --since 36500d").await.unwrap().lines().count(), 3);

    let mut follower = ctl.start("node logs pi-1 --follow", node.fleet.folder()).unwrap();
    wait_until("what there is", async || follower.output().lines().count() == 3).await.unwrap();
    node.write(3, [("k3s", 4, line("what comes later"))]).await;
    wait_until("what comes", async || follower.output().ends_with("20:15:00 k3s[77]: what comes later\n"))
        .await
        .unwrap();
    // The reader of the journal ends with the one who reads.
    let journalctl = format!("journalctl\0-D\0{}", node.journal.display());
    let readers = || {
        let all =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        all.filter(|line| String::from_utf8_lossy(line).starts_with(&journalctl)).count()
    };
    assert_eq!(readers(), 1);
    follower.kill().await.unwrap();
    wait_until("the end of journalctl", async || readers() == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_comes_whole_and_a_slow_reader_holds_nothing_up() {
    let node = Node::start().await;
    const COUNT: u64 = 20_000;
    let filler = "x".repeat(200);
    node.write(0, (0..COUNT).map(|number| ("k3s", 6, format!("{number} {filler}")))).await;
    let ctl = node.fleet.ctl();
    let rows = ctl.json_lines("node logs pi-1 --lines 100000").await.unwrap();
    let numbers = rows.iter().map(|row| row["message"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap());
    assert_eq!(numbers.collect::<Vec<u64>>(), (0..COUNT).collect::<Vec<_>>());
    // Four that read nothing of what they asked for.
    let slow: Vec<_> = (0..4)
        .map(|number| {
            let folder = node.fleet.folder().join(number.to_string());
            fs::create_dir(&folder).unwrap();
            ctl.start("node logs pi-1 --lines 100000 --follow", &folder).unwrap()
        })
        .collect();
    for reader in &slow {
        wait_until("a reader to have begun", async || !reader.output().is_empty()).await.unwrap();
        reader.signal(nix::sys::signal::Signal::SIGSTOP).unwrap();
    }
    let fifth = ctl.fails("node logs pi-1", 1).await.unwrap();
    assert!(fifth.err.contains("too many logs are read already"), "{}", fifth.err);
    let before = node.fleet.events("pi-1", "node.suspect").await.unwrap().len();
    let heard = async || node.fleet.client().node("pi-1").await.unwrap().sample.map_or(0, |sample| sample.sequence);
    let first = heard().await;
    // For longer than it takes to count as down.
    wait_until("samples", async || heard().await >= first + 15).await.unwrap();
    assert_eq!(node.fleet.events("pi-1", "node.suspect").await.unwrap().len(), before);
    assert!(node.fleet.events("pi-1", "node.down").await.unwrap().is_empty());
    drop(slow);
    wait_until("room", async || ctl.run("node logs pi-1 -n 1").await.is_ok_and(|one| one.code == Some(0)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_wants_a_role_is_audited_and_says_why_it_cannot() {
    let mut node = Node::start().await;
    node.write(0, [("ssh", 6, "secret".to_owned())]).await;
    let ctl = node.fleet.ctl();
    let home = node.fleet.folder().join("vera");
    let viewer = ctl.another("vera", "viewer", &node.fleet.endpoint(), &home).await.unwrap();
    let refused = viewer.fails("node logs pi-1", 5).await.unwrap();
    assert!(refused.err.contains("Logs/Read needs the role operator; vera is viewer"), "{}", refused.err);
    ctl.ok("node logs pi-1 -u ssh --since 36500d").await.unwrap();
    let read =
        node.fleet.wait_for_audit("the reading", |record| record.action == "Logs/Read" && record.outcome == "ok");
    assert_eq!(read.await.unwrap().target, "pi-1: unit=ssh.service since=3153600000s".replace(".service", ""));

    ctl.fails("node logs pi-1 -u --flush", 2).await.unwrap();
    let unknown = ctl.fails("node logs pi-9", 1).await.unwrap();
    assert!(unknown.err.contains("there is no node pi-9"), "{}", unknown.err);
    // A journal that cannot be read: the reason comes from the node.
    fs::write(node.fleet.folder().join("journalctl"), "#!/bin/sh\necho 'No journal files were found.' >&2\nexit 1\n")
        .unwrap();
    let broken = ctl.fails("node logs pi-1", 1).await.unwrap();
    assert!(broken.err.contains("No journal files were found."), "{}", broken.err);
    fs::remove_file(node.fleet.folder().join("journalctl")).unwrap();
    let missing = ctl.fails("node logs pi-1", 1).await.unwrap();
    assert!(missing.err.contains("No such file or directory"), "{}", missing.err);

    // A node that goes in the midst of it, and one that is away.
    let mut follower = ctl.start("node logs pi-1 --follow", node.fleet.folder()).unwrap();
    fs::write(node.fleet.folder().join("journalctl"), "#!/bin/sh\nexec sleep 1000\n").unwrap();
    let _ = follower.ended().await.unwrap();
    fs::set_permissions(node.fleet.folder().join("journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut follower = ctl.start("node logs pi-1 --follow", node.fleet.folder()).unwrap();
    let audited = async || {
        let records = ctl.json_lines("audit").await.unwrap();
        records.iter().filter(|record| record["target"].as_str().is_some_and(|text| text.ends_with(" follow"))).count()
    };
    wait_until("both to be asked for", async || audited().await == 2).await.unwrap();
    node.pi.kill().await.unwrap();
    assert!(!follower.ended().await.unwrap().success());
    assert!(follower.log().contains("pi-1"), "{}", follower.log());
    node.fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let away = ctl.fails("node logs pi-1", 4).await.unwrap();
    assert!(away.err.contains("pi-1 is not connected"), "{}", away.err);
}
