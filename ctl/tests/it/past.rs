//! How a node was: the drawings of `ctl node show --since`, and the same for programs.

use insta::assert_snapshot;
use rackhaven_ctl::ExitStatus;
use rackhaven_proto::v1::*;

use crate::fleet::{DAY_MS, NOW_MS, day};
use crate::harness::{Ctl, Outcome};
use crate::script::{Controller, Script};

/// One run against a controller that tells this; and what it was asked.
fn ask(history: NodeHistory, arguments: &str, change: impl FnOnce(&mut Ctl)) -> (Outcome, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let controller = Controller::new(Script { history, ..Script::default() });
    let served = controller.serve(folder.path());
    let mut ctl = Ctl::new(folder.path()).args(arguments.split(' ')).args(["--socket"]).args([&served.path]);
    change(&mut ctl);
    (ctl.run(), controller.asked())
}

fn on_screen(ctl: &mut Ctl) {
    ctl.size = || Some((80, 24));
    ctl.environment.no_color = true;
}

fn screen(history: NodeHistory, arguments: &str) -> String {
    ask(history, arguments, on_screen).0.fine()
}

#[test]
fn a_day_on_a_usual_screen() {
    let drawn = screen(day(), "node show pi-1 --since 24h");
    assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{drawn}");
    // All of it, and the prompt under it.
    assert!(drawn.lines().count() < 24, "{drawn}");
    assert_snapshot!("past_day", drawn);
    let ascii = |ctl: &mut Ctl| {
        on_screen(ctl);
        ctl.environment.ascii = true;
    };
    let plain = ask(day(), "node show pi-1 --since 24h", ascii).0.fine();
    assert!(plain.is_ascii(), "{plain}");
    let widths = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
    assert_eq!(widths(&plain), widths(&drawn));
    assert_snapshot!("past_day_ascii", plain);
}

#[test]
fn it_fills_any_screen_and_no_more() {
    for (size, columns, rows) in [
        ((|| Some((200, 60))) as fn() -> _, 200_usize, 60),
        (|| Some((120, 30)), 120, 30),
        (|| Some((40, 24)), 40, 24),
        (|| Some((20, 10)), 20, 10),
        (|| Some((1, 1)), 1, 1),
    ] {
        let (outcome, asked) = ask(day(), "node show pi-1 --since 24h", |ctl| ctl.size = size);
        let drawn = outcome.fine();
        let points = usize::max(columns.saturating_sub(7), 10);
        assert!(asked[0].contains(&format!("max_points: {points} ")), "{asked:?}");
        // The script does not keep to what was asked for, as a controller does.
        if columns >= 80 {
            assert!(drawn.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{drawn}");
        }
        if rows >= 24 {
            assert!(drawn.lines().count() < rows, "{rows} rows:\n{drawn}");
        }
        if columns == 200 {
            assert_snapshot!("past_day_200", drawn);
        }
    }
}

#[test]
fn colours_say_what_was_bad_and_nothing_else() {
    let colours = |ctl: &mut Ctl| ctl.size = || Some((80, 24));
    let coloured = ask(day(), "node show pi-1 --since 24h", colours).0.fine();
    // The one hot spike.
    assert!(coloured.contains("\u{1b}[33m░\u{1b}[0m"), "{coloured:?}");
    let mut stripped = coloured;
    for code in ["0", "1", "2", "32", "33", "1;31"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, screen(day(), "node show pi-1 --since 24h"));
}

#[test]
fn programs_get_all_steps() {
    let (outcome, asked) = ask(day(), "node show pi-1 --since 24h --until 30m -o csv", |_| ());
    assert!(
        asked[0].contains("since_seconds_ago: 86400, until_seconds_ago: 1800, max_points: 0"),
        "as finely as there is: {asked:?}"
    );
    let csv = outcome.fine();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 73, "the gaps too");
    assert!(lines.iter().all(|line| line.split(',').count() == 17), "{csv}");
    assert_snapshot!("past_csv_head", lines[..3].join("\n"));
    assert_eq!(lines[1 + 42], "2026-11-21T10:00:00Z,0,,,,,,,,,,,,,,,");
    let json: serde_json::Value =
        serde_json::from_str(&ask(day(), "node show pi-1 --since 24h -o json", |_| ()).0.fine()).unwrap();
    assert_eq!(json["name"], "pi-1");
    let history = &json["history"];
    assert_eq!(history["points"].as_array().unwrap().len(), 73);
    assert!(history["points"][42]["cpu_max_percent"].is_null() && history["points"][42]["heard_minutes"] == 0);
    assert_eq!(history["step_seconds"], 1200);
    let titles: Vec<_> = lines[0].split(',').collect();
    let keys: Vec<_> = history["points"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys.len(), titles.len());
    assert!(titles.iter().all(|title| keys.iter().any(|key| key == title)), "{titles:?} {keys:?}");
    let mut short = day();
    short.points.truncate(1);
    short.until_unix_ms = short.since_unix_ms + 60_000;
    assert_snapshot!("past_json", ask(short.clone(), "node show pi-1 --since 1m -o json", |_| ()).0.fine());
    assert!(ask(short, "node show pi-1 --since 1m -o yaml", |_| ()).0.fine().contains("\n    cpu_max_percent: "));
}

