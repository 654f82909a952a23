//! The question before harm.

use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::command_progress::State;
use rackhaven_proto::v1::{CommandProgress, WhoAmIResponse};

use crate::backup_rack;
use crate::fleet::detail;
use crate::harness::{Ctl, Outcome};
use crate::rack;
use crate::script::{Controller, Script};
use crate::storm;

const HARMFUL: [&str; 9] = [
    "node reboot pi-1",
    "node poweroff pi-1",
    "node remove pi-1",
    "user revoke ann",
    "power shutdown --node pi-1 --reason dust",
    "power shutdown --stage workers --reason dust --no-follow",
    "power drill pi-1",
    "backup prune etc --node pi-1",
    "backup restore etc --node pi-1 --to / --in-place",
];

fn progress(state: State, message: &str) -> CommandProgress {
    CommandProgress { command_id: "c1".to_owned(), state: state.into(), message: message.to_owned() }
}

fn controller(steps: Vec<CommandProgress>) -> Controller {
    let who = WhoAmIResponse { cluster_name: "rack".to_owned(), ..WhoAmIResponse::default() };
    Controller::new(Script {
        detail: detail(),
        who,
        progress: steps,
        plan: rack::plan(),
        // Of a shutdown and of a drill, of which each sees what it looks for.
        started: vec![backup_rack::started("pi-1", "etc", "r-1")],
        timeline: [storm::drill(&["pi-1"]), storm::shutdown(&["pi-1"])].concat(),
        ..Script::default()
    })
}

fn perform(controller: &Controller, command: &str, prepare: impl FnOnce(Ctl) -> Ctl) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let served = controller.serve(folder.path());
    prepare(Ctl::new(folder.path()).args(command.split(' ')).args(["--socket"]).args([&served.path])).run()
}

/// Whether anything but questions reached the controller.
fn was_done(controller: &Controller) -> bool {
    let harmless = ["GetNodeRequest", "WhoAmIRequest", "GetPowerPlanRequest"];
    controller.asked().iter().any(|asked| !harmless.iter().any(|harmless| asked.starts_with(harmless)))
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_tried() {
    for command in HARMFUL {
        let controller = controller(vec![]);
        let outcome = perform(&controller, command, |ctl| ctl);
        assert_eq!(outcome.status, ExitStatus::Usage, "{command}");
        assert!(outcome.err.contains("--yes"), "{command}: {}", outcome.err);
        assert!(controller.asked().is_empty(), "{command}");
    }
}

#[test]
fn only_a_typed_yes_goes_on() {
    for command in HARMFUL {
        for answer in ["no\n", "y\n", "\n", "", "YES\n", "yes please\n"] {
            let controller = controller(vec![]);
            let outcome = perform(&controller, command, |ctl| ctl.typing(answer));
            assert_eq!((outcome.status, was_done(&controller)), (ExitStatus::Failed, false), "{command} {answer:?}");
        }
        let controller = controller(vec![progress(State::Succeeded, "")]);
        let outcome = perform(&controller, command, |ctl| ctl.typing("yes\n"));
        assert_eq!((outcome.status, was_done(&controller)), (ExitStatus::Fine, true), "{command}: {}", outcome.err);
        assert!(outcome.err.contains("cluster rack"), "{command}: {}", outcome.err);
        assert!(!outcome.out.contains("Type yes"), "{command}");
    }
}

#[test]
fn yes_asks_nothing() {
    for command in HARMFUL {
        let controller = controller(vec![progress(State::Succeeded, "")]);
        let outcome = perform(&controller, command, |ctl| ctl.args(["--yes"]));
        assert_eq!((outcome.status, was_done(&controller)), (ExitStatus::Fine, true), "{command}: {}", outcome.err);
        assert!(!outcome.err.contains("Type yes"), "{command}");
    }
}

#[test]
fn an_order_is_followed_to_its_end() {
    let steps = |end| vec![progress(State::Queued, ""), progress(State::Accepted, ""), end];
    let order = |end| perform(&controller(steps(end)), "node reboot pi-1 --yes", |ctl| ctl);

    let done = order(progress(State::Succeeded, ""));
    assert_eq!(done.status, ExitStatus::Fine);
    assert_eq!(done.out, "pi-1: reboot succeeded\n");
    insta::assert_snapshot!("order_progress", done.err.lines().skip(2).collect::<Vec<_>>().join("\n"));

    let failed = order(progress(State::Failed, "the service manager refused"));
    assert_eq!((failed.status, failed.out.as_str()), (ExitStatus::Failed, ""));
    assert!(failed.err.ends_with("error: pi-1: reboot failed: the service manager refused\n"), "{}", failed.err);

    let expired = order(progress(State::Expired, ""));
    assert_eq!(expired.status, ExitStatus::Failed);
    assert!(expired.err.contains("will not be done later"), "{}", expired.err);

    let silent = order(progress(State::Accepted, ""));
    assert_eq!(silent.status, ExitStatus::Failed);
    assert!(silent.err.contains("ctl events --node pi-1"), "{}", silent.err);
}

#[test]
fn an_order_says_how_long_it_may_wait_and_why() {
    let controller = controller(vec![progress(State::Succeeded, "")]);
    let command = "node poweroff pi-1 --yes --timeout 2m --reason dust";
    assert_eq!(perform(&controller, command, |ctl| ctl).status, ExitStatus::Fine);
    let asked = controller.asked();
    assert!(asked.iter().any(|asked| asked.contains("timeout_ms: 120000") && asked.contains("dust")), "{asked:?}");
}

#[test]
fn programs_get_the_outcome_of_a_failure_too() {
    let failing = controller(vec![progress(State::Failed, "no")]);
    let outcome = perform(&failing, "node reboot pi-1 --yes -o json", |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(outcome.out.contains("\"state\": \"failed\""), "{}", outcome.out);
}
