//! Commands of which an answer, a process or the memory is lost half-way: still done once, and their end is told.

use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body as FromAgent;
use rackhaven_proto::v1::command::Operation;
use rackhaven_proto::v1::command_update::State;
use rackhaven_proto::v1::controller_message::Body as ToAgent;
use rackhaven_tests::impostor::{FakeController, FakeSession};
use rackhaven_tests::{Agent, Fleet, Proxy, wait_for, wait_until};

/// What the controller has on its disk of its only command.
fn stored_command(fleet: &Fleet) -> anyhow::Result<(String, String)> {
    let database = rusqlite::Connection::open(fleet.state().join("controller.db"))?;
    Ok(database.query_row("SELECT state, message FROM commands", [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

#[tokio::test]
async fn an_answer_that_is_lost_comes_again() {
    let mut fleet = Fleet::prepare().unwrap();
    let proxy = Proxy::start(fleet.address()).await.unwrap();
    fleet.settings.set("endpoints", rackhaven_tests::settings::toml_list([proxy.endpoint()]));
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let pi = fleet.join_at("pi-1", &proxy.endpoint()).await.unwrap();
    proxy.hold_upward();
    let mut asked = fleet.ctl().start("node reboot pi-1 --yes", fleet.folder()).unwrap();
    wait_until("the reboot", async || !pi.calls().is_empty()).await.unwrap();
    assert!(!asked.log().contains("has taken the order"), "the answer was not lost: {}", asked.log());
    proxy.cut();
    proxy.pass();
    let status = asked.ended().await.unwrap();
    assert!(status.success(), "{}", asked.log());
    assert_eq!(pi.calls(), ["reboot"]);
}

#[tokio::test]
async fn a_controller_that_dies_meanwhile_learns_the_end() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let gate = fleet.folder().join("gate");
    let record = format!("echo reboot >> {}", fleet.folder().join("pi-1.calls").display());
    // The reboot takes until the story opens the gate.
    pi.switched_by(&format!("{record}; until [ -e {} ]; do sleep 0.05; done", gate.display()), "false");
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    let mut asked = fleet.ctl().start("node reboot pi-1 --yes", fleet.folder()).unwrap();
    wait_until("the acceptance", async || asked.log().contains("has taken the order")).await.unwrap();
    fleet.kill_controller().await.unwrap();
    let status = asked.ended().await.unwrap();
    assert_eq!(status.code(), Some(4), "{}", asked.log());
    std::fs::write(&gate, "").unwrap();
    fleet.start_controller().await.unwrap();
    wait_for("the end of the command", async || {
        let (state, _) = stored_command(&fleet)?;
        Ok((state == "succeeded").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(pi.calls(), ["reboot"]);
    fleet.wait_for_events("pi-1", "node.command", 1).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_dies_in_between_does_not_begin_again() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    let record = format!("echo reboot >> {}", fleet.folder().join("pi-1.calls").display());
    pi.switched_by(&format!("{record}; exec sleep 600"), "false");
    pi.reload().unwrap();
    fleet.wait_for_events("pi-1", "agent.reloaded", 1).await.unwrap();
    let mut asked = fleet.ctl().start("node reboot pi-1 --yes", fleet.folder()).unwrap();
    wait_until("the acceptance", async || asked.log().contains("has taken the order")).await.unwrap();
    wait_until("the reboot", async || !pi.calls().is_empty()).await.unwrap();
    pi.kill().await.unwrap();
    pi.start().unwrap();
    // The machine did not go down, so that the reboot has not happened.
    let status = asked.ended().await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", asked.log());
    assert!(asked.log().contains("it is not repeated"), "{}", asked.log());
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    assert_eq!(pi.calls(), ["reboot"]);
}

/// A machine whose controller is in the story's hand.
fn machine_of(controller: &FakeController, folder: &std::path::Path) -> Agent {
    let pi = Agent::new(folder, "pi-1");
    let subject = rackhaven_pki::Subject::Node("pi-1".parse().unwrap());
    let credentials = controller.cluster.credentials(subject, controller.address()).unwrap();
    let state = rackhaven_agent::state::StateFolder::open(pi.state()).unwrap();
    rackhaven_agent::state::save_identity(&state, &credentials).unwrap();
    pi
}

async fn order(session: &FakeSession, id: &str, expires_in_ms: u32, operation: Option<Operation>) {
    let command = v1::Command {
        id: id.to_owned(),
        expires_in_ms,
        requested_by: "user/ann".to_owned(),
        reason: String::new(),
        operation,
    };
    session.send(ToAgent::Command(command)).await.unwrap();
}

/// The next thing that the agent says of a command.
async fn update(session: &mut FakeSession, id: &str) -> (State, String) {
    let pick = |body| match body {
        FromAgent::CommandUpdate(update) if update.id == id => Some((update.state(), update.message)),
        _ => None,
    };
    session.wait_for(id, pick).await.unwrap()
}

#[tokio::test]
async fn a_command_that_comes_again_is_answered_and_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut controller = FakeController::start().await.unwrap();
    let mut pi = machine_of(&controller, folder.path());
    pi.start().unwrap();
    let mut session = controller.session().await.unwrap();
    let reboot = || Some(Operation::Reboot(v1::Reboot {}));
    order(&session, "first", 5_000, reboot()).await;
    assert_eq!(update(&mut session, "first").await.0, State::Accepted);
    assert_eq!(update(&mut session, "first").await.0, State::Succeeded);
    order(&session, "first", 5_000, reboot()).await;
    assert_eq!(update(&mut session, "first").await.0, State::Succeeded);
    order(&session, "late", 0, reboot()).await;
    assert_eq!(update(&mut session, "late").await.0, State::Expired);
    // What this agent does not know it does not do, and says so.
    order(&session, "odd", 5_000, None).await;
    let (state, message) = update(&mut session, "odd").await;
    assert_eq!(state, State::Failed, "{message}");
    assert_eq!(pi.calls(), ["reboot"]);

    // Nobody has said that the ends are stored: another run tells them again, and still does nothing again.
    pi.kill().await.unwrap();
    pi.start().unwrap();
    let mut session = controller.session().await.unwrap();
    assert_eq!(update(&mut session, "first").await.0, State::Succeeded);
    assert_eq!(update(&mut session, "late").await.0, State::Expired);
    order(&session, "first", 5_000, reboot()).await;
    assert_eq!(update(&mut session, "first").await.0, State::Succeeded);
    for id in ["first", "late"] {
        session.send(ToAgent::CommandStored(v1::CommandStored { id: id.to_owned() })).await.unwrap();
    }
    // Answered after what came before it.
    order(&session, "last", 0, reboot()).await;
    assert_eq!(update(&mut session, "last").await.0, State::Expired);

    pi.kill().await.unwrap();
    pi.start().unwrap();
    let mut session = controller.session().await.unwrap();
    let pick = |body| match body {
        FromAgent::CommandUpdate(update) => Some(update.id),
        _ => None,
    };
    assert_eq!(session.wait_for("an update", pick).await.unwrap(), "last", "what is stored is not told again");
    order(&session, "first", 5_000, reboot()).await;
    assert_eq!(update(&mut session, "first").await.0, State::Succeeded);
    assert_eq!(pi.calls(), ["reboot"]);
}
