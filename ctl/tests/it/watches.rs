//! The page that stays, also while the controller is away.

use std::time::Duration;

use rackhaven_ctl::ExitStatus;
use tonic::Code;

use crate::fleet::healthy;
use crate::harness::{Ctl, Kept};
use crate::script::{Controller, Script};

/// Waits until a stream holds what is looked for.
fn wait_for(stream: &Kept, found: impl Fn(&str) -> bool) {
    for _ in 0..2000 {
        if found(&stream.text()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never came; there is: {}", stream.text());
}

/// Watches a controller that goes away and comes back; ends when it refuses.
fn watch(
    ctl: impl FnOnce(Ctl) -> Ctl,
    seen: impl Fn(&str, usize) -> bool,
    told_away: impl Fn(&Kept, &Kept),
) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::new(Script { status: healthy(), ..Script::default() });
    let served = controller.serve(folder.path());
    let ctl = ctl(Ctl::new(folder.path()))
        .args(["status", "--watch", "--interval", "20ms", "--timeout", "500ms", "--socket"])
        .args([&served.path]);
    let (out, err) = (Kept::default(), Kept::default());
    std::thread::scope(|scope| {
        let (out, err) = (&out, &err);
        scope.spawn(move || assert_eq!(ctl.run_into(out, err), ExitStatus::NotAllowed));
        wait_for(out, |text| seen(text, 2));
        drop(served);
        told_away(out, err);
        let _served = controller.serve(folder.path());
        let before = out.text().len();
        wait_for(out, |text| seen(&text[before..], 2));
        controller.0.lock().unwrap().refusal = Some((Code::Unauthenticated, "revoked"));
        wait_for(err, |text| text.contains("revoked"));
    });
    (out.text(), err.text())
}

/// A page without what draws it in place.
fn plain(page: &str) -> String {
    page.replace("\u{1b}[K", "").replace("\u{1b}[J", "").replace('\r', "")
}

/// A line without the folder of this run and without ages that depend on when it was drawn.
fn without_what_varies(line: &str) -> String {
    match line.split_once(" · ") {
        Some((age, rest)) if age.starts_with("data ") => format!("data AGE old · {rest}"),
        _ => line
            .split(' ')
            .map(|word| if word.starts_with('/') { "SOCKET:" } else { word })
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[test]
fn on_a_screen_it_is_drawn_in_place() {
    let (out, _) = watch(
        Ctl::on_screen,
        |text, times| text.matches("OK: 2 nodes up\u{1b}[K").count() >= times,
        |out, _| wait_for(out, |text| text.contains("UNKNOWN: controller unreachable for 1s")),
    );
    let pages: Vec<_> = out.split("\u{1b}[H").skip(1).collect();
    assert!(pages.iter().all(|page| page.ends_with("\u{1b}[J") && page.lines().count() <= 24), "{out:?}");
    assert!(pages.iter().any(|page| page.contains("It last said: OK: 2 nodes up")), "{out:?}");
    assert!(!out.contains("\u{1b}[?25l"), "the cursor was hidden");
    let lost = pages.iter().rfind(|page| page.contains("unreachable for 1s")).unwrap();
    let stable: Vec<_> = plain(lost).lines().map(without_what_varies).collect();
    insta::assert_snapshot!("watch_lost", stable.join("\n"));
}

#[test]
fn programs_get_one_report_after_another() {
    let (out, err) = watch(
        |ctl| ctl.args(["-o", "json"]),
        |text, times| text.lines().count() >= times,
        |_, err| wait_for(err, |text| text.contains("still trying")),
    );
    for line in out.lines() {
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["verdict"], "ok");
    }
    assert_eq!(err.matches("still trying").count(), 1, "{err}");
}

#[test]
fn a_fleet_that_is_higher_than_the_screen_is_cut_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let mut status = healthy();
    status.nodes = (0..200).map(|n| crate::fleet::node(&format!("node-{n:03}"))).collect();
    for node in &mut status.nodes[..20] {
        node.problems = vec!["disk / 96 % full".to_owned()];
    }
    let controller = Controller::new(Script { status, ..Script::default() });
    let served = controller.serve(folder.path());
    let ctl = Ctl::new(folder.path())
        .on_screen()
        .args(["status", "--watch", "--interval", "10ms", "--socket"])
        .args([&served.path]);
    let (out, err) = (Kept::default(), Kept::default());
    std::thread::scope(|scope| {
        let (out, err) = (&out, &err);
        scope.spawn(move || ctl.run_into(out, err));
        wait_for(out, |text| text.matches("\u{1b}[J").count() >= 2);
        controller.0.lock().unwrap().refusal = Some((Code::PermissionDenied, "enough"));
    });
    let text = out.text();
    let page = text.split("\u{1b}[H").nth(1).unwrap();
    assert_eq!(page.lines().count(), 24);
    insta::assert_snapshot!("watch_cut", plain(page));
}
