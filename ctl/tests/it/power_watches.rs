//! The page of power that stays, lines in a pipe, and Ctrl-C.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use rackhaven_ctl::ExitStatus;
use tonic::Code;

use crate::harness::{Ctl, Kept};
use crate::rack;
use crate::script::{Controller, Ending, Script};
use crate::storm;

fn wait_for(stream: &Kept, found: impl Fn(&str) -> bool) {
    for _ in 0..2000 {
        if found(&stream.text()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never came; there is: {}", stream.text());
}

/// The moments of the storm that are told, milliseconds.
const MOMENTS: [u64; 14] = [
    0, 60_000, 130_000, 131_000, 140_000, 155_000, 180_000, 225_000, 400_000, 2_000_000, 7_299_000, 7_330_000,
    7_350_000, 7_380_000,
];

/// Watches until `enough` is on the screen; then the controller refuses, which ends it.
fn watch(script: Script, ctl: impl FnOnce(Ctl) -> Ctl, enough: impl Fn(&Kept, &Kept)) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::new(script);
    let served = controller.serve(folder.path());
    let ctl = ctl(Ctl::new(folder.path())).args(["power", "status", "--watch", "--socket"]).args([&served.path]);
    let (out, err) = (Kept::default(), Kept::default());
    std::thread::scope(|scope| {
        let (out, err) = (&out, &err);
        scope.spawn(move || assert_eq!(ctl.run_into(out, err), ExitStatus::NotAllowed));
        enough(out, err);
        controller.0.lock().unwrap().refusal = Some((Code::Unauthenticated, "revoked"));
        drop(served);
        let _served = controller.serve(folder.path());
        wait_for(err, |text| text.contains("revoked"));
    });
    (out.text(), err.text())
}

fn storm() -> Script {
    let changes = MOMENTS.map(storm::storm_at).into();
    Script { power: rack::on_mains(), changes, ..Script::default() }
}

fn plain(page: &str) -> String {
    page.replace("\u{1b}[K", "").replace("\u{1b}[J", "").replace('\r', "")
}

#[test]
fn each_change_is_drawn_in_place_and_fits_the_screen() {
    for (columns, size, lines) in [
        (80, (|| Some((80, 24))) as fn() -> Option<(usize, usize)>, None),
        (120, || Some((120, 40)), Some(17)),
        (40, || Some((40, 10)), Some(50)),
        (12, || Some((12, 5)), None),
    ] {
        let on_screen = |mut ctl: Ctl| {
            ctl.size = size;
            ctl.environment.no_color = true;
            ctl.environment.lines = lines;
            ctl
        };
        let rows = lines.unwrap_or(usize::MAX).min(size().unwrap().1);
        let (out, _) =
            watch(storm(), on_screen, |out, _| wait_for(out, |text| text.matches("\u{1b}[J").count() > MOMENTS.len()));
        let pages: Vec<_> = out.split("\u{1b}[H").skip(1).map(plain).collect();
        for page in &pages {
            assert!(page.trim_end().lines().count() <= rows, "{rows} rows:\n{page}");
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns.max(20)), "{columns} columns:\n{page}");
        }
        assert!(!out.contains("\u{1b}[?25l"), "the cursor was hidden");
        if columns == 80 {
            let page = |begin: &str| pages.iter().find(|page| page.starts_with(begin)).unwrap().trim_end();
            insta::assert_snapshot!("watch_waits", page("ON BATTERY for 1 min"));
            insta::assert_snapshot!("watch_goes_down", page("SHUTTING DOWN: 6 of 12 off, 3 going"));
            insta::assert_snapshot!("watch_is_down", pages.iter().rfind(|page| page.starts_with("SHUT DOWN")).unwrap());
            insta::assert_snapshot!("watch_comes_back", page("MAINS IS BACK for 49 s"));
        }
    }
}

