//! However `ctl top` ends, the terminal is as it was before.

use std::time::Duration;

use nix::sys::signal::Signal;
use rackhaven_tests::fleet::token;
use rackhaven_tests::rack::now;
use rackhaven_tests::terminal::{processes_with, signal};
use rackhaven_tests::{Ctl, Fleet, Sshd, Terminal, address, wait_for, wait_until};

const SIZE: (u16, u16) = (80, 24);

/// Who of the two a story is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Guard,
    Drawer,
    Both,
}

/// A fleet, and a terminal in which `ctl top` runs again and again.
struct Stage {
    fleet: Fleet,
    terminal: Terminal,
    /// How the terminal was at first.
    before: String,
}

impl Stage {
    async fn set() -> Self {
        let fleet = Fleet::start().await.unwrap();
        let terminal = Terminal::open(fleet.folder(), SIZE, &[]).await.unwrap();
        let before = terminal.say("stty -a").await.unwrap();
        Self { fleet, terminal, before }
    }

    fn context(&self) -> String {
        self.fleet.state().join("admin.context").display().to_string()
    }

    /// Starts it, and waits for its picture; the guard and the one who draws.
    async fn start(&self) -> (u32, u32) {
        self.terminal.enter(&self.fleet.ctl().line("top --interval 300ms").unwrap()).await.unwrap();
        self.drawn().await;
        self.pair().await
    }

    async fn drawn(&self) {
        self.terminal.wait_for(&["NODES 0", "q quit"]).await.unwrap();
        let shown = wait_until("the alternate screen", async || self.terminal.modes().await.is_ok_and(|modes| modes.0));
        shown.await.unwrap();
    }

    async fn pair(&self) -> (u32, u32) {
        let context = self.context();
        wait_for("two processes", async || {
            let pids = processes_with(&context)?;
            let parents: Vec<_> = pids.iter().map(|pid| parent(*pid)).collect();
            Ok(match (pids.as_slice(), parents.as_slice()) {
                ([a, b], [_, of_b]) if *of_b == Some(*a) => Some((*a, *b)),
                ([a, b], [of_a, _]) if *of_a == Some(*b) => Some((*b, *a)),
                _ => None,
            })
        })
        .await
        .unwrap()
    }

    /// Nothing is left of it, and the terminal is as it was.
    async fn is_over(&self, how: &str) {
        let context = self.context();
        let gone =
            wait_for("the processes to be gone", async || Ok(processes_with(&context)?.is_empty().then_some(())));
        gone.await.unwrap_or_else(|error| panic!("{how}: {error:#}"));
        let prompt = self.terminal.wait_for_prompt().await;
        prompt.unwrap_or_else(|error| panic!("{how}: {error:#}"));
        assert_eq!(self.terminal.say("stty -a").await.unwrap(), self.before, "{how}");
        assert_eq!(self.terminal.say("echo $((20 + 22))").await.unwrap(), "42", "{how}");
    }
}

