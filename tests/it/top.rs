//! `ctl top` on a terminal, as a person sees it. How it ends is told in `top_ends`.

use std::path::PathBuf;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::fleet::token;
use rackhaven_tests::terminal::processes_with;
use rackhaven_tests::{Ctl, Fleet, ScriptedUps, Terminal, wait_for};

/// What the screens of these stories have shown goes into this folder, for people.
const CAPTURES: &str = "RACKHAVEN_CAPTURES";
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

fn keep(name: &str, screen: &str) {
    if let Some(folder) = std::env::var_os(CAPTURES).map(PathBuf::from) {
        std::fs::write(folder.join(name), screen).unwrap();
    }
}

async fn user(fleet: &Fleet, name: &str, role: &str) -> Ctl {
    let ctl = Ctl::of_user(&fleet.folder().join(format!("home-{name}")));
    let invitation = fleet.ctl().json(&format!("user invite {name} --role {role}")).await.unwrap();
    let login = ctl.clone().with_variable("RACKHAVEN_TOKEN", &token(invitation).unwrap());
    login.ok(&format!("login {}", fleet.endpoint())).await.unwrap();
    ctl
}

/// The settings of a terminal of this size.
async fn settings(terminal: &Terminal) -> String {
    terminal.say("stty -a").await.unwrap()
}

#[tokio::test]
async fn the_fleet_is_seen_on_small_and_large_screens() {
    let mut fleet = Fleet::prepare().unwrap();
    let ups = ScriptedUps::start(fleet.folder()).await.unwrap();
    for (path, value) in [("power.ups", format!("[{}]", ups.entry()).as_str()), ("power.poll_seconds", "0.2")] {
        fleet.settings.set(path, value);
    }
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut nodes = Vec::new();
    for name in ["pi-1", "pi-2", "pi-3"] {
        nodes.push(fleet.join(name).await.unwrap());
    }
    let terminal = Terminal::open(fleet.folder(), SMALL, &[]).await.unwrap();
    terminal.enter(&fleet.ctl().line("top --interval 300ms").unwrap()).await.unwrap();
    let screen =
        terminal.wait_for(&["OK", "NODES 3 by state", "pi-1", "ALERTS none", "on mains", "EVENTS"]).await.unwrap();
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    keep("small", &screen);
    keep("small-painted", &terminal.painted().await.unwrap());

    // A node dies, and mains fails.
    nodes[1].kill().await.unwrap();
    ups.status("OB DISCHRG");
    let screen = terminal.wait_for(&["ON BATTERY", "node-down:pi-2", "1 of 3 nodes down"]).await.unwrap();
    let row = screen.lines().position(|line| line.starts_with("pi-2  down")).unwrap();
    assert!(row < screen.lines().position(|line| line.starts_with("pi-1  up")).unwrap(), "worst first: {screen}");
    keep("small-troubled", &screen);
    keep("small-troubled-painted", &terminal.painted().await.unwrap());
    terminal.resize(LARGE).await.unwrap();
    let screen = terminal.wait_for(&["WHAT IS WRONG", "EVENTS", "node.down"]).await.unwrap();
    keep("large-troubled", &screen);
    keep("large-troubled-painted", &terminal.painted().await.unwrap());
    ups.status("OL");
    nodes[1].start().unwrap();
    terminal.wait_for(&["OK", "pi-2  up", "on mains"]).await.unwrap();

    // Closely, and back; the order, the filter, the help.
    terminal.press(&["N", "j", "j", "Enter"]).await.unwrap();
    let screen = terminal.wait_for(&["pi-3: up for", "CORES", "FILE SYSTEM", "MEMORY"]).await.unwrap();
    keep("large-node", &screen);
    terminal.resize(SMALL).await.unwrap();
    let screen = terminal.wait_for(&["pi-3: up for", "j/k scroll"]).await.unwrap();
    keep("small-node", &screen);
    terminal.press(&["Escape"]).await.unwrap();
    terminal.wait_for(&["NODES 3 by name"]).await.unwrap();
    terminal.press(&["/", "p", "i", "-", "2"]).await.unwrap();
    terminal.wait_for(&["filter: pi-2_", "NODES 1 of 3"]).await.unwrap();
    terminal.press(&["Enter", "F1"]).await.unwrap();
    let screen = terminal.wait_for(&["KEYS", "quit"]).await.unwrap();
    keep("small-help", &screen);
    terminal.press(&["x", "Escape", "4"]).await.unwrap();
    let screen = terminal.wait_for(&["NODES 3 by name", ">POWER", "Charge"]).await.unwrap();
    keep("small-power", &screen);
    terminal.press(&["p"]).await.unwrap();
    terminal.wait_for(&["PAUSED"]).await.unwrap();
    terminal.press(&["p", "+"]).await.unwrap();
    terminal.wait_for(&["every 0.5 s"]).await.unwrap();

    // The controller is away, and comes back.
    fleet.kill_controller().await.unwrap();
    let screen = terminal.wait_for(&["UNKNOWN: controller unreachable for", "retrying", "pi-1"]).await.unwrap();
    keep("small-lost", &screen);
    keep("small-lost-painted", &terminal.painted().await.unwrap());
    fleet.start_controller().await.unwrap();
    terminal.wait_for(&["OK", "controller 0.1.0"]).await.unwrap();

    terminal.resize((40, 10)).await.unwrap();
    let screen = terminal.wait_for(&["too small", "60x14"]).await.unwrap();
    keep("tiny", &screen);
    terminal.press(&["q"]).await.unwrap();
    terminal.wait_for_prompt().await.unwrap();
}

