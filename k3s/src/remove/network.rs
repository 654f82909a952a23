//! Removes the interfaces of the pods' network.

use crate::child::{SHORT, command, run};
use crate::news::Done;
use crate::order::Work;

use super::told;

/// Whether an interface is one that flannel or its bridge made.
fn is_k3s(name: &str) -> bool {
    matches!(name, "cni0" | "flannel.1" | "flannel-v6.1") || name.starts_with("flannel-wg") || name == "kube-ipvs0"
}

pub(super) fn remove(work: &mut Work) -> anyhow::Result<Done> {
    let mut removed = Vec::new();
    for name in work.root.names("/sys/class/net").into_iter().filter(|name| is_k3s(name)) {
        let mut ip = command("ip");
        ip.args(["link", "delete", &name]);
        run(ip, b"", SHORT, work.stop)?.fine(&format!("removing the interface {name}"))?;
        removed.push(name);
    }
    Ok(told(removed, "there are no interfaces of it"))
}

#[cfg(test)]
mod tests {
    use super::is_k3s;

    #[test]
    fn golden() {
        for (name, ours) in [
            ("cni0", true),
            ("flannel.1", true),
            ("flannel-v6.1", true),
            ("flannel-wg", true),
            ("flannel-wg-v6", true),
            ("kube-ipvs0", true),
            ("eth0", false),
            ("cni1", false),
            ("flannel", false),
            ("docker0", false),
        ] {
            assert_eq!(is_k3s(name), ours, "{name}");
        }
    }
}
