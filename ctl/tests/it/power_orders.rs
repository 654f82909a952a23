//! Shutdowns and drills that are asked for.

use insta::assert_snapshot;
use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::*;
use tonic::Code;

use crate::harness::{Ctl, Outcome};
use crate::power::perform;
use crate::rack;
use crate::script::{Controller, Ending, Script};
use crate::storm;

fn script(timeline: Vec<OutageEvent>) -> Script {
    let who = WhoAmIResponse { cluster_name: "rack".to_owned(), ..WhoAmIResponse::default() };
    Script { who, plan: rack::plan(), timeline, outages: storm::outages(), ..Script::default() }
}

fn without_socket(outcome: &Outcome) -> String {
    let err: Vec<_> =
        outcome.err.lines().map(|line| if line.contains("controller.sock") { "  PLACE" } else { line }).collect();
    format!("exit {}\n--- out\n{}--- err\n{}\n", outcome.status.code(), outcome.out, err.join("\n"))
}

#[test]
fn exactly_one_kind_of_target_and_a_reason() {
    for wrong in [
        "power shutdown --reason x",
        "power shutdown --all",
        "power shutdown --node pi-1",
        "power shutdown --all --node pi-1 --reason x",
        "power shutdown --all --stage workers --reason x",
    ] {
        assert_eq!(
            perform(script(vec![]), wrong, None, |ctl| ctl.args(["--yes"])).status,
            ExitStatus::Usage,
            "{wrong}"
        );
    }
    let empty = perform(script(vec![]), "power shutdown --all --reason", None, |ctl| ctl.args([""]));
    assert_eq!(empty.status, ExitStatus::Usage);
}

#[test]
fn what_the_plan_does_not_know_is_refused_before_any_harm() {
    for (command, said) in [
        ("power shutdown --node pi-99 --reason x --yes", "there is no node pi-99 in the plan"),
        ("power shutdown --stage attic --reason x --yes", "there is no stage attic in the plan"),
        ("power drill pi-99 --yes", "there is no node pi-99 in the plan"),
    ] {
        let outcome = perform(script(vec![]), command, None, |ctl| ctl);
        assert_eq!(outcome.status, ExitStatus::Failed);
        assert!(outcome.err.contains(said), "{}", outcome.err);
    }
}

#[test]
fn a_dry_run_shows_the_plan_of_its_targets_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::new(script(vec![]));
    let served = controller.serve(folder.path());
    let arguments = "power shutdown --stage servers --node pi-2 --reason dust --dry-run --socket";
    let outcome = Ctl::new(folder.path()).on_screen().args(arguments.split(' ')).args([&served.path]).run();
    assert_snapshot!("power_dry_run", without_socket(&outcome));
    assert!(!controller.asked().iter().any(|asked| asked.starts_with("PowerShutdownRequest")));
}

#[test]
fn nodes_and_stages_go_together_and_each_event_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::new(script(storm::shutdown(&["pi-1", "nas"])));
    let served = controller.serve(folder.path());
    let arguments = "power shutdown --stage storage --node pi-1 --reason dust --socket";
    let outcome =
        Ctl::new(folder.path()).on_screen().typing("yes\n").args(arguments.split(' ')).args([&served.path]).run();
    assert_snapshot!("power_shutdown", without_socket(&outcome));
    let asked = controller.asked();
    let request = asked.iter().find(|asked| asked.starts_with("PowerShutdownRequest")).unwrap();
    assert!(
        request.contains("nodes: [\"pi-1\"]") && request.contains("stages: [\"storage\"]") && request.contains("dust"),
        "{request}"
    );
}

