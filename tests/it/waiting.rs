//! Daemons that are installed before there is anything for them to do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use rackhaven_proto::model::NodeState;
use rackhaven_tests::{Fleet, NotifySocket};

#[tokio::test]
async fn a_service_waits_for_its_cluster_and_for_its_invitation_and_goes_on_by_itself() {
    let mut fleet = Fleet::prepare().unwrap();
    let of_controller = NotifySocket::bind(&fleet.folder().join("controller.notify")).unwrap();
    fleet.environment = of_controller.environment(60_000);
    fleet.spawn_controller().unwrap();
    let told = of_controller.wait_for("READY=1").await.unwrap().join("\n") + &fleet.controller_log();
    assert!(told.contains("no cluster yet: as root, run `rackhaven-controller init`"), "{told}");
    let pid = fleet.controller().unwrap().pid();
    // What is configured meanwhile counts.
    fleet.settings.set("session.heartbeat_ms", 210);
    fleet.init().await.unwrap();
    of_controller.wait_for("STATUS=cluster home").await.unwrap();
    assert_eq!(fleet.controller().unwrap().pid(), pid);

    let mut pi = fleet.machine("pi-1");
    let of_agent = NotifySocket::bind(&fleet.folder().join("agent.notify")).unwrap();
    pi.environment = of_agent.environment(60_000);
    pi.start().unwrap();
    let told = of_agent.wait_for("READY=1").await.unwrap();
    assert!(told[0].starts_with("STATUS=not in a fleet: run `ctl node invite`"), "{told:?}");
    // A word that it does not know what to do with yet.
    pi.reload().unwrap();
    let token = fleet.invite("--name pi-1").await.unwrap();
    let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
    assert_eq!(joined.code, Some(0), "{joined:?}");
    of_agent.wait_for("STATUS=node pi-1: connected").await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    assert!(pi.log().contains("session open heartbeat_ms=210"), "{}", pi.log());
}

#[tokio::test]
async fn who_waits_ends_at_once_when_told_to() {
    let mut fleet = Fleet::prepare().unwrap();
    let mut pi = fleet.machine("pi-1");
    let socket = NotifySocket::bind(&fleet.folder().join("notify")).unwrap();
    (fleet.environment, pi.environment) = (socket.environment(60_000), socket.environment(60_000));
    fleet.spawn_controller().unwrap();
    socket.wait_for("READY=1").await.unwrap();
    fleet.stop_controller().await.unwrap();
    pi.start().unwrap();
    socket.wait_for("READY=1").await.unwrap();
    pi.stop().await.unwrap();
}

/// As it is where the package has made the folder for the service's user.
#[tokio::test]
async fn what_root_initialises_belongs_to_the_owner_of_the_folder() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let owner = 65_534;
    let fleet = Fleet::prepare().unwrap();
    fs::set_permissions(fleet.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(fleet.state()).unwrap();
    chown(fleet.state(), Some(owner), Some(owner)).unwrap();
    fleet.init().await.unwrap();
    let files: Vec<_> = fs::read_dir(fleet.state()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (owner, owner), "{path:?}");
    }
}
