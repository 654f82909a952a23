//! What follows from what was read: one function a check, all of them pure.

use std::net::IpAddr;

use super::admins::{admins, admins_port};
use super::boot::with_memory;
use super::facts::{Facts, Module};
use super::{Finding, Fix, Purpose};

/// 2020-01-01, seconds since 1970-01-01 UTC: no clock that is right is before.
const NO_TIME_BEFORE_UNIX_S: u64 = 1_577_836_800;
/// A server with less memory does not run, bytes; an agent runs badly with it.
const LEAST_MEMORY_BYTES: u64 = 480 << 20;
/// A server with less memory runs badly, bytes.
const SERVER_MEMORY_BYTES: u64 = 1800 << 20;
/// Room for what K3s unpacks and keeps, besides its images, bytes.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// With less room it is soon full, bytes.
const GOOD_FREE_BYTES: u64 = 4 << 30;

/// Everything that is looked at, in the order in which it is shown.
pub(super) fn judge(facts: &Facts, purpose: &Purpose) -> Vec<Finding> {
    let mut found = vec![others(facts), memory_cgroup(facts)];
    found.extend(facts.modules.iter().map(|(name, state)| module(facts, name, *state)));
    found.extend([forward(facts), route(facts), ports(facts, purpose), clock(facts), disk(facts, purpose)]);
    found.extend([memory(facts, purpose)]);
    found.extend(swap(facts));
    found.extend(card(facts, purpose));
    found.extend(interface(facts, purpose));
    found.extend(addresses(facts, purpose));
    found.extend(node_name(purpose));
    found.extend(admins(facts));
    found
}

fn others(facts: &Facts) -> Finding {
    let check = "other installations";
    if !facts.is_ours && !facts.k3s.is_empty() {
        let text = format!("K3s is here that Rackhaven did not install: {}", facts.k3s.join(", "));
        let remedy = "remove it with /usr/local/bin/k3s-uninstall.sh, or k3s-agent-uninstall.sh on an agent, and what is left of these files";
        return Finding::problem(check, text, remedy);
    }
    if let Some((name, path)) = facts.others.first() {
        return Finding::problem(
            check,
            format!("{name} is here: {path}"),
            "remove it: two of them cannot run on one node",
        );
    }
    Finding::ok(check, if facts.is_ours { "K3s is here, Rackhaven's" } else { "none" })
}

fn memory_cgroup(facts: &Facts) -> Finding {
    let check = "memory cgroup";
    let of_v2 = facts.controllers.split_ascii_whitespace().any(|word| word == "memory");
    let of_v1 = facts.cgroups.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.first() == Some(&"memory") && words.last() == Some(&"1")
    });
    if of_v2 || (facts.controllers.is_empty() && of_v1) {
        return Finding::ok(check, "on");
    }
    let off = "the kernel does not account for memory: no pod would start";
    match &facts.cmdline {
        Some((path, line)) => match with_memory(line) {
            Some((_, added)) => {
                let remedy = format!("append to the single line of {path}, and boot again: {added}");
                Finding { fix: Some(Fix::Cmdline), ..Finding::problem(check, off, remedy) }
            }
            None => Finding::problem(check, off, format!("{path} switches it on: boot again")),
        },
        None if facts.is_armbian => {
            let remedy = "write extraargs=cgroup_enable=memory into /boot/armbianEnv.txt, and boot again";
            Finding::problem(check, off, remedy)
        }
        None => Finding::problem(
            check,
            off,
            "give the kernel cgroup_enable=memory in its boot loader's settings, and boot again",
        ),
    }
}