#[test]
fn colours_add_nothing_but_colour() {
    let screen = |colour: bool| {
        move |mut ctl: Ctl| {
            ctl.size = || Some((80, 24));
            ctl.environment.no_color = !colour;
            ctl
        }
    };
    let script = || Script { power: storm::storm_at(180_000), ..Script::default() };
    let drawn = |colour| {
        let (out, _) = watch(script(), screen(colour), |out, _| wait_for(out, |text| text.contains("\u{1b}[J")));
        plain(out.split("\u{1b}[H").nth(1).unwrap())
    };
    let (coloured, without) = (drawn(true), drawn(false));
    assert!(!without.contains('\u{1b}'), "{without:?}");
    let mut stripped = coloured.clone();
    for code in ["0", "1", "2", "32", "33", "94", "35", "36", "1;31"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, without);
    insta::assert_snapshot!("watch_coloured", coloured.trim_end().replace('\u{1b}', "^"));
}

#[test]
fn a_controller_that_goes_away_leaves_its_last_word() {
    for (at_ms, said) in [
        (150_000, "UNKNOWN: controller unreachable for"),
        (204_000, "CONTROLLER OFF for 0 s: its own machine was the last to go"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let controller = Controller::new(Script { power: storm::storm_at(at_ms), ..Script::default() });
        let served = controller.serve(folder.path());
        let arguments = ["power", "status", "--watch", "--timeout", "500ms", "--socket"];
        let ctl = Ctl::new(folder.path()).on_screen().args(arguments).args([&served.path]);
        let (out, err) = (Kept::default(), Kept::default());
        std::thread::scope(|scope| {
            let (out, err) = (&out, &err);
            scope.spawn(move || assert_eq!(ctl.run_into(out, err), ExitStatus::NotAllowed));
            wait_for(out, |text| text.contains("SHUTTING DOWN"));
            drop(served);
            wait_for(out, |text| text.contains(said));
            controller.0.lock().unwrap().refusal = Some((Code::Unauthenticated, "revoked"));
            let _served = controller.serve(folder.path());
            wait_for(err, |text| text.contains("revoked"));
        });
    }
}

#[test]
fn a_pipe_gets_a_line_for_each_change_and_programs_each_status() {
    let mut script = storm();
    // The same again a second later is no change.
    script.changes.insert(2, storm::storm_at(61_000));
    let (out, _) = watch(script, |ctl| ctl, |out, _| wait_for(out, |text| text.contains("for 1 min 19 s")));
    insta::assert_snapshot!("watch_piped", out);

    let count = MOMENTS.len() + 1;
    let (out, _) =
        watch(storm(), |ctl| ctl.args(["-o", "json"]), |out, _| wait_for(out, |text| text.lines().count() >= count));
    let statuses: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(statuses[0]["phase"], "normal");
    assert_eq!(statuses[5]["outage"]["nodes"][0]["state"], "stopping");
    assert_eq!(statuses[4]["outage"]["nodes"][0]["step"], "drain");
}

/// Ctrl-C while a shutdown or a drill is followed, by the program itself.
#[test]
fn ctrl_c_stops_following_and_says_what_goes_on() {
    for (arguments, said) in [
        ("power shutdown --node pi-1 --reason x --yes", "The shutdown goes on; to end it: ctl power abort"),
        ("power drill pi-1 --yes", "The drill goes on; to end it: ctl power abort"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let timeline = storm::shutdown(&["pi-1"])[..4].to_vec();
        let script = Script { plan: rack::plan(), timeline, ending: Ending::Open, ..Script::default() };
        let served = Controller::new(script).serve(folder.path());
        #[expect(clippy::disallowed_methods, reason = "a signal must hit a process of its own")]
        let mut child = Command::new(env!("CARGO_BIN_EXE_ctl"))
            .args(arguments.split(' '))
            .arg("--socket")
            .arg(&served.path)
            .env("HOME", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It listens for signals before it shows the first event.
        let mut first = [0; 64];
        let read = child.stdout.as_mut().unwrap().read(&mut first).unwrap();
        assert!(read > 0);
        let id = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{err}");
        assert!(err.contains(said), "{err}");
    }
}