/// A text wherever the terminal has broken its lines.
fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The parent of a process, while there is one.
fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[tokio::test]
async fn by_a_key_or_a_signal() {
    let stage = Stage::set().await;
    for key in ["q", "C-c", "F10"] {
        stage.start().await;
        stage.terminal.press(&[key]).await.unwrap();
        stage.is_over(key).await;
    }
    use Signal::{SIGABRT, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
    use Whom::{Both, Drawer, Guard};
    for (whom, what) in [
        (Guard, SIGTERM),
        (Drawer, SIGTERM),
        (Both, SIGTERM),
        (Guard, SIGINT),
        (Guard, SIGHUP),
        (Both, SIGHUP),
        (Drawer, SIGQUIT),
        (Drawer, SIGILL),
        (Drawer, SIGABRT),
        (Drawer, SIGKILL),
        (Guard, SIGKILL),
    ] {
        let (guard, drawer) = stage.start().await;
        if whom != Drawer {
            signal(guard, what).unwrap();
        }
        if whom != Guard {
            // The guard may have told it already.
            let sent = signal(drawer, what);
            assert!(whom == Both || sent.is_ok());
        }
        if (whom, what) == (Guard, SIGKILL) {
            // The shell has asked already, on the screen that is no more.
            stage.terminal.wait_for(&["the process that guards the terminal was killed"]).await.unwrap();
            stage.terminal.press(&["Enter"]).await.unwrap();
        }
        if (whom, what) == (Drawer, SIGKILL) {
            stage.terminal.wait_for(&["the process that draws was ended by SIGKILL"]).await.unwrap();
        }
        stage.is_over(&format!("{what} to {whom:?}")).await;
    }
}

#[tokio::test]
async fn job_control_works_as_for_any_program() {
    let stage = Stage::set().await;
    let (guard, drawer) = stage.start().await;
    for (how, whom) in [
        ("Ctrl-Z", None),
        ("SIGTSTP to the guard", Some((guard, Signal::SIGTSTP))),
        ("SIGTSTP to the one who draws", Some((drawer, Signal::SIGTSTP))),
        ("SIGSTOP to the one who draws", Some((drawer, Signal::SIGSTOP))),
        ("SIGSTOP to the guard", Some((guard, Signal::SIGSTOP))),
    ] {
        match whom {
            None => stage.terminal.press(&["C-z"]).await.unwrap(),
            Some((pid, what)) => signal(pid, what).unwrap(),
        }
        if how == "SIGSTOP to the guard" {
            // The one who draws finds out by itself, on the screen that is no more.
            let given_back = wait_until("the screen to be given back", async || {
                stage.terminal.modes().await.is_ok_and(|modes| modes == (false, true))
            });
            given_back.await.unwrap();
            stage.terminal.press(&["Enter"]).await.unwrap();
        }
        let prompt = stage.terminal.wait_for_prompt().await;
        prompt.unwrap_or_else(|error| panic!("{how}: {error:#}"));
        assert_eq!(stage.terminal.say("stty -a").await.unwrap(), stage.before, "{how}");
        assert!(stage.terminal.say("jobs").await.unwrap().contains("Stopped"), "{how}");
        stage.terminal.enter("clear; fg").await.unwrap();
        stage.drawn().await;
    }
    // In the background it waits for its turn.
    stage.terminal.press(&["C-z"]).await.unwrap();
    stage.terminal.wait_for_prompt().await.unwrap();
    stage.terminal.enter("bg").await.unwrap();
    wait_for("it to stop again", async || Ok(stage.terminal.say("jobs").await?.contains("Stopped").then_some(())))
        .await
        .unwrap();
    stage.terminal.enter("clear; fg").await.unwrap();
    stage.drawn().await;
    // Killed while it is stopped.
    stage.terminal.press(&["C-z"]).await.unwrap();
    stage.terminal.wait_for_prompt().await.unwrap();
    signal(drawer, Signal::SIGKILL).unwrap();
    stage.terminal.enter("fg").await.unwrap();
    stage.is_over("SIGKILL while stopped").await;
}

#[tokio::test]
async fn one_that_was_stopped_draws_nothing_on_the_screen_of_the_shell() {
    let stage = Stage::set().await;
    let (_, drawer) = stage.start().await;
    let line = solid(&stage.fleet.ctl().line("top --interval 300ms").unwrap());
    for round in 0..4 {
        signal(drawer, Signal::SIGSTOP).unwrap();
        stage.terminal.wait_for_prompt().await.unwrap();
        // By now it is late for all that it does by the clock, and would do at once.
        let stopped = now();
        wait_until("frames to be due", async || stopped.elapsed() > Duration::from_millis(1100)).await.unwrap();
        stage.terminal.enter("clear; fg").await.unwrap();
        stage.drawn().await;
        stage.terminal.press(&["C-z"]).await.unwrap();
        let screen = stage.terminal.wait_for_prompt().await.unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        assert!(solid(&screen).starts_with(&line), "round {round}: it has drawn on\n{screen}");
        stage.terminal.enter("clear; fg").await.unwrap();
        stage.drawn().await;
    }
}

#[tokio::test]
async fn where_no_shell_could_have_it_go_on_it_does_not_stop() {
    let stage = Stage::set().await;
    stage.terminal.exec(&stage.fleet.ctl().line("top --interval 300ms").unwrap()).await.unwrap();
    stage.drawn().await;
    let (guard, _) = stage.pair().await;
    stage.terminal.press(&["C-z", "?"]).await.unwrap();
    stage.terminal.wait_for(&["KEYS"]).await.unwrap();
    signal(guard, Signal::SIGTSTP).unwrap();
    stage.terminal.press(&["x", "2"]).await.unwrap();
    stage.terminal.wait_for(&[">ALERTS none", "q quit"]).await.unwrap();
    stage.terminal.press(&["q"]).await.unwrap();
    let context = stage.context();
    wait_for("nothing to be left", async || Ok(processes_with(&context)?.is_empty().then_some(()))).await.unwrap();
}

#[tokio::test]
async fn a_terminal_that_is_gone_ends_it() {
    let stage = Stage::set().await;
    stage.start().await;
    stage.terminal.close().await.unwrap();
    let context = stage.context();
    wait_for("nothing to be left", async || Ok(processes_with(&context)?.is_empty().then_some(()))).await.unwrap();
}

#[tokio::test]
async fn a_hang_up_that_is_ignored_ends_it_too() {
    let stage = Stage::set().await;
    stage.terminal.enter("trap '' HUP").await.unwrap();
    stage.start().await;
    stage.terminal.close().await.unwrap();
    let context = stage.context();
    wait_for("nothing to be left", async || Ok(processes_with(&context)?.is_empty().then_some(()))).await.unwrap();
}

#[tokio::test]
async fn over_ssh_and_when_its_line_is_cut() {
    let stage = Stage::set().await;
    let folder = stage.fleet.folder().join("ssh");
    std::fs::create_dir(&folder).unwrap();
    let mut sshd = Sshd::start(&folder, address::fresh()).await.unwrap();
    let line = sshd.on_terminal(&stage.fleet.ctl().line("top --interval 300ms").unwrap());
    stage.terminal.enter(&line).await.unwrap();
    stage.drawn().await;
    // On the larger screen there is room for one key more.
    stage.terminal.resize((100, 30)).await.unwrap();
    stage.terminal.wait_for(&["p pause"]).await.unwrap();
    stage.terminal.resize(SIZE).await.unwrap();
    let smaller = wait_until("the smaller screen", async || {
        stage.terminal.screen().await.is_ok_and(|screen| screen.contains("a ack") && !screen.contains("p pause"))
    });
    smaller.await.unwrap();
    stage.terminal.press(&["q"]).await.unwrap();
    stage.is_over("q over ssh").await;

    stage.terminal.enter(&line).await.unwrap();
    stage.drawn().await;
    sshd.cut().await.unwrap();
    let context = stage.context();
    wait_for("nothing to be left", async || Ok(processes_with(&context)?.is_empty().then_some(()))).await.unwrap();
    // ssh itself gives back the settings, and says so after that: what is typed before has no end of line for the shell.
    wait_until("ssh to say so", async || {
        stage.terminal.screen().await.is_ok_and(|screen| solid(&screen).contains("Connectionto"))
    })
    .await
    .unwrap();
    // Nobody but the shell's user gives back the screen, unless the far guard had the time for it.
    if stage.terminal.modes().await.unwrap() != (false, true) {
        stage.terminal.enter("printf '\\033[?1049l\\033[?25h'").await.unwrap();
    }
    stage.is_over("a cut line").await;
}

#[tokio::test]
async fn who_is_refused_is_told_on_the_screen_as_it_was() {
    let stage = Stage::set().await;
    let ctl = Ctl::of_user(&stage.fleet.folder().join("home-vera"));
    let invitation = stage.fleet.ctl().json("user invite vera --role viewer").await.unwrap();
    let login = ctl.clone().with_variable("RACKHAVEN_TOKEN", &token(invitation).unwrap());
    login.ok(&format!("login {}", stage.fleet.endpoint())).await.unwrap();
    stage.terminal.enter(&format!("{}; echo exit=$?", ctl.line("top --interval 300ms").unwrap())).await.unwrap();
    stage.drawn().await;
    stage.fleet.ctl().ok("user revoke vera --yes").await.unwrap();
    let screen = stage.terminal.wait_for(&["error:", "exit=5"]).await.unwrap();
    assert!(screen.contains("revoked") || screen.contains("log in again"), "{screen}");
    stage.is_over("refused").await;

    // One that is not there at first is told at once.
    let line = stage.fleet.ctl().line("top --socket /nowhere/socket").unwrap();
    let line = line.replace(&format!("--context-file {}", stage.context()), "");
    stage.terminal.enter(&format!("{line}; echo exit=$?")).await.unwrap();
    stage.terminal.wait_for(&["cannot reach /nowhere/socket", "exit=4"]).await.unwrap();
    stage.is_over("unreachable").await;
}
