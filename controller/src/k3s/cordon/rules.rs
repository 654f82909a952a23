//! Whether a node is cordoned, and when it is welcome again. Pure.

use super::{By, Mark};
use crate::k3s::nodes::NodeFacts;

/// What cordoning a node comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cordoning {
    /// It is patched, with this mark.
    Patch(Mark),
    /// It is cordoned for the same already.
    Ours,
    /// Somebody else has cordoned it: that stays so, and is not ours to undo.
    Others,
}

/// What the fleet knows of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fleet {
    /// It is none of its nodes.
    Stranger {
        /// Whether an outage, shutdown or drill goes on.
        outage: bool,
    },
    /// It is one.
    Node {
        /// Whether it is up and has nothing of its way down before it.
        stays: bool,
        /// The boot that its agent is in.
        boot_id: String,
    },
}

/// What is to be done about a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// Nothing: there is none, or it is not for us to decide.
    Nothing,
    /// Something has to come first.
    Wait(&'static str),
    /// Pods may come again.
    Uncordon,
    /// Somebody has let pods come again: the mark says what is not so.
    Forget,
}

/// What cordoning comes to for `by`, at `unix_ms`.
pub fn to_cordon(node: &NodeFacts, by: &By, unix_ms: i64) -> Cordoning {
    let fresh = || Mark { by: by.clone(), boot_id: node.boot_id.clone(), unix_ms };
    match &node.mark {
        _ if node.schedulable => Cordoning::Patch(fresh()),
        // Also in the same outage: whoever is about to welcome it, because it turned back, shall find it changed.
        Some(mark) if matches!((&mark.by, by), (By::Power(_), By::Power(_))) => Cordoning::Patch(fresh()),
        Some(mark) if mark.by == *by => Cordoning::Ours,
        _ => Cordoning::Others,
    }
}

