//! What the daemons make of their configuration, and what they tell those who run them.

use std::fs;
use std::path::Path;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::{Fleet, NotifySocket, Program, wait_for, wait_until};
use serde_json::Value;

/// What a daemon says of a file with this content; it must refuse it.
async fn refusal(program: Program, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daemon.toml");
    fs::write(&file, text).unwrap();
    let checked = program.check_config(&file).await.unwrap();
    assert_eq!((checked.code, checked.out.as_str()), (Some(1), ""), "{text:?}: {checked:?}");
    assert!(checked.err.contains(&file.display().to_string()), "the file is named: {}", checked.err);
    checked.err
}

#[tokio::test]
async fn what_we_ship_is_good() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    for (program, name) in [(Program::Agent, "agent.toml"), (Program::Controller, "controller.toml")] {
        let file = packaging.join(name);
        let checked = program.check_config(&file).await.unwrap();
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert_eq!(checked.out, format!("{} is good\n", file.display()));
        // So it is when each example in it is taken up.
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join(name);
        let shipped = fs::read_to_string(&file).unwrap();
        let uncommented: Vec<_> = shipped
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .collect();
        fs::write(&taken, uncommented.join("\n")).unwrap();
        let checked = program.check_config(&taken).await.unwrap();
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
}

#[tokio::test]
async fn mistakes_are_named_with_their_place() {
    for (program, text, told) in [
        (Program::Agent, "[power]\npoweroff_comand = ['x']", "line 2: unknown field `poweroff_comand`"),
        (Program::Agent, "[power]\npoweroff_comand = ['x']", "did you mean `poweroff_command`?"),
        (Program::Agent, "[power]\ntimeout_seconds = 0", "power.timeout_seconds: 0 is not between 1 and 600"),
        (Program::Agent, "[log]\nformat = 'xml'", "line 2: unknown variant `xml`"),
        (Program::Agent, "[power", "line 1"),
        (Program::Controller, "[sesion]\n", "did you mean `session`?"),
        (Program::Controller, "[session]\nheartbeat = 2000", "did you mean `heartbeat_ms`?"),
        (Program::Controller, "\nlisten = 'here'", "listen: \"here\" is not ADDRESS:PORT, such as [::]:7443"),
        (Program::Controller, "[history]\nenabled = 'yes'", "line 2: invalid type: string \"yes\", expected a boolean"),
        (Program::Controller, "listen = '[::]:7443'\nlisten = '[::]:7443'", "line 2: duplicate key"),
    ] {
        let message = refusal(program, text).await;
        assert!(message.contains(told), "{told:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_cannot_be_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.toml");
    for program in [Program::Agent, Program::Controller] {
        let checked = program.check_config(&file).await.unwrap();
        assert_eq!(checked.code, Some(1), "{checked:?}");
        assert!(checked.err.contains(&format!("reading {}: No such file", file.display())), "{}", checked.err);
    }
}

#[tokio::test]
async fn a_daemon_does_not_start_with_a_wrong_file() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.stop().await.unwrap();
    pi.settings.set("power.timeout_seconds", 0);
    let refused = pi.run_to_end().await.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("power.timeout_seconds"), "{}", refused.err);
    fleet.stop_controller().await.unwrap();
    fleet.settings.set("session.sample_ms", 1);
    let refused = fleet.run_controller_to_end().await.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("session.sample_ms: 1 is not between"), "{}", refused.err);
}

/// How many samples of a node are remembered.
async fn recent(fleet: &Fleet, node: &str) -> usize {
    fleet.client().node(node).await.unwrap().recent.len()
}

