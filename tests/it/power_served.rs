//! A NAS with NUT's own client goes down with its stage.

use std::path::Path;

use rackhaven_tests::ups::nut_command;
use rackhaven_tests::{Back, Daemon, RackPlan, SmallDisk, address, wait_until};

#[tokio::test]
async fn a_secondary_is_forced_down_when_its_stage_begins() {
    let listen = std::net::SocketAddr::new(address::fresh().ip(), 3493);
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("nas.password");
    std::fs::write(&password_file, "secret\n").unwrap();
    let user =
        format!("[{{ name = \"monuser\", password_file = \"{}\", stage = \"storage\" }}]", password_file.display());
    let rack = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan)])
        .stage("storage", &[("s-1", Back::WakeOnLan)])
        .with("power.facade.listen", format!("[\"{listen}\"]"))
        .with("power.facade.user", user)
        .with("power.cut_load", false)
        .build()
        .await
        .unwrap();
    let gate = rack.folder().join("gate");
    rack.hook("w-1", "10-waits", &format!("until [ -e {} ]; do sleep 0.05; done", gate.display())).unwrap();
    // It keeps its process id where another one would find it.
    let _pids = SmallDisk::mount(Path::new("/run/nut"), 1 << 20).unwrap();
    let down = folder.path().join("down");
    let configuration = format!(
        "MONITOR ups@{listen} 1 monuser secret secondary\nMINSUPPLIES 1\nSHUTDOWNCMD \"touch {}\"\nPOLLFREQ 1\n\
         POLLFREQALERT 1\nDEADTIME 15\nHOSTSYNC 5\nFINALDELAY 0\n",
        down.display()
    );
    std::fs::write(folder.path().join("upsmon.conf"), configuration).unwrap();
    let mut command = nut_command("upsmon").unwrap();
    command.args(["-F", "-p"]).env("NUT_CONFPATH", folder.path());
    let mut nas = Daemon::start("upsmon", command, folder.path()).unwrap();
    wait_until("the NAS to log in", async || rack.controller_log().contains("a NUT client has logged in"))
        .await
        .unwrap();

    rack.ups_says("OB LB");
    let outage = rack.wait_for_line(1, "w-1", "node.ordered").await.unwrap().outage;
    wait_until("the hook to run", async || rack.memory_of("w-1")["run"]["current"]["kind"] == "hooks").await.unwrap();
    assert!(nas.poll_end().unwrap().is_none() && !down.exists(), "the NAS went with another's stage");
    std::fs::write(gate, "").unwrap();
    wait_until("the NAS's shutdown", async || down.exists()).await.unwrap();
    nas.ended().await.unwrap();
    rack.wait_for_line(outage, "s-1", "node.off").await.unwrap();
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
}