fn module(facts: &Facts, name: &'static str, state: Module) -> Finding {
    let check = match name {
        "br_netfilter" => "module br_netfilter",
        "overlay" => "module overlay",
        _ => "module vxlan",
    };
    match state {
        Module::Loaded => Finding::ok(check, "there"),
        Module::ThatCanBe => Finding {
            fix: Some(Fix::Module(name)),
            ..Finding::warning(check, "is not loaded", format!("modprobe {name}"))
        },
        Module::Unknown => Finding::warning(check, "the kernel's modules are not here: nobody can tell", ""),
        Module::Missing => {
            let is_ubuntu = facts.os.lines().any(|line| line.trim_matches('"') == "ID=ubuntu");
            let remedy = match (is_ubuntu, facts.is_raspberry) {
                (true, true) => "apt install linux-modules-extra-raspi, and boot again".to_owned(),
                (true, false) => "apt install linux-modules-extra-$(uname -r)".to_owned(),
                (false, _) => format!("use a kernel with {name}"),
            };
            Finding::problem(check, "this kernel does not have it", remedy)
        }
    }
}

fn forward(facts: &Facts) -> Finding {
    match facts.forward.trim() {
        "0" => Finding {
            fix: Some(Fix::Forward),
            ..Finding::warning(
                "IP forwarding",
                "is off; K3s switches it on when it starts",
                "sysctl -w net.ipv4.ip_forward=1",
            )
        },
        _ => Finding::ok("IP forwarding", "on"),
    }
}

fn route(facts: &Facts) -> Finding {
    let of_v4 = facts.routes.0.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000")
    });
    // The unspecified prefix; the kernel's own entry that refuses everything is on lo.
    let of_v6 = facts.routes.1.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.first().is_some_and(|to| to.bytes().all(|byte| byte == b'0'))
            && words.get(1) == Some(&"00")
            && words.last() != Some(&"lo")
    });
    if of_v4 || of_v6 {
        return Finding::ok("default route", "there");
    }
    let remedy = "give the node a gateway; without one a dummy will do: ip link add dummy0 type dummy; \
                  ip link set dummy0 up; ip address add 203.0.113.254/31 dev dummy0; ip route add default dev dummy0 metric 1000";
    Finding::problem("default route", "there is none: K3s does not start without", remedy)
}

/// Whether somebody listens at this port, by what the kernel lists.
fn is_taken(list: &str, port: u16, state: &str) -> bool {
    let wanted = format!("{port:04X}");
    list.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = words.get(1).and_then(|address| address.rsplit(':').next());
        local == Some(wanted.as_str()) && words.get(3) == Some(&state)
    })
}

fn ports(facts: &Facts, purpose: &Purpose) -> Finding {
    if facts.runs {
        return Finding::ok("ports", "in use by K3s");
    }
    let api = admins_port(facts).unwrap_or(6443);
    let mut tcp = vec![10250];
    if purpose.is_server() {
        tcp.push(api);
    }
    if purpose.embedded_etcd {
        tcp.extend([2379, 2380]);
    }
    let mut taken: Vec<String> =
        tcp.into_iter().filter(|port| is_taken(&facts.tcp, *port, "0A")).map(|port| format!("{port}/tcp")).collect();
    if is_taken(&facts.udp, 8472, "07") {
        taken.push("8472/udp".to_owned());
    }
    if taken.is_empty() {
        return Finding::ok("ports", "free");
    }
    Finding::problem(
        "ports",
        format!("in use by another program: {}", taken.join(", ")),
        "find it with ss --listening --tcp --udp --processes --numeric, and stop it",
    )
}

