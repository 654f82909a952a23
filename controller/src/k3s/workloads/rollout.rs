//! How a Deployment comes from one form to the next.

use serde_json::{Value, json};

use super::age::unix_ms;
use super::{list, number, text};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

/// How far a Deployment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// On its way.
    Waiting(String),
    /// There.
    Done(String),
    /// It cannot get there.
    Failed(String),
}

/// In kubectl's words.
pub fn progress(deployment: &Value) -> Progress {
    let name = text(deployment, "/metadata/name");
    let status = |field: &str| number(deployment, &format!("/status/{field}"));
    if number(deployment, "/metadata/generation") > status("observedGeneration") {
        return Progress::Waiting("Waiting for deployment spec update to be observed...".to_owned());
    }
    let conditions = list(deployment, "/status/conditions");
    let late = |it: &Value| it["type"] == "Progressing" && it["reason"] == "ProgressDeadlineExceeded";
    if conditions.iter().any(late) {
        return Progress::Failed(format!("deployment {name:?} exceeded its progress deadline"));
    }
    let (wanted, updated) = (number(deployment, "/spec/replicas"), status("updatedReplicas"));
    let waiting =
        |what: String| Progress::Waiting(format!("Waiting for deployment {name:?} rollout to finish: {what}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if status("replicas") > updated {
        return waiting(format!("{} old replicas are pending termination", status("replicas") - updated));
    }
    if status("availableReplicas") < updated {
        return waiting(format!("{} of {updated} updated replicas are available", status("availableReplicas")));
    }
    Progress::Done(format!("deployment {name:?} successfully rolled out"))
}

/// A form of a Deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Its number; the highest is the present one.
    pub number: u64,
    /// Why it was made, as far as somebody said.
    pub change_cause: String,
    /// What its containers run.
    pub images: Vec<String>,
    /// When its ReplicaSet was made, milliseconds since 1970; 0 where that is not told.
    pub created_ms: i64,
    template: Value,
}

fn images(template: &Value) -> Vec<String> {
    let containers = list(template, "/spec/containers").iter();
    containers.map(|container| text(container, "/image").to_owned()).collect()
}

/// The forms of a Deployment, oldest first, from ReplicaSets of which some are its own.
pub fn revisions(deployment: &Value, sets: &[Value]) -> Vec<Revision> {
    let uid = text(deployment, "/metadata/uid");
    let own = |set: &&Value| list(set, "/metadata/ownerReferences").iter().any(|owner| text(owner, "/uid") == uid);
    let revision = |set: &Value| {
        let annotation = |key: &str| set["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned();
        let mut template = set["spec"]["template"].clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH);
        }
        Some(Revision {
            number: annotation(REVISION).parse().ok()?,
            change_cause: annotation("kubernetes.io/change-cause"),
            images: images(&template),
            created_ms: unix_ms(text(set, "/metadata/creationTimestamp")).unwrap_or_default(),
            template,
        })
    };
    let mut all: Vec<Revision> = sets.iter().filter(own).filter_map(revision).collect();
    all.sort_by_key(|revision| revision.number);
    all
}

/// The operations that bring a Deployment back to a form: that of a number, or with 0 the one before the present one.
/// None if it is the present one.
///
/// # Errors
/// Why it cannot go back.
pub fn undo(deployment: &Value, revisions: &[Revision], to: u64) -> Result<Option<Value>, String> {
    let name = text(deployment, "/metadata/name");
    if deployment["spec"]["paused"] == true {
        return Err(format!("deployment {name:?} is paused: it cannot be rolled back"));
    }
    let wanted = match to {
        0 => {
            revisions.iter().rev().nth(1).ok_or_else(|| format!("no rollout history found for deployment {name:?}"))?
        }
        to => revisions
            .iter()
            .find(|revision| revision.number == to)
            .ok_or_else(|| format!("unable to find specified revision {to} in history"))?,
    };
    if revisions.last().is_some_and(|present| present.number == wanted.number) {
        return Ok(None);
    }
    // Whatever somebody else has done since it was looked at stays.
    Ok(Some(json!([
        { "op": "test", "path": "/metadata/uid", "value": deployment["metadata"]["uid"] },
        { "op": "test", "path": "/metadata/generation", "value": deployment["metadata"]["generation"] },
        { "op": "replace", "path": "/spec/template", "value": wanted.template },
    ])))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Progress, progress, revisions, undo};

    #[test]
    fn progress_golden() {
        let deployment = |generation: i64, updated: i64, all: i64, available: i64, reason: &str| {
            json!({ "metadata": { "name": "web", "generation": generation }, "spec": { "replicas": 3 },
                "status": { "observedGeneration": 2, "updatedReplicas": updated, "replicas": all,
                    "availableReplicas": available, "conditions": [{ "type": "Progressing", "reason": reason }] } })
        };
        let waiting =
            |rest: &str| Progress::Waiting(format!("Waiting for deployment \"web\" rollout to finish: {rest}..."));
        for (it, expected) in [
            (
                deployment(3, 3, 3, 3, ""),
                Progress::Waiting("Waiting for deployment spec update to be observed...".to_owned()),
            ),
            (deployment(2, 1, 3, 3, ""), waiting("1 out of 3 new replicas have been updated")),
            (deployment(2, 3, 4, 3, ""), waiting("1 old replicas are pending termination")),
            (deployment(2, 3, 3, 2, ""), waiting("2 of 3 updated replicas are available")),
            (
                deployment(2, 1, 3, 3, "ProgressDeadlineExceeded"),
                Progress::Failed("deployment \"web\" exceeded its progress deadline".to_owned()),
            ),
            (deployment(2, 3, 3, 3, ""), Progress::Done("deployment \"web\" successfully rolled out".to_owned())),
        ] {
            assert_eq!(progress(&it), expected);
        }
    }

    #[test]
    fn the_way_back_golden() {
        let set = |uid: &str, number: &str, image: &str| -> Value {
            json!({ "metadata": { "ownerReferences": [{ "uid": uid }],
                    "annotations": { "deployment.kubernetes.io/revision": number } },
                "spec": { "template": { "metadata": { "labels": { "app": "web", "pod-template-hash": "x" } },
                    "spec": { "containers": [{ "image": image }] } } } })
        };
        let mut deployment = json!({ "metadata": { "name": "web", "uid": "1", "generation": 7 } });
        let sets = [set("1", "12", "c"), set("1", "9", "b"), set("2", "11", "x"), set("1", "2", "a")];
        let all = revisions(&deployment, &sets);
        assert_eq!(
            all.iter().map(|it| (it.number, it.images[0].as_str())).collect::<Vec<_>>(),
            [(2, "a"), (9, "b"), (12, "c")]
        );
        let image = |to: u64| undo(&deployment, &all, to).map(|it| it.map(|it| it[2]["value"].clone()));
        let template = |image: &str| json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "image": image }] } });
        assert_eq!(image(0), Ok(Some(template("b"))));
        assert_eq!(image(2), Ok(Some(template("a"))));
        assert_eq!(image(12), Ok(None));
        assert_eq!(image(5), Err("unable to find specified revision 5 in history".to_owned()));
        assert!(undo(&deployment, &all[..1], 0).is_err());
        deployment["spec"] = json!({ "paused": true });
        assert!(undo(&deployment, &all, 0).unwrap_err().contains("is paused"));
    }
}
