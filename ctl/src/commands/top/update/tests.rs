use super::Effect;
use crate::commands::top::fixture::{press, troubled, view};
use crate::commands::top::keys::{Input, Key};
use crate::commands::top::plan::Panel;
use crate::commands::top::view::{Mode, View};

/// A view after these keys but the last, and what the last one does.
fn after(keys: &str) -> (View, Option<Effect>) {
    let mut view = view(troubled(), (80, 24));
    let last = keys.chars().last().unwrap();
    press(&mut view, &keys[..keys.len() - last.len_utf8()]);
    let key = match last {
        '\n' => Key::Enter,
        '\u{1b}' => Key::Escape,
        c => Key::Char(c),
    };
    let effect = view.input(Input::Key(key), 1_000);
    (view, effect)
}

#[test]
fn golden() {
    let acknowledge = |key: &str| Some(Effect::Acknowledge(key.to_owned()));
    for (keys, effect) in [
        ("q", Some(Effect::End)),
        ("\u{1b}", None),
        ("x", None),
        ("p", None),
        ("pp", Some(Effect::Look)),
        ("r", Some(Effect::Look)),
        ("+", Some(Effect::Look)),
        ("-", Some(Effect::Look)),
        ("--", Some(Effect::Look)),
        ("---", None),
        ("\n", Some(Effect::Look)),
        ("\nq", Some(Effect::End)),
        ("\n\u{1b}q", Some(Effect::End)),
        // Help and questions take the key, whatever it means elsewhere.
        ("?q", None),
        ("?qq", Some(Effect::End)),
        ("/q", None),
        ("/q\nq", Some(Effect::End)),
        ("aaq", None),
        ("aaqq", Some(Effect::End)),
        // The first a shows which alert it would be.
        ("a", None),
        ("ay", None),
        ("aa", None),
        ("aay", acknowledge("on-battery:ups")),
        ("2ay", acknowledge("on-battery:ups")),
        ("2jjay", acknowledge("disk-full:pi-2:/srv")),
        ("2aan", None),
        ("2a\u{1b}", None),
        ("2a\n", None),
        ("2a\ny", acknowledge("on-battery:ups")),
        // Somebody knows of it already.
        ("2jay", None),
        // This alert is about no node, that one is.
        ("2\n", None),
        ("2j\n", Some(Effect::Look)),
    ] {
        assert_eq!(after(keys).1, effect, "{keys:?}");
    }
}

#[test]
fn one_can_leave_from_anywhere() {
    for keys in ["x", "/", "aa", "?", "\n", "p"] {
        assert_eq!(after(keys).0.input(Input::Key(Key::Ctrl('c')), 0), Some(Effect::End), "{keys:?}");
        assert_eq!(after(keys).0.input(Input::Key(Key::Ctrl('z')), 0), Some(Effect::Suspend), "{keys:?}");
    }
}

#[test]
fn a_paste_is_never_a_command() {
    for keys in ["x", "aa", "?", "\n"] {
        let (mut view, _) = after(keys);
        let before = format!("{:?} {:?} {}", view.mode, view.panel, view.help);
        assert_eq!(view.input(Input::Paste("yq".to_owned()), 0), None);
        assert_eq!(format!("{:?} {:?} {}", view.mode, view.panel, view.help), before, "{keys:?}");
    }
    let (mut view, _) = after("/");
    view.input(Input::Paste("y".repeat(1_000)), 0);
    assert_eq!(view.filter, "y".repeat(64));
}

#[test]
fn a_filter_can_be_given_up() {
    let filter = |keys: &str| after(keys).0.filter;
    assert_eq!(filter("/pi-3\n"), "pi-3");
    assert_eq!(filter("/pi-3\u{1b}"), "");
    assert_eq!(filter("/pi\n/-3\u{1b}"), "pi");
    assert_eq!(filter("/pi\n\u{1b}"), "");
    let (view, effect) = after("/pi-3\n\n");
    assert_eq!(effect, Some(Effect::Look));
    assert!(matches!(&view.mode, Mode::Node(close) if close.name.as_str() == "pi-3"));
}

#[test]
fn panels_go_round_and_events_can_be_scrolled() {
    let mut view = view(troubled(), (80, 24));
    for panel in [Panel::Alerts, Panel::Events, Panel::Power, Panel::Nodes] {
        view.input(Input::Key(Key::Tab), 0);
        assert_eq!(view.panel, panel);
    }
    view.input(Input::Key(Key::BackTab), 0);
    assert_eq!((view.panel, view.below), (Panel::Power, Panel::Power));
    press(&mut view, "3kk");
    assert_eq!(view.newer, 2);
    press(&mut view, "jjjj");
    assert_eq!(view.newer, 0);
    press(&mut view, "g");
    let top = view.newer;
    assert!(top > 0 && top < view.events.len());
    press(&mut view, "k");
    assert_eq!(view.newer, top);
}