#[test]
fn all_goes_with_the_master_and_its_silence_is_success() {
    let names = ["pi-1", "pi-2", "master"];
    let mut plan = rack::plan();
    for stage in &mut plan.stages {
        stage.nodes.retain(|node| names.contains(&node.name.as_str()));
    }
    plan.stages.retain(|stage| !stage.nodes.is_empty());
    let mut timeline = storm::shutdown(&["pi-1", "pi-2"]);
    let ordered = OutageEvent {
        at_ms: 20_000,
        node: "master".to_owned(),
        message: "master is told to go".to_owned(),
        kind: "node.ordered".to_owned(),
        ..timeline[0].clone()
    };
    timeline.push(ordered);
    for ending in [Ending::Cut(Code::Unavailable, "stopping"), Ending::Over] {
        let script = Script { plan: plan.clone(), ending, ..script(timeline.clone()) };
        let outcome = perform(script, "power shutdown --all --reason move --yes", Some(80), |ctl| ctl);
        assert_snapshot!(
            "power_shutdown_all",
            without_socket(&outcome).lines().skip(16).collect::<Vec<_>>().join("\n")
        );
        assert_eq!(outcome.status, ExitStatus::Fine, "{}", outcome.err);
    }
    // The controller's own word for it will do.
    let last = timeline.pop().unwrap();
    let mut own = timeline.clone();
    own.push(OutageEvent { node: String::new(), kind: "master.ordered".to_owned(), ..last });
    let told = Script { plan: plan.clone(), ending: Ending::Over, ..script(own) };
    assert_eq!(perform(told, "power shutdown --all --reason move --yes", None, |ctl| ctl).status, ExitStatus::Fine);
    // Before that, it is none.
    let early = Script { plan, ending: Ending::Over, ..script(timeline) };
    let outcome = perform(early, "power shutdown --all --reason move --yes", Some(80), |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(
        outcome.out.contains("2 of 3 nodes off") && outcome.out.contains("Nothing was told of: master"),
        "{}",
        outcome.out
    );
}

#[test]
fn nodes_that_are_not_confirmed_off_fail_it() {
    let timeline = storm::shutdown(&["pi-1", "pi-6"]);
    let command = "power shutdown --node pi-1 --node pi-6 --reason x --yes";
    let outcome = perform(script(timeline.clone()), command, Some(80), |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(
        outcome.out.ends_with("1 of 2 nodes off after 26 s.\nNot confirmed off in time: pi-6\n"),
        "{}",
        outcome.out
    );

    let outcome = perform(script(timeline), &format!("{command} -o json"), None, |ctl| ctl);
    let objects: Vec<serde_json::Value> = outcome.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (result, events) = objects.split_last().unwrap();
    assert!(events.iter().all(|event| event["kind"].is_string() && event.get("outcome").is_none()));
    assert_eq!(result["outcome"], "incomplete");
    assert_eq!(result["nodes"][1], serde_json::json!({"name": "pi-6", "state": "missing"}));
}

#[test]
fn an_abort_by_somebody_else_is_told() {
    let mut timeline = storm::shutdown(&["pi-1"]);
    timeline.truncate(4);
    timeline.push(OutageEvent {
        at_ms: 9_000,
        kind: "node.aborted".to_owned(),
        message: String::new(),
        ..timeline[0].clone()
    });
    let outcome = perform(script(timeline), "power shutdown --node pi-1 --reason x --yes", Some(80), |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(outcome.out.contains("Kept, because it was aborted: pi-1"), "{}", outcome.out);
}

#[test]
fn a_lost_controller_is_followed_again_without_loss_or_repetition() {
    let whole = storm::shutdown(&["pi-1", "pi-2"]);
    let mut script = script(whole[..7].to_vec());
    script.ending = Ending::Cut(Code::Unavailable, "stopping");
    script.outages = vec![Outage { number: 12, kind: "manual".to_owned(), events: whole.clone(), ..Outage::default() }];
    let command = "power shutdown --node pi-1 --node pi-2 --reason x --yes -o json";
    let outcome = perform(script, command, None, |ctl| ctl);
    assert_eq!(outcome.status, ExitStatus::Fine, "{}", outcome.err);
    assert_eq!(outcome.out.lines().count(), whole.len() + 1);
    assert!(outcome.err.contains("it goes on meanwhile; connecting again"), "{}", outcome.err);
}

#[test]
fn a_refusal_is_told() {
    for (code, status) in
        [(Code::PermissionDenied, ExitStatus::NotAllowed), (Code::FailedPrecondition, ExitStatus::Failed)]
    {
        for command in
            ["power status", "power plan", "power abort", "power history", "power drill --yes", "power status --watch"]
        {
            let script = Script { refusal: Some((code, "a shutdown goes on already")), ..script(vec![]) };
            let outcome = perform(script, command, None, |ctl| ctl);
            assert_eq!(outcome.status, status, "{command}");
            assert!(outcome.err.contains("a shutdown goes on already"), "{command}: {}", outcome.err);
        }
    }
}

#[test]
fn a_shutdown_that_is_not_followed_returns_when_it_has_begun() {
    let script = Script { ending: Ending::Open, ..script(storm::shutdown(&["pi-1"])) };
    let outcome = perform(script, "power shutdown --node pi-1 --reason x --yes --no-follow", None, |ctl| ctl);
    assert_eq!((outcome.status, outcome.out.as_str()), (ExitStatus::Fine, ""));
    assert!(
        outcome.err.contains("Shutdown 12 has begun") && outcome.err.contains("ctl power abort"),
        "{}",
        outcome.err
    );
}

#[test]
fn drills_end_with_a_table() {
    let outcome = perform(script(storm::drill(&["pi-1", "m5-3"])), "power drill pi-1 m5-3 --yes", Some(80), |ctl| ctl);
    assert_snapshot!("power_drill", without_socket(&outcome));
    assert_eq!(outcome.status, ExitStatus::Fine);

    let failed =
        perform(script(storm::drill(&["pi-1", "pi-4"])), "power drill pi-1 pi-4 pi-2 --yes", Some(80), |ctl| ctl);
    assert_eq!(failed.status, ExitStatus::Failed);
    let table: Vec<_> = failed.out.lines().rev().take(5).collect();
    assert_snapshot!("power_drill_failed", table.into_iter().rev().collect::<Vec<_>>().join("\n"));
}
