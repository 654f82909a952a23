//! What is looked at of a node, as it was read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::child::{SHORT, command, run};
use crate::clock::unix_s;
use crate::order::Work;
use crate::paths::{CONFIG, CONFIG_D, DATA, UNITS};
use crate::record::Record;
use crate::units;

use super::Purpose;

/// Modules of the kernel that K3s needs.
pub(super) const MODULES: [&str; 3] = ["br_netfilter", "overlay", "vxlan"];
/// Where the line of a Raspberry Pi's firmware is; the first that is there.
const CMDLINES: [&str; 2] = ["/boot/firmware/cmdline.txt", "/boot/cmdline.txt"];
/// What tells of another K3s.
const K3S_FILES: [&str; 5] = ["/usr/local/bin/k3s", "/usr/bin/k3s", "/opt/bin/k3s", CONFIG, "/etc/init.d/k3s"];
const K3S_UNITS: [&str; 2] = ["k3s.service", "k3s-agent.service"];
/// What tells of another Kubernetes.
pub(super) const OTHERS: [(&str, &str); 8] = [
    ("RKE2", "/usr/local/bin/rke2"),
    ("RKE2", "/var/lib/rancher/rke2"),
    ("MicroK8s", "/snap/bin/microk8s"),
    ("MicroK8s", "/var/snap/microk8s"),
    ("k0s", "/var/lib/k0s"),
    ("kubeadm", "/etc/kubernetes/kubelet.conf"),
    ("kubeadm", "/etc/kubernetes/admin.conf"),
    ("kubelet", "/usr/bin/kubelet"),
];

/// How a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Module {
    Loaded,
    /// It is not, but can be.
    ThatCanBe,
    Missing,
    /// The kernel's modules are not here: this may be a container.
    Unknown,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// `/sys/fs/cgroup/cgroup.controllers`; empty where cgroups are of the first version.
    pub(super) controllers: String,
    /// `/proc/cgroups`.
    pub(super) cgroups: String,
    /// Where the firmware's line is, and what it is.
    pub(super) cmdline: Option<(String, Vec<u8>)>,
    /// Whether Armbian's settings are here.
    pub(super) is_armbian: bool,
    /// `/etc/os-release`.
    pub(super) os: String,
    /// Whether the board is a Raspberry Pi.
    pub(super) is_raspberry: bool,
    pub(super) modules: Vec<(&'static str, Module)>,
    /// `/proc/sys/net/ipv4/ip_forward`.
    pub(super) forward: String,
    /// `/proc/net/route` and `/proc/net/ipv6_route`.
    pub(super) routes: (String, String),
    /// `/proc/net/{tcp,tcp6,udp,udp6}`.
    pub(super) tcp: String,
    pub(super) udp: String,
    pub(super) now_unix_s: u64,
    /// Whether the clock follows another; none where nobody tells.
    pub(super) is_synchronised: Option<bool>,
    /// Free for root in the file system of K3s's data, bytes.
    pub(super) free_bytes: Option<u64>,
    /// `/proc/swaps` and `/proc/meminfo`.
    pub(super) swaps: String,
    pub(super) meminfo: String,
    /// Whether K3s's data would be on an SD card.
    pub(super) is_on_card: bool,
    /// Names of network interfaces.
    pub(super) interfaces: Vec<String>,
    /// Addresses of this machine; none where nobody tells.
    pub(super) addresses: Option<Vec<IpAddr>>,
    /// The files that tell of a K3s.
    pub(super) k3s: Vec<String>,
    /// Other distributions, with the file that tells.
    pub(super) others: Vec<(&'static str, &'static str)>,
    /// Whether the K3s here is ours, and runs.
    pub(super) is_ours: bool,
    pub(super) runs: bool,
    /// The admin's configuration: files, and what is in them.
    pub(super) admins: BTreeMap<String, Vec<u8>>,
}