#[test]
fn what_is_not_there_is_said() {
    let empty = NodeHistory { points: vec![], expected_minutes: 0, heard_minutes: 0, ..day() };
    for (first_unix_ms, until_unix_ms, said) in [
        (None, NOW_MS, "No figures yet: the first come a minute after a node's first sample"),
        (Some(NOW_MS), NOW_MS - DAY_MS as i64 / 2, "Nothing of this time; the oldest figures are of 2026-11-21 22:14"),
        (Some(NOW_MS - 10_000), NOW_MS, "Nothing yet; nothing is older than 2026-11-21 22:14"),
    ] {
        let drawn = screen(NodeHistory { first_unix_ms, until_unix_ms, ..empty.clone() }, "node show pi-1 --since 24h");
        assert_eq!(drawn.lines().count(), 3, "{drawn}");
        assert_eq!(drawn.lines().last(), Some(said));
    }
    let young =
        NodeHistory { first_unix_ms: Some(NOW_MS - 3_600_000), heard_minutes: 60, expected_minutes: 60, ..day() };
    let drawn = screen(young, "node show pi-1 --since 24h");
    assert!(drawn.contains("Heard all the time; nothing is older than 2026-11-21 21:14"), "{drawn}");
    // A node that does not measure heat, and is down.
    let mut down = day();
    down.points.iter_mut().for_each(|point| point.temperature_celsius = None);
    if let Some(summary) = &mut down.summary {
        summary.state = NodeState::Down.into();
    }
    let drawn = screen(down, "node show pi-1 --since 24h");
    assert!(!drawn.contains("TEMP") && drawn.contains("CPU     last   12%"), "{drawn}");
}

#[test]
fn what_cannot_be_is_refused() {
    for (line, said) in [
        ("node show pi-1 --since yesterday", "is not a time such as 90m, 24h, 7d or 365d"),
        ("node show pi-1 --since 10s", "less than a minute"),
        ("node show pi-1 --until 1h", "--since"),
        ("node show pi-1 --since 1h --until 2h", "--until must be less long ago than --since"),
        ("node show pi-1 -o csv", "-o csv is a form of `ctl node show NODE --since TIME` alone"),
        ("node reboot pi-1 --yes -o csv", "-o csv is a form of `ctl node show NODE --since TIME` alone"),
    ] {
        let (outcome, asked) = ask(day(), line, |_| ());
        assert_eq!(outcome.status, ExitStatus::Usage, "{line}");
        assert!(outcome.err.contains(said), "{line}: {}", outcome.err);
        assert_eq!(asked, Vec::<String>::new(), "{line}");
    }
}

#[test]
fn a_strange_controller_is_not_believed() {
    let point = HistoryPoint { wall_unix_ms: i64::MAX, ..day().points[0] };
    for (history, said) in [
        (NodeHistory { summary: None, ..day() }, "summary"),
        (NodeHistory { step_seconds: 0, ..day() }, "history"),
        (NodeHistory { until_unix_ms: i64::MIN, ..day() }, "history"),
        (NodeHistory { since_unix_ms: i64::MIN, ..day() }, "history"),
        (NodeHistory { points: vec![point], ..day() }, "history"),
    ] {
        let (outcome, _) = ask(history, "node show pi-1 --since 24h", on_screen);
        assert_eq!(outcome.status, ExitStatus::Failed, "{said}: {outcome:?}");
        assert!(outcome.err.contains("the controller's answer is not understood") && outcome.err.contains(said));
    }
    let mut odd = day();
    for (number, point) in odd.points.iter_mut().enumerate() {
        let value = [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN][number % 4];
        point.heard_minutes = u32::MAX;
        point.cpu_percent = Some(Spread { mean: value, low: value, high: value });
        point.temperature_celsius = point.cpu_percent;
        point.load_one = point.cpu_percent;
    }
    let odd = NodeHistory { expected_minutes: 1, heard_minutes: u32::MAX, first_unix_ms: Some(i64::MIN), ..odd };
    for form in ["table", "json", "csv", "yaml"] {
        ask(odd.clone(), &format!("node show pi-1 --since 24h -o {form}"), on_screen).0.fine();
    }
}