#[tokio::test]
async fn a_new_rhythm_reaches_agents_at_once() {
    let mut fleet = Fleet::start_with(&[("session.sample_ms", "3600000")]).await.unwrap();
    let pi = fleet.join("pi-1").await.unwrap();
    wait_until("the one sample of this hour", async || recent(&fleet, "pi-1").await == 1).await.unwrap();
    fleet.settings.set("session.sample_ms", 200);
    fleet.reload_controller().unwrap();
    wait_until("many samples", async || recent(&fleet, "pi-1").await >= 5).await.unwrap();
    assert_eq!(pi.log().matches("session open").count(), 1, "it is the same session");
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let mut fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    fleet.settings.set("session.sample_ms", 1);
    // Nor is what is good in the file taken up.
    fleet.settings.set("session.suspect_after_missed", 400);
    fleet.settings.set("session.down_after_missed", 500);
    fleet.reload_controller().unwrap();
    let refused = "the configuration was not reloaded: ";
    let log_of_controller = wait_for("the controller's refusal", async || {
        Ok(Some(fleet.controller_log()).filter(|log| log.contains(refused)))
    });
    assert!(log_of_controller.await.unwrap().contains("session.sample_ms: 1 is not between"));
    pi.settings.set("power.poweroff_command", "[]");
    pi.settings.set("power.reboot_command", "['/bin/false']");
    pi.reload().unwrap();
    let log_of_agent =
        wait_for("the agent's refusal", async || Ok(Some(pi.log()).filter(|log| log.contains(refused)))).await;
    assert!(log_of_agent.unwrap().contains("power.poweroff_command: names no program"));
    assert_eq!(fleet.events("pi-1", "agent.reloaded").await.unwrap().len(), 0);
    for operation in ["reboot", "poweroff"] {
        fleet.ctl().ok(&format!("node {operation} pi-1 --yes")).await.unwrap();
    }
    assert_eq!(pi.calls(), ["reboot", "poweroff"]);
    let before = recent(&fleet, "pi-1").await;
    wait_until("more samples", async || recent(&fleet, "pi-1").await > before).await.unwrap();
    pi.kill().await.unwrap();
    // It was told to go, so that its silence is no failure.
    fleet.wait_for_state("pi-1", NodeState::Off).await.unwrap();
}

#[tokio::test]
async fn what_takes_a_restart_is_said() {
    let mut fleet = Fleet::start().await.unwrap();
    fleet.settings.set("history.recent_points", 7);
    fleet.settings.set("listen", "'127.0.0.1:1'");
    fleet.reload_controller().unwrap();
    let log = wait_for("the reload", async || {
        Ok(Some(fleet.controller_log()).filter(|log| log.contains("configuration reloaded")))
    });
    let log = log.await.unwrap();
    for key in ["listen", "history"] {
        assert!(log.contains(&format!("{key} was changed; this takes a restart")), "{log}");
    }
    fleet.client().status().await.unwrap();
}

#[tokio::test]
async fn systemd_is_told_that_a_daemon_is_ready_alive_and_stopping() {
    let mut fleet = Fleet::prepare().unwrap();
    let of_controller = NotifySocket::bind(&fleet.folder().join("controller.notify")).unwrap();
    fleet.environment = of_controller.environment(400);
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let before = of_controller.wait_for("READY=1").await.unwrap();
    assert!(!before.contains(&"WATCHDOG=1".to_owned()), "{before:?}");
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.stop().await.unwrap();
    let of_agent = NotifySocket::bind(&fleet.folder().join("agent.notify")).unwrap();
    pi.environment = of_agent.environment(400);
    pi.start().unwrap();
    of_agent.wait_for("READY=1").await.unwrap();
    for socket in [&of_agent, &of_controller] {
        // Again and again.
        for _ in 0..3 {
            socket.wait_for("WATCHDOG=1").await.unwrap();
        }
    }
    pi.stop().await.unwrap();
    of_agent.wait_for("STOPPING=1").await.unwrap();
    fleet.stop_controller().await.unwrap();
    of_controller.wait_for("STOPPING=1").await.unwrap();
}

#[tokio::test]
async fn a_log_for_programs_is_one_object_a_line() {
    let mut fleet = Fleet::start_with(&[("log.format", "'json'")]).await.unwrap();
    let mut pi = fleet.machine("pi-1");
    pi.settings.set("log.format", "'json'");
    let token = fleet.invite("--name pi-1").await.unwrap();
    let joined = pi.join(&fleet.endpoint(), &token, "").await.unwrap();
    assert_eq!(joined.code, Some(0), "{joined:?}");
    pi.start().unwrap();
    fleet.wait_for_state("pi-1", NodeState::Up).await.unwrap();
    fleet.ctl().ok("node poweroff pi-1 --yes --reason a\"b\\c").await.unwrap();
    pi.stop().await.unwrap();
    fleet.stop_controller().await.unwrap();
    for (log, expected) in [(pi.log(), "session open"), (fleet.controller_log(), "ready")] {
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{log}");
        assert!(lines.iter().any(|line| line["message"] == expected), "{log}");
    }
    let log = pi.log();
    let told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let reasons: Vec<_> = told.filter_map(|line| line["reason"].as_str().map(str::to_owned)).collect();
    assert_eq!(reasons, ["a\"b\\c"], "{log}");
}