fn clock(facts: &Facts) -> Finding {
    if facts.now_unix_s < NO_TIME_BEFORE_UNIX_S {
        let remedy = "set it, and let it follow a time server: timedatectl set-ntp true";
        return Finding::problem("clock", "is before 2020: no certificate would be valid", remedy);
    }
    match facts.is_synchronised {
        Some(false) => Finding::warning("clock", "follows no time server", "timedatectl set-ntp true"),
        Some(true) => Finding::ok("clock", "follows a time server"),
        None => Finding::ok("clock", "is after 2020"),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn disk(facts: &Facts, purpose: &Purpose) -> Finding {
    let Some(free) = facts.free_bytes else {
        return Finding::warning("disk", "nobody tells how much is free", "");
    };
    // Images are kept packed and unpacked.
    let needed = if facts.is_ours { purpose.artifact_bytes } else { purpose.artifact_bytes * 3 + LEAST_FREE_BYTES };
    let text = format!("{} are free for /var/lib/rancher", mebibytes(free));
    if free < needed {
        let remedy = format!("make room: K3s needs {}", mebibytes(needed));
        return Finding::problem("disk", text, remedy);
    }
    if free < GOOD_FREE_BYTES {
        return Finding::warning("disk", text, "make room: pods are evicted when a disk is nearly full");
    }
    Finding::ok("disk", text)
}

fn memory(facts: &Facts, purpose: &Purpose) -> Finding {
    let total = facts.meminfo.lines().find_map(|line| {
        let kib: u64 = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib << 10)
    });
    let Some(total) = total else { return Finding::warning("memory", "nobody tells how much there is", "") };
    let text = mebibytes(total);
    match (purpose.is_server(), total) {
        (true, ..LEAST_MEMORY_BYTES) => Finding::problem(
            "memory",
            format!("{text} are too little for a server"),
            "make it an agent, or use a larger board",
        ),
        (false, ..LEAST_MEMORY_BYTES) => {
            Finding::warning("memory", format!("{text} are little: hardly a pod fits beside K3s"), "")
        }
        (true, ..SERVER_MEMORY_BYTES) => {
            Finding::warning("memory", format!("{text} are little for a server, which wants 2 GiB"), "")
        }
        _ => Finding::ok("memory", text),
    }
}

fn swap(facts: &Facts) -> Option<Finding> {
    let on: Vec<&str> = facts.swaps.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next()).collect();
    // What is swapped into compressed memory wears nothing out.
    let on: Vec<&str> = on.into_iter().filter(|name| !name.starts_with("/dev/zram")).collect();
    (!on.is_empty()).then(|| {
        let text = format!("on {}: pods' limits of memory do not hold there, and cards wear out", on.join(", "));
        Finding::warning("swap", text, "swapoff --all, and remove it from /etc/fstab or disable dphys-swapfile.service")
    })
}

fn card(facts: &Facts, purpose: &Purpose) -> Option<Finding> {
    (purpose.embedded_etcd && facts.is_on_card).then(|| {
        let text = "etcd would be on an SD card, which is too slow for it and wears out";
        Finding::warning("SD card", text, "put /var/lib/rancher on an SSD, or make this node an agent")
    })
}

fn interface(facts: &Facts, purpose: &Purpose) -> Option<Finding> {
    let name = purpose.flannel_iface.as_deref()?;
    if facts.interfaces.iter().any(|other| other == name) {
        return Some(Finding::ok("interface", format!("{name} is there")));
    }
    let text = format!("{name} is not here; there are {}", facts.interfaces.join(", "));
    Some(Finding::problem("interface", text, format!("bring {name} up (the VPN?), or name another one")))
}

fn addresses(facts: &Facts, purpose: &Purpose) -> Option<Finding> {
    if purpose.node_ips.is_empty() {
        return None;
    }
    let Some(here) = &facts.addresses else {
        return Some(Finding::warning("addresses", "ip(8) does not tell which there are", "apt install iproute2"));
    };
    let missing: Vec<String> = purpose.node_ips.iter().filter(|ip| !here.contains(ip)).map(IpAddr::to_string).collect();
    if missing.is_empty() {
        return Some(Finding::ok("addresses", "the node's are here"));
    }
    let text = format!("{} is no address of this node", missing.join(", "));
    Some(Finding::problem("addresses", text, "name an address that ip address shows here"))
}

fn node_name(purpose: &Purpose) -> Option<Finding> {
    let text = purpose.name_refused.as_ref()?;
    Some(Finding::warning("name", text.clone(), "hostnamectl hostname NAME, or join under another name"))
}

#[cfg(test)]
mod tests;
