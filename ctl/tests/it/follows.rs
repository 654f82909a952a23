//! Events that are followed over lost connections.

use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::Severity;
use tonic::Code;

use crate::fleet::{event, events};
use crate::harness::{Ctl, Outcome};
use crate::script::{Controller, Script};

/// Follows three stretches of events; then the controller refuses, which ends it.
fn follow(arguments: &[&str], cut: Option<(Code, &'static str)>) -> (Outcome, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let stretches = vec![events(), vec![], vec![event(44, Severity::Info, "node.up", "pi-3 is up")]];
    let controller = Controller::new(Script { events: stretches, cut, ..Script::default() });
    let served = controller.serve(folder.path());
    let watched = controller.clone();
    let refuser = std::thread::spawn(move || {
        while watched.asked().len() < 3 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        watched.0.lock().unwrap().refusal = Some((Code::PermissionDenied, "ann is no longer a user"));
    });
    let outcome = Ctl::new(folder.path())
        .args(["events", "--follow"])
        .args(arguments)
        .args(["--socket"])
        .args([&served.path])
        .run();
    refuser.join().unwrap();
    (outcome, controller.asked())
}

#[test]
fn a_lost_connection_loses_and_repeats_nothing() {
    for cut in [None, Some((Code::Unavailable, "stopping"))] {
        let (outcome, asked) = follow(&["-o", "json", "--limit", "7"], cut);
        assert_eq!(outcome.status, ExitStatus::NotAllowed, "{}", outcome.err);
        let positions: Vec<u64> = outcome
            .out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["position"].as_u64().unwrap())
            .collect();
        assert_eq!(positions, [41, 42, 43, 44]);
        assert!(asked[0].contains("limit: 7") && asked[0].contains("after_position: 0"), "{asked:?}");
        assert!(asked[1].contains("limit: 10000") && asked[1].contains("after_position: 43"), "{asked:?}");
        assert!(asked[3].contains("after_position: 44"), "{asked:?}");
        assert!(outcome.err.contains("connecting again"), "{}", outcome.err);
    }
}

#[test]
fn people_see_aligned_columns() {
    let (outcome, _) = follow(&[], None);
    insta::assert_snapshot!("events_followed", outcome.out);
}
