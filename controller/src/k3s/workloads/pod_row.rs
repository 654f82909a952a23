//! A pod in a row, in the words that kubectl has for its state.

use serde_json::Value;

use super::age::{age, unix_ms};
use super::rows::State;
use super::{list, number, text};

/// The cells of a pod.
pub(super) fn pod(pod: &Value, now_ms: i64) -> (Vec<String>, State) {
    let containers = list(pod, "/spec/containers").len();
    let statuses = list(pod, "/status/containerStatuses");
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let status = status(pod);
    let state = match status.as_str() {
        "Running" if ready == containers => State::Good,
        "Completed" | "Succeeded" => State::Good,
        "Running" | "Pending" | "ContainerCreating" | "PodInitializing" | "Terminating" | "NotReady" => State::Warning,
        status if status.starts_with("Init:") && !status.contains("Back") && !status.contains("rr") => State::Warning,
        _ => State::Bad,
    };
    let or_none = |text: &str| if text.is_empty() { "<none>".to_owned() } else { text.to_owned() };
    let cells = vec![
        text(pod, "/metadata/name").to_owned(),
        format!("{ready}/{containers}"),
        status,
        restarts(statuses, now_ms),
        age(text(pod, "/metadata/creationTimestamp"), now_ms),
        or_none(text(pod, "/status/podIP")),
        or_none(text(pod, "/spec/nodeName")),
    ];
    (cells, state)
}

fn restarts(statuses: &[Value], now_ms: i64) -> String {
    let count: i64 = statuses.iter().map(|status| number(status, "/restartCount")).sum();
    let ends = statuses.iter().map(|status| text(status, "/lastState/terminated/finishedAt"));
    match ends.filter(|end| unix_ms(end).is_some()).max_by_key(|end| unix_ms(end)) {
        Some(last) if count > 0 => format!("{count} ({} ago)", age(last, now_ms)),
        _ => count.to_string(),
    }
}

fn status(pod: &Value) -> String {
    let leaving = pod.pointer("/metadata/deletionTimestamp").is_some();
    let reason = text(pod, "/status/reason");
    if leaving {
        return if reason == "NodeLost" { "Unknown" } else { "Terminating" }.to_owned();
    }
    let phase = if reason.is_empty() { text(pod, "/status/phase") } else { reason };
    if let Some(initialising) = initialising(pod) {
        return initialising;
    }
    let mut shown = phase.to_owned();
    let mut runs = false;
    for container in list(pod, "/status/containerStatuses").iter().rev() {
        if let Some(ended) = ended(container) {
            shown = ended;
        }
        runs |= container["ready"] == true && container.pointer("/state/running").is_some();
    }
    if shown == "Completed" && runs {
        let ready = list(pod, "/status/conditions").iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
        return if ready { "Running" } else { "NotReady" }.to_owned();
    }
    shown
}

/// Why a container does not run; none if it does, or has no state.
fn ended(container: &Value) -> Option<String> {
    let waiting = text(container, "/state/waiting/reason");
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    let terminated = container.pointer("/state/terminated")?;
    Some(match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

/// How far the pod is with what it does first; none when that is over.
fn initialising(pod: &Value) -> Option<String> {
    let all = list(pod, "/status/initContainerStatuses");
    let whole = list(pod, "/spec/initContainers").len();
    for (place, container) in all.iter().enumerate() {
        let terminated = container.pointer("/state/terminated");
        if terminated.is_some_and(|terminated| number(terminated, "/exitCode") == 0) || container["started"] == true {
            continue;
        }
        let why = ended(container).filter(|why| why != "PodInitializing");
        return Some(match why {
            Some(why) => format!("Init:{why}"),
            None => format!("Init:{place}/{whole}"),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{State, pod};

    #[test]
    fn states_golden() {
        let container = |state: Value, ready: bool| json!({ "ready": ready, "restartCount": 0, "state": state });
        let waits = |reason: &str| json!({ "waiting": { "reason": reason } });
        let one =
            |status: Value| json!({ "metadata": { "name": "a" }, "spec": { "containers": [{}] }, "status": status });
        let with = |container: Value| one(json!({ "phase": "Running", "containerStatuses": [container] }));
        let mut leaving = with(container(json!({ "running": {} }), true));
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let mut first = one(json!({ "phase": "Pending",
            "initContainerStatuses": [container(json!({ "running": {} }), false)] }));
        first["spec"]["initContainers"] = json!([{}, {}]);
        for (it, shown, state) in [
            (with(container(json!({ "running": {} }), true)), "Running", State::Good),
            (with(container(json!({ "running": {} }), false)), "Running", State::Warning),
            (with(container(waits("CrashLoopBackOff"), false)), "CrashLoopBackOff", State::Bad),
            (with(container(waits("ContainerCreating"), false)), "ContainerCreating", State::Warning),
            (
                with(container(json!({ "terminated": { "exitCode": 0, "reason": "Completed" } }), false)),
                "Completed",
                State::Good,
            ),
            (with(container(json!({ "terminated": { "exitCode": 3 } }), false)), "ExitCode:3", State::Bad),
            (with(container(json!({ "terminated": { "signal": 9 } }), false)), "Signal:9", State::Bad),
            (one(json!({ "phase": "Failed", "reason": "Evicted" })), "Evicted", State::Bad),
            (leaving, "Terminating", State::Warning),
            (first, "Init:0/2", State::Warning),
        ] {
            let (cells, found) = pod(&it, 0);
            assert_eq!((cells[2].as_str(), found), (shown, state));
        }
        let mut again = container(json!({ "running": {} }), true);
        again["restartCount"] = 3.into();
        again["lastState"] = json!({ "terminated": { "finishedAt": "2026-01-01T00:00:00Z" } });
        assert_eq!(pod(&with(again), 1_767_225_605_000).0[3], "3 (5s ago)");
    }
}
