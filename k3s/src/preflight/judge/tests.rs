use rackhaven_proto::model::k3s::K3sRole;

use super::super::facts::{Facts, Module};
use super::super::{Fix, Level, Purpose};
use super::judge;

const ROUTE: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";

fn agent() -> Purpose {
    Purpose {
        role: K3sRole::Agent,
        embedded_etcd: false,
        node_ips: vec![],
        flannel_iface: None,
        artifact_bytes: 100 << 20,
        name_refused: None,
    }
}

fn server() -> Purpose {
    Purpose { role: K3sRole::Server, ..agent() }
}

fn good() -> Facts {
    Facts {
        controllers: "cpuset cpu io memory pids\n".to_owned(),
        modules: vec![("br_netfilter", Module::Loaded)],
        forward: "1\n".to_owned(),
        routes: (ROUTE.to_owned(), String::new()),
        now_unix_s: 1_767_225_600,
        free_bytes: Some(20 << 30),
        meminfo: "MemTotal:        4000000 kB\n".to_owned(),
        swaps: "Filename Type Size\n/dev/zram0 partition 1\n".to_owned(),
        interfaces: vec!["eth0".to_owned(), "lo".to_owned()],
        ..Facts::default()
    }
}

fn listens(port: u16, state: &str) -> String {
    format!("  sl  local_address rem_address   st\n   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000\n")
}

/// What is not well, in words.
fn told(facts: &Facts, purpose: &Purpose) -> Vec<String> {
    let bad = judge(facts, purpose).into_iter().filter(|finding| finding.level != Level::Ok);
    bad.map(|finding| {
        let level = if finding.level == Level::Problem { "problem" } else { "warning" };
        format!("{level} {}: {} -> {}", finding.check, finding.text, finding.remedy)
    })
    .collect()
}

#[test]
fn nothing_is_said_of_a_good_node() {
    assert_eq!(told(&good(), &agent()), Vec::<String>::new());
    assert_eq!(told(&good(), &server()), Vec::<String>::new());
    let of_v1 = Facts { controllers: String::new(), cgroups: "#subsys\nmemory\t8\t101\t1\n".to_owned(), ..good() };
    assert_eq!(told(&of_v1, &agent()), Vec::<String>::new());
}