impl Facts {
    pub(super) fn read(work: &Work, purpose: &Purpose) -> anyhow::Result<Self> {
        let root = work.root;
        let is_ours = Record::load(root)?.is_some();
        let cmdline =
            CMDLINES.into_iter().find_map(|path| root.read(path).ok().flatten().map(|bytes| (path.to_owned(), bytes)));
        let mut k3s: Vec<String> =
            K3S_FILES.iter().filter(|path| root.is_there(path)).map(ToString::to_string).collect();
        let units = K3S_UNITS.iter().map(|unit| format!("{UNITS}/{unit}"));
        k3s.extend(units.filter(|path| root.is_there(path)));
        if !root.names(DATA).is_empty() {
            k3s.push(DATA.to_owned());
        }
        let mut others: Vec<_> = OTHERS.into_iter().filter(|(_, path)| root.is_there(path)).collect();
        if !is_ours && k3s.is_empty() && !root.names("/var/lib/kubelet").is_empty() {
            others.push(("kubelet", "/var/lib/kubelet"));
        }
        let names = root.names(CONFIG_D);
        let admins = names.iter().filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
        let admins = admins.map(|name| format!("{CONFIG_D}/{name}"));
        Ok(Self {
            controllers: root.told("/sys/fs/cgroup/cgroup.controllers"),
            cgroups: root.told("/proc/cgroups"),
            cmdline,
            is_armbian: root.is_there("/boot/armbianEnv.txt"),
            os: root.told("/etc/os-release"),
            is_raspberry: root.told("/proc/device-tree/model").contains("Raspberry Pi"),
            modules: MODULES.into_iter().map(|name| (name, module(work, name))).collect(),
            forward: root.told("/proc/sys/net/ipv4/ip_forward"),
            routes: (root.told("/proc/net/route"), root.told("/proc/net/ipv6_route")),
            tcp: root.told("/proc/net/tcp") + &root.told("/proc/net/tcp6"),
            udp: root.told("/proc/net/udp") + &root.told("/proc/net/udp6"),
            now_unix_s: unix_s(),
            is_synchronised: is_synchronised(work),
            free_bytes: free_bytes(work),
            swaps: root.told("/proc/swaps"),
            meminfo: root.told("/proc/meminfo"),
            is_on_card: is_on_card(work),
            interfaces: root.names("/sys/class/net"),
            addresses: if purpose.node_ips.is_empty() { None } else { addresses(work) },
            k3s,
            others,
            is_ours,
            runs: is_ours && units::show(purpose.role.unit(), work.stop).is_ok_and(|state| !state.is_down()),
            admins: admins.map(|path| (path.clone(), root.read(&path).ok().flatten().unwrap_or_default())).collect(),
        })
    }
}

fn module(work: &Work, name: &str) -> Module {
    let loaded = work.root.told("/proc/modules").lines().any(|line| line.split(' ').next() == Some(name));
    if loaded || work.root.is_there(&format!("/sys/module/{name}")) {
        return Module::Loaded;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if !work.root.is_there(&format!("/lib/modules/{release}")) {
        return Module::Unknown;
    }
    let mut modprobe = command("modprobe");
    modprobe.args(["--dry-run", "--quiet", name]);
    match run(modprobe, b"", SHORT, work.stop) {
        Ok(ended) if ended.is_fine() => Module::ThatCanBe,
        Ok(_) => Module::Missing,
        Err(_) => Module::Unknown,
    }
}

fn is_synchronised(work: &Work) -> Option<bool> {
    let mut timedatectl = command("timedatectl");
    timedatectl.args(["show", "--property=NTPSynchronized", "--value"]);
    match run(timedatectl, b"", SHORT, work.stop).ok()?.text().trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn free_bytes(work: &Work) -> Option<u64> {
    let data = work.root.at(DATA);
    let there = data.ancestors().find(|folder| folder.exists())?;
    let free = nix::sys::statvfs::statvfs(there).ok()?;
    // The types differ between processors.
    #[allow(clippy::useless_conversion, reason = "not on each of them")]
    Some(u64::from(free.blocks_available()).saturating_mul(u64::from(free.fragment_size())))
}

/// The disk below K3s's data is named as SD cards are, and says that it is one.
fn is_on_card(work: &Work) -> bool {
    let mounts = work.root.told("/proc/self/mountinfo");
    let source = |line: &str| -> Option<(String, String)> {
        let (before, after) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?;
        let device = after.split(' ').nth(1)?;
        (DATA == place || DATA.starts_with(&format!("{}/", place.trim_end_matches('/'))))
            .then(|| (place.to_owned(), device.to_owned()))
    };
    let below = mounts.lines().filter_map(source).max_by_key(|(place, _)| place.len());
    let Some(name) = below.and_then(|(_, device)| device.strip_prefix("/dev/").map(str::to_owned)) else {
        return false;
    };
    let Some(disk) = name.split_once('p').map(|(disk, _)| disk).filter(|disk| disk.starts_with("mmcblk")) else {
        return false;
    };
    work.root.told(&format!("/sys/block/{disk}/device/type")).trim() != "MMC"
}

fn addresses(work: &Work) -> Option<Vec<IpAddr>> {
    let mut ip = command("ip");
    ip.args(["-json", "address", "show"]);
    let told = run(ip, b"", SHORT, work.stop).ok()?.fine("ip").ok()?;
    let links: serde_json::Value = serde_json::from_slice(&told.output).ok()?;
    let of_link = |link: &serde_json::Value| -> Vec<IpAddr> {
        let all = link.get("addr_info").and_then(serde_json::Value::as_array);
        let local = |info: &serde_json::Value| info.get("local")?.as_str()?.parse().ok();
        all.into_iter().flatten().filter_map(local).collect()
    };
    Some(links.as_array()?.iter().flat_map(of_link).collect())
}