#[tokio::test]
async fn alerts_are_acknowledged_by_those_who_may() {
    let fleet = Fleet::start().await.unwrap();
    let mut pi = fleet.join("pi-1").await.unwrap();
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let viewer = user(&fleet, "vera", "viewer").await;
    let terminal = Terminal::open(fleet.folder(), SMALL, &[]).await.unwrap();
    for (ctl, told) in [
        (&viewer, "not acknowledged: Alerts/Ack needs the role operator"),
        (&fleet.ctl(), "acknowledged node-down:pi-1"),
    ] {
        terminal.enter(&ctl.line("top --interval 300ms").unwrap()).await.unwrap();
        terminal.wait_for(&["ALERTS 1 firing", "node-down:pi-1"]).await.unwrap();
        // The first a goes to the alerts, the second asks.
        terminal.press(&["a", "a"]).await.unwrap();
        terminal.wait_for(&["Acknowledge node-down:pi-1?"]).await.unwrap();
        terminal.press(&["x", "Enter", "y"]).await.unwrap();
        let screen = terminal.wait_for(&[told]).await.unwrap();
        keep("acknowledged", &screen);
        terminal.press(&["q"]).await.unwrap();
        terminal.wait_for_prompt().await.unwrap();
    }
    let known = fleet.ctl().json("alerts list").await.unwrap();
    assert!(!known["alerts"][0]["acknowledged_by"].is_null(), "{known}");
}

#[tokio::test]
async fn pastes_and_storms_change_nothing() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let terminal = Terminal::open(fleet.folder(), SMALL, &[]).await.unwrap();
    terminal.enter(&fleet.ctl().line("top --interval 300ms").unwrap()).await.unwrap();
    terminal.wait_for(&["NODES 1 by state"]).await.unwrap();
    let garbage: String = ('\u{1}'..'\u{7f}').filter(|c| *c != '\u{3}').cycle().take(20_000).collect();
    terminal.paste(&garbage).await.unwrap();
    terminal.paste("qqq\nyyy\naay\n").await.unwrap();
    for step in 0..60 {
        terminal.pull((40 + step * 3, 8 + step)).await.unwrap();
    }
    terminal.resize(SMALL).await.unwrap();
    let screen = terminal.wait_for(&["NODES 1 by state", "q quit"]).await.unwrap();
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    // What is pasted into a filter is text.
    terminal.press(&["/"]).await.unwrap();
    terminal.wait_for(&["filter: _"]).await.unwrap();
    terminal.paste("role=q\nx").await.unwrap();
    terminal.wait_for(&["filter: role=qx_"]).await.unwrap();
    terminal.press(&["C-c"]).await.unwrap();
    terminal.wait_for_prompt().await.unwrap();
}

#[tokio::test]
async fn what_is_no_screen_is_refused_and_any_screen_is_drawn_on() {
    let fleet = Fleet::start().await.unwrap();
    let _pi = fleet.join("pi-1").await.unwrap();
    let context = fleet.state().join("admin.context").display().to_string();
    let refused = fleet.ctl().fails("top", 2).await.unwrap();
    assert!(refused.err.contains("standard output is no terminal") && refused.err.contains("ctl status --watch"));
    let terminal = Terminal::open(fleet.folder(), SMALL, &[]).await.unwrap();
    let top = fleet.ctl().line("top").unwrap();
    for (line, told) in [
        (format!("TERM=dumb {top}"), "TERM=dumb"),
        (format!("{top} -o json"), "no other form of output"),
        (format!("{top} --interval 1ms"), "is too often"),
        (format!("{top} | cat"), "is no terminal"),
    ] {
        let said = terminal.say(&format!("({line}); echo exit=$?")).await.unwrap();
        assert!(said.contains(told), "{line}: {said}");
        assert!(said.contains("exit=2") || line.ends_with("cat"), "{line}: {said}");
    }
    let before = settings(&terminal).await;
    for (term, more) in [("linux", ""), ("vt100", ""), ("xterm", "NO_COLOR=1"), ("screen", "LC_ALL=C")] {
        terminal.enter(&format!("TERM={term} {more} {top}")).await.unwrap();
        terminal.wait_for(&["NODES 1 by state", "pi-1"]).await.unwrap();
        let painted = terminal.painted().await.unwrap();
        keep(&format!("term-{term}-painted"), &painted);
        let coloured = painted.contains("\u{1b}[32m");
        assert_eq!(coloured, term == "linux" || term == "screen", "{term}: {painted}");
        assert_eq!(painted.contains('─'), more != "LC_ALL=C", "{term}: {painted}");
        terminal.press(&["q"]).await.unwrap();
        terminal.wait_for_prompt().await.unwrap();
        assert_eq!(settings(&terminal).await, before, "{term}");
        wait_for("the processes to end", async || Ok(processes_with(&context)?.is_empty().then_some(())))
            .await
            .unwrap();
    }
}