/// What is to be done about a node's mark, looked at again and again.
///
/// That a node is ready counts only if its kubelet said so in this boot: one that was switched off a moment ago is still
/// said to be ready.
pub fn to_do(node: &NodeFacts, fleet: &Fleet) -> Todo {
    let Some(mark) = &node.mark else { return Todo::Nothing };
    if node.schedulable {
        return Todo::Forget;
    }
    if !matches!(mark.by, By::Power(_)) {
        return Todo::Nothing;
    }
    let fresh = match fleet {
        Fleet::Stranger { outage: true } => return Todo::Wait("an outage goes on"),
        Fleet::Stranger { outage: false } => true,
        Fleet::Node { stays: false, .. } => return Todo::Wait("it is not back yet"),
        Fleet::Node { boot_id, .. } => node.boot_id == *boot_id || node.boot_id != mark.boot_id,
    };
    match node.ready {
        Some(true) if fresh => Todo::Uncordon,
        Some(true) => Todo::Wait("its kubelet has not reported since it was started"),
        _ => Todo::Wait("it is not ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::{By, Cordoning, Fleet, Mark, NodeFacts, Todo, to_cordon, to_do};

    fn node(schedulable: bool, by: Option<By>) -> NodeFacts {
        let mark = by.map(|by| Mark { by, boot_id: "b-1".to_owned(), unix_ms: 5 });
        let boot_id = "b-1".to_owned();
        NodeFacts { schedulable, mark, boot_id, ready: Some(true), ..NodeFacts::default() }
    }

    fn user(name: &str) -> By {
        By::User(format!("user/{name}"))
    }

    #[test]
    fn who_may_cordon_what() {
        let upgrade = || By::Sequence("upgrade".to_owned());
        let patch = |by: By| Cordoning::Patch(Mark { by, boot_id: "b-1".to_owned(), unix_ms: 9 });
        for (node, by, expected) in [
            (node(true, None), By::Power(3), patch(By::Power(3))),
            // What was left by a cordon that somebody has undone.
            (node(true, Some(By::Power(2))), By::Power(3), patch(By::Power(3))),
            (node(true, Some(user("ann"))), user("bob"), patch(user("bob"))),
            (node(false, None), By::Power(3), Cordoning::Others),
            (node(false, None), user("ann"), Cordoning::Others),
            (node(false, None), upgrade(), Cordoning::Others),
            (node(false, Some(By::Power(3))), By::Power(3), patch(By::Power(3))),
            (node(false, Some(By::Power(2))), By::Power(3), patch(By::Power(3))),
            (node(false, Some(By::Power(3))), user("ann"), Cordoning::Others),
            (node(false, Some(user("ann"))), By::Power(3), Cordoning::Others),
            (node(false, Some(user("ann"))), user("ann"), Cordoning::Ours),
            (node(false, Some(upgrade())), upgrade(), Cordoning::Ours),
            (node(false, Some(upgrade())), By::Power(3), Cordoning::Others),
        ] {
            assert_eq!(to_cordon(&node, &by, 9), expected, "{node:?} for {by}");
        }
    }

    #[test]
    fn when_a_node_is_welcome_again() {
        let up = |boot_id: &str| Fleet::Node { stays: true, boot_id: boot_id.to_owned() };
        let away = || Fleet::Node { stays: false, boot_id: "b-1".to_owned() };
        let ours = |boot_id: &str, ready| {
            let boot_id = boot_id.to_owned();
            NodeFacts { boot_id, ready, ..node(false, Some(By::Power(3))) }
        };
        let not_heard = Todo::Wait("its kubelet has not reported since it was started");
        for (node, fleet, expected) in [
            // Somebody else's, or nobody's.
            (node(false, None), up("b-1"), Todo::Nothing),
            (node(true, None), up("b-1"), Todo::Nothing),
            (node(false, Some(user("ann"))), up("b-1"), Todo::Nothing),
            (node(false, Some(By::Sequence("upgrade".to_owned()))), up("b-1"), Todo::Nothing),
            // Somebody was faster.
            (node(true, Some(By::Power(3))), away(), Todo::Forget),
            (node(true, Some(user("ann"))), up("b-1"), Todo::Forget),
            // It never went.
            (ours("b-1", Some(true)), up("b-1"), Todo::Uncordon),
            (ours("b-1", Some(false)), up("b-1"), Todo::Wait("it is not ready")),
            (ours("b-1", None), up("b-1"), Todo::Wait("it is not ready")),
            // It was off: what the API knows is of the boot before, at first.
            (ours("b-1", Some(true)), up("b-2"), not_heard),
            (ours("b-2", Some(false)), up("b-2"), Todo::Wait("it is not ready")),
            (ours("b-2", Some(true)), up("b-2"), Todo::Uncordon),
            // Agent and kubelet do not agree about boots, but it has been in another one.
            (ours("b-3", Some(true)), up("b-2"), Todo::Uncordon),
            // On its way down, off, or held.
            (ours("b-1", Some(true)), away(), Todo::Wait("it is not back yet")),
            (ours("b-2", Some(true)), away(), Todo::Wait("it is not back yet")),
            // It has left the fleet meanwhile.
            (ours("b-1", Some(true)), Fleet::Stranger { outage: true }, Todo::Wait("an outage goes on")),
            (ours("b-1", Some(true)), Fleet::Stranger { outage: false }, Todo::Uncordon),
            (ours("b-1", None), Fleet::Stranger { outage: false }, Todo::Wait("it is not ready")),
        ] {
            assert_eq!(to_do(&node, &fleet), expected, "{node:?} and {fleet:?}");
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for by in [By::Power(7), user("ann"), By::User("local/0".to_owned()), By::Sequence("upgrade".to_owned())] {
            let mark = Mark { by, boot_id: "b-1".to_owned(), unix_ms: 1_795_341_600_000 };
            let patch = mark.patch("12");
            assert_eq!(patch["metadata"]["resourceVersion"], "12");
            let annotations = serde_json::from_value(patch["metadata"]["annotations"].clone()).unwrap();
            assert_eq!(Mark::read(&annotations), Some(mark));
        }
        let foreign = [("rackhaven.io/cordoned-by".to_owned(), "power/outage-x\u{1b}".to_owned())].into();
        assert_eq!(Mark::read(&foreign).unwrap().by, By::User("power/outage-x".to_owned()));
        assert_eq!(Mark::read(&[("a".to_owned(), "b".to_owned())].into()), None);
    }

    #[test]
    fn patches_take_off_no_more_than_was_put_on() {
        let welcome = super::super::uncordon_patch("3");
        assert!(welcome["spec"].as_object().is_some_and(|spec| spec.len() == 1 && spec["unschedulable"].is_null()));
        assert!(super::super::forget_patch("3").get("spec").is_none());
        let annotations = welcome["metadata"]["annotations"].as_object().unwrap();
        assert!(annotations.len() == 3 && annotations.values().all(serde_json::Value::is_null));
    }
}
