use std::path::Path;

use rackhaven_proto::model::NodeFacts;

use super::Roots;
use super::file::read_once;
use super::parse::{Row, cpu_times, memory, pretty_name, printable};

/// Reads what does not change while the node runs. What cannot be read is empty.
pub(super) fn read(roots: &Roots) -> NodeFacts {
    let text = |root: &Path, path: &str| read_once(&root.join(path)).and_then(|text| printable(&text));
    let stat = read_once(&roots.proc.join("stat")).unwrap_or_default();
    let cores = cpu_times(&stat).filter(|(row, _)| *row != Row::All).count();
    NodeFacts {
        hostname: nix::unistd::gethostname()
            .ok()
            .and_then(|name| printable(name.as_encoded_bytes()))
            .unwrap_or_default(),
        arch: debian_arch(std::env::consts::ARCH).to_owned(),
        os: read_once(&roots.etc.join("os-release")).and_then(|text| pretty_name(&text)).unwrap_or_default(),
        kernel: text(&roots.proc, "sys/kernel/osrelease").unwrap_or_default(),
        // Boards have a device tree, PCs a BIOS.
        model: text(&roots.proc, "device-tree/model")
            .or_else(|| text(&roots.sys, "class/dmi/id/product_name"))
            .unwrap_or_default(),
        cpu_count: u32::try_from(cores).unwrap_or(u32::MAX),
        memory_total_bytes: read_once(&roots.proc.join("meminfo"))
            .and_then(|text| memory(&text))
            .map(|memory| memory.total_bytes)
            .unwrap_or_default(),
        boot_id: read_once(&roots.boot_id).and_then(|text| printable(&text)).unwrap_or_default(),
        wake_macs: super::wake::addresses(&roots.sys),
    }
}

/// Debian's word for an architecture of Rust's.
fn debian_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "x86" => "i386",
        "aarch64" => "arm64",
        "arm" => "armhf",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{debian_arch, read};
    use crate::host::linux::Roots;

    fn facts(host: &str) -> rackhaven_proto::model::NodeFacts {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures").join(host);
        let roots = ["proc", "sys", "etc", "dev"].map(|dir| root.join(dir));
        let [proc, sys, etc, dev] = roots;
        let boot_id = proc.join("sys/kernel/random/boot_id");
        read(&Roots { proc, sys, etc, dev, boot_id })
    }

    #[test]
    fn a_raspberry_pi() {
        let facts = facts("pi4");
        assert_eq!(facts.model, "Raspberry Pi 4 Model B Rev 1.4");
        assert_eq!(facts.os, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(facts.kernel, "6.12.25+rpt-rpi-v8");
        assert_eq!(facts.boot_id, "0d1a8c64-6a63-4a5a-8f0e-5a0f3c0a9a11");
        assert_eq!((facts.cpu_count, facts.memory_total_bytes), (4, 3_885_396 * 1024));
        assert!(!facts.hostname.is_empty());
    }

    #[test]
    fn a_pc_and_nothing_at_all() {
        assert_eq!(facts("x86").model, "HP ProDesk 600 G4 DM");
        let nothing = facts("no-such-host");
        assert_eq!((nothing.model.as_str(), nothing.cpu_count, nothing.boot_id.as_str()), ("", 0, ""));
        assert_eq!(debian_arch("aarch64"), "arm64");
    }
}
