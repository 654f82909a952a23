//! The double of the Kubernetes API by itself, for kubectl or the lab: two nodes and a Deployment under a budget.
//! `cargo run -p rackhaven-tests --example kube -- ADDRESS:PORT FOLDER` writes `admin.yaml` and `controller.yaml`, the
//! kubeconfigs of whoever may do all and of Rackhaven's service account, into the folder, and serves until Ctrl-C.

use std::path::PathBuf;

use anyhow::Context;
use rackhaven_tests::Kube;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    const USAGE: &str = "usage: kube ADDRESS:PORT FOLDER";
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().context(USAGE)?.parse().context(USAGE)?;
    let folder = PathBuf::from(arguments.next().context(USAGE)?);
    let kube = Kube::start_at(&[address]).await?;
    kube.with(|world| {
        world.add_node("master", true);
        world.add_node("pi-1", false);
        world.add_deployment("default", "web", 3, "prompt");
        world.add_budget("default", "web", 2);
        world.add_daemon_set("kube-system", "traefik");
        world.add_mirror_pod("kube-vip", "master");
    });
    for (name, text) in [("admin.yaml", kube.admin_kubeconfig()), ("controller.yaml", kube.controller_kubeconfig()?)] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
}