#[test]
fn what_is_found_golden() {
    type Change = fn(&mut Facts, &mut Purpose);
    let table: &[(Change, &str)] = &[
        (
            |facts, _| {
                facts.controllers = "cpu pids".to_owned();
                facts.cmdline = Some(("/boot/firmware/cmdline.txt".to_owned(), b"root=/dev/x rootwait\n".to_vec()));
            },
            "problem memory cgroup: the kernel does not account for memory: no pod would start -> append to the single \
             line of /boot/firmware/cmdline.txt, and boot again: cgroup_memory=1 cgroup_enable=memory",
        ),
        (
            |facts, _| {
                facts.controllers = "cpu pids".to_owned();
                facts.cmdline =
                    Some(("/boot/cmdline.txt".to_owned(), b"x cgroup_memory=1 cgroup_enable=memory\n".to_vec()));
            },
            "problem memory cgroup: the kernel does not account for memory: no pod would start -> /boot/cmdline.txt \
             switches it on: boot again",
        ),
        (
            |facts, _| {
                facts.controllers.clear();
                facts.cgroups = "memory\t8\t101\t0\n".to_owned();
                facts.is_armbian = true;
            },
            "problem memory cgroup: the kernel does not account for memory: no pod would start -> write \
             extraargs=cgroup_enable=memory into /boot/armbianEnv.txt, and boot again",
        ),
        (
            |facts, _| facts.modules = vec![("vxlan", Module::ThatCanBe)],
            "warning module vxlan: is not loaded -> modprobe vxlan",
        ),
        (
            |facts, _| {
                facts.modules = vec![("vxlan", Module::Missing)];
                facts.os = "NAME=\"Ubuntu\"\nID=ubuntu\n".to_owned();
                facts.is_raspberry = true;
            },
            "problem module vxlan: this kernel does not have it -> apt install linux-modules-extra-raspi, and boot again",
        ),
        (
            |facts, _| facts.forward = "0\n".to_owned(),
            "warning IP forwarding: is off; K3s switches it on when it starts -> sysctl -w net.ipv4.ip_forward=1",
        ),
        (
            |facts, _| facts.tcp = listens(10250, "0A"),
            "problem ports: in use by another program: 10250/tcp -> find it with ss --listening --tcp --udp --processes \
             --numeric, and stop it",
        ),
        (
            |facts, _| facts.udp = listens(8472, "07"),
            "problem ports: in use by another program: 8472/udp -> find it with ss --listening --tcp --udp --processes \
             --numeric, and stop it",
        ),
        (
            |facts, _| facts.now_unix_s = 3600,
            "problem clock: is before 2020: no certificate would be valid -> set it, and let it follow a time server: \
             timedatectl set-ntp true",
        ),
        (
            |facts, _| facts.is_synchronised = Some(false),
            "warning clock: follows no time server -> timedatectl set-ntp true",
        ),
        (
            |facts, _| facts.free_bytes = Some(1 << 30),
            "problem disk: 1024 MiB are free for /var/lib/rancher -> make room: K3s needs 1324 MiB",
        ),
        (
            |facts, _| facts.free_bytes = Some(2 << 30),
            "warning disk: 2048 MiB are free for /var/lib/rancher -> make room: pods are evicted when a disk is nearly full",
        ),
        (
            |facts, _| facts.swaps.push_str("/var/swap file 100 0 -2\n"),
            "warning swap: on /var/swap: pods' limits of memory do not hold there, and cards wear out -> swapoff --all, \
             and remove it from /etc/fstab or disable dphys-swapfile.service",
        ),
        (
            |facts, _| facts.meminfo = "MemTotal: 400000 kB\n".to_owned(),
            "warning memory: 390 MiB are little: hardly a pod fits beside K3s -> ",
        ),
        (
            |_, purpose| purpose.flannel_iface = Some("zt0".to_owned()),
            "problem interface: zt0 is not here; there are eth0, lo -> bring zt0 up (the VPN?), or name another one",
        ),
        (
            |facts, purpose| {
                purpose.node_ips = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
                facts.addresses = Some(vec!["10.0.0.1".parse().unwrap()]);
            },
            "problem addresses: 10.0.0.2 is no address of this node -> name an address that ip address shows here",
        ),
        (
            |facts, _| facts.k3s = vec!["/usr/local/bin/k3s".to_owned()],
            "problem other installations: K3s is here that Rackhaven did not install: /usr/local/bin/k3s -> remove it with \
             /usr/local/bin/k3s-uninstall.sh, or k3s-agent-uninstall.sh on an agent, and what is left of these files",
        ),
        (
            |facts, _| facts.others = vec![("MicroK8s", "/snap/bin/microk8s")],
            "problem other installations: MicroK8s is here: /snap/bin/microk8s -> remove it: two of them cannot run on one \
             node",
        ),
        (
            |facts, _| drop(facts.admins.insert("/d/a.yaml".to_owned(), b"node-name: x\ntls-san+: [y]\n".to_vec())),
            "warning admin's configuration: /d/a.yaml overrides what Rackhaven sets: node-name -> remove it from /d/a.yaml, \
             unless it is meant",
        ),
        (
            |facts, _| drop(facts.admins.insert("/d/a.yaml".to_owned(), b"data-dir: /mnt\n".to_vec())),
            "problem admin's configuration: /d/a.yaml sets data-dir: Rackhaven knows K3s in /var/lib/rancher/k3s only -> \
             remove data-dir from /d/a.yaml; mount a disk at /var/lib/rancher instead",
        ),
        (
            |facts, _| drop(facts.admins.insert("/d/a.yaml".to_owned(), b"- a\n".to_vec())),
            "problem admin's configuration: /d/a.yaml is no YAML of keys and values: K3s would not start -> mend /d/a.yaml",
        ),
    ];
    for (change, expected) in table {
        let (mut facts, mut purpose) = (good(), agent());
        change(&mut facts, &mut purpose);
        assert_eq!(told(&facts, &purpose), [*expected]);
    }
    let none = Facts { routes: ("Iface\n".to_owned(), String::new()), ..good() };
    assert!(told(&none, &agent())[0].starts_with("problem default route: there is none"));
    let default_v6 = format!("{} 00 {} 00 fe80 1 1 1 1 eth0\n", "0".repeat(32), "0".repeat(32));
    let of_v6 = Facts { routes: (String::new(), default_v6.clone()), ..good() };
    assert_eq!(told(&of_v6, &agent()), Vec::<String>::new());
    let refusing = Facts { routes: (String::new(), default_v6.replace("eth0", "lo")), ..good() };
    assert_eq!(told(&refusing, &agent()).len(), 1);
}

#[test]
fn servers_need_more() {
    let small = Facts { meminfo: "MemTotal: 400000 kB\n".to_owned(), ..good() };
    assert!(told(&small, &server())[0].starts_with("problem memory: 390 MiB are too little for a server"));
    let api = Facts { tcp: listens(6443, "0A"), ..good() };
    assert_eq!(told(&api, &agent()), Vec::<String>::new());
    assert!(told(&api, &server())[0].starts_with("problem ports: in use by another program: 6443/tcp"));
    // A connection is no listener.
    assert_eq!(told(&Facts { tcp: listens(6443, "01"), ..good() }, &server()), Vec::<String>::new());
    // The admin has another port.
    let mut moved = api.clone();
    moved.admins.insert("/d/a.yaml".to_owned(), b"https-listen-port: 16443\n".to_vec());
    assert_eq!(told(&moved, &server()), Vec::<String>::new());
    let etcd = Purpose { embedded_etcd: true, ..server() };
    assert!(told(&Facts { tcp: listens(2380, "0A"), ..good() }, &etcd)[0].contains("2380/tcp"));
    let card = Facts { is_on_card: true, ..good() };
    assert_eq!((told(&card, &server()).len(), told(&card, &etcd).len()), (0, 1));
    // Ours holds them itself.
    let ours = Facts { is_ours: true, runs: true, k3s: vec!["/usr/local/bin/k3s".to_owned()], ..api };
    assert_eq!(told(&ours, &etcd), Vec::<String>::new());
}

#[test]
fn what_can_be_put_right() {
    let mut facts = good();
    facts.controllers.clear();
    facts.cmdline = Some(("/boot/cmdline.txt".to_owned(), b"x\n".to_vec()));
    facts.modules = vec![("overlay", Module::ThatCanBe), ("vxlan", Module::Missing)];
    facts.forward = "0".to_owned();
    let fixes: Vec<Fix> = judge(&facts, &agent()).into_iter().filter_map(|finding| finding.fix).collect();
    assert_eq!(fixes, [Fix::Cmdline, Fix::Module("overlay"), Fix::Forward]);
}
