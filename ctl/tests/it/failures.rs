//! What goes wrong, and the exit status of each.

use rackhaven_ctl::ExitStatus;
use tonic::Code;

use crate::fleet::{degraded, events};
use crate::harness::{Ctl, Kept};
use crate::script::{Controller, Script};

#[test]
fn refusals_are_sentences_with_their_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    for (code, message, exit) in [
        (Code::PermissionDenied, "Fleet/GetStatus needs the role viewer", ExitStatus::NotAllowed),
        (Code::Unauthenticated, "the certificate of user/ann was revoked or is not known", ExitStatus::NotAllowed),
        (Code::NotFound, "there is no node pi-9", ExitStatus::Failed),
        (Code::Unavailable, "the controller is stopping", ExitStatus::Unreachable),
        (Code::Unimplemented, "", ExitStatus::Failed),
    ] {
        let script = Script { refusal: Some((code, message)), ..Script::default() };
        let served = Controller::new(script).serve(folder.path());
        for command in ["status", "node show pi-9", "events", "events --follow", "audit", "whoami", "status --watch"] {
            // A controller that is away is waited for once it was seen; these two would wait for ever.
            if exit == ExitStatus::Unreachable && command.starts_with("events --follow") {
                continue;
            }
            let outcome =
                Ctl::new(folder.path()).args(command.split(' ')).args(["--socket"]).args([&served.path]).run();
            assert_eq!(outcome.status, exit, "{command} {code:?}: {}", outcome.err);
            assert_eq!(outcome.out, "", "{command} {code:?}");
            assert!(outcome.err.starts_with("error: ") && outcome.err.contains(message), "{command}: {}", outcome.err);
            assert!(!outcome.err.contains("details"), "{command}: {}", outcome.err);
        }
    }
}

#[test]
fn nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing.sock");
    let outcome = Ctl::new(folder.path()).args(["status", "--socket"]).args([&missing]).run();
    assert_eq!(outcome.status, ExitStatus::Unreachable);
    assert!(outcome.err.contains("there is no such socket"), "{}", outcome.err);
    assert!(outcome.err.contains("rackhaven-controller"), "{}", outcome.err);
}

#[test]
fn one_who_listens_and_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mute.sock");
    let _listening = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let outcome = Ctl::new(folder.path()).args(["status", "--timeout", "200ms", "--socket"]).args([&path]).run();
    assert_eq!(outcome.status, ExitStatus::Unreachable);
    assert!(outcome.err.contains("within 200 ms"), "{}", outcome.err);
}

#[test]
fn wrong_command_lines() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        ("statsu", "status"),
        ("node lst", "list"),
        ("node show Pi_3", "lower-case letters"),
        ("node invite --ttl soon", "not a duration"),
        ("node invite --uses 0", "1.."),
        ("node invite --name a --uses 2", "leave out --name or --uses"),
        ("node invite --label stage", "KEY=VALUE"),
        ("node label pi-1", "KEY"),
        ("node label pi-1 a=1 a-", "both set and removed"),
        ("user invite ann --role king", "operator"),
        ("status --watch --check", "cannot be used with"),
        ("status -o xml", "json"),
        ("login 10.0.0.5:0", "not a port"),
        ("context use ../x", "cannot name a context"),
        ("status", "ctl login"),
        ("", "Usage"),
    ] {
        let outcome = Ctl::new(folder.path()).args(arguments.split_terminator(' ')).run();
        // Without any context the socket of a controller on this machine would be taken.
        if arguments == "status" && std::path::Path::new("/run/rackhaven/controller.sock").exists() {
            continue;
        }
        assert_eq!(outcome.status, ExitStatus::Usage, "{arguments}: {}", outcome.err);
        assert!(outcome.err.contains(told), "{arguments}: {}", outcome.err);
        assert_eq!(outcome.out, "", "{arguments}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script { status: degraded(), events: vec![events(), events()], ..Script::default() };
    let served = Controller::new(script).serve(folder.path());
    for (arguments, exit) in [
        ("status", ExitStatus::Fine),
        ("status --check", ExitStatus::Unhealthy),
        ("events -o json", ExitStatus::Fine),
        ("events --follow", ExitStatus::Fine),
        ("completions bash", ExitStatus::Fine),
        ("--help", ExitStatus::Fine),
    ] {
        let ctl = Ctl::new(folder.path()).args(["--socket"]).args([&served.path]).args(arguments.split(' '));
        let (out, err) = (Kept { closed_after: Some(0), ..Kept::default() }, Kept::default());
        assert_eq!(ctl.run_into(&out, &err), exit, "{arguments}: {}", err.text());
        assert_eq!(err.text(), "", "{arguments}");
    }
}

#[test]
fn an_answer_that_is_not_understood() {
    let folder = tempfile::tempdir().unwrap();
    let mut status = degraded();
    status.nodes[0].state = 99;
    let served = Controller::new(Script { status, ..Script::default() }).serve(folder.path());
    let outcome = Ctl::new(folder.path()).args(["status", "--socket"]).args([&served.path]).run();
    assert_eq!(outcome.status, ExitStatus::Failed);
    assert!(outcome.err.contains("node state: 99 is not known"), "{}", outcome.err);
    assert!(outcome.err.contains("older than the controller"), "{}", outcome.err);
}

#[test]
fn completions_and_manual_pages() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = Ctl::new(folder.path()).args(["completions", shell]).run().fine();
        assert!(script.contains("poweroff"), "{shell}");
    }
    assert!(Ctl::new(folder.path()).args(["man"]).run().fine().contains(".TH ctl 1"));
    let pages = folder.path().join("man");
    Ctl::new(folder.path()).args(["man"]).args([&pages]).run().fine();
    assert!(pages.join("ctl-node-reboot.1").exists());
}
