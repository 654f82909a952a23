//! What containers have logged.

use serde_json::Value;

use super::object::{condition, list, name, text};
use super::request::{Request, Target};
use super::status::Refusal;
use super::world::{Answer, World};

/// Lines, each with its time in milliseconds since 1970-01-01 UTC.
pub(super) type Log = Vec<(i64, String)>;

/// Somebody who reads on.
#[derive(Debug)]
pub(super) struct Follow {
    place: (String, String, String, bool),
    uid: String,
    seen: usize,
    timestamps: bool,
    first: Option<String>,
    pub(super) ended: bool,
}

impl World {
    /// Lets a container log lines.
    pub fn write_log(&mut self, namespace: &str, pod: &str, container: &str, lines: &str) {
        self.add_log(namespace, pod, container, false, lines);
    }

    /// What the container before this one, which has ended, logged.
    pub fn write_previous_log(&mut self, namespace: &str, pod: &str, container: &str, lines: &str) {
        self.add_log(namespace, pod, container, true, lines);
    }

    fn add_log(&mut self, namespace: &str, pod: &str, container: &str, previous: bool, lines: &str) {
        let place = (namespace.to_owned(), pod.to_owned(), container.to_owned(), previous);
        let now_ms = self.now_ms;
        let lines = lines.split_terminator('\n').map(|line| (now_ms, line.to_owned()));
        self.logs.entry(place).or_default().extend(lines);
    }

    pub(super) fn log(&self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let pod = self.get(target)?;
        let names: Vec<&str> = ["/spec/initContainers", "/spec/containers"]
            .into_iter()
            .flat_map(|path| list(&pod, path))
            .map(|container| text(container, "/name"))
            .collect();
        let container = match (request.parameter("container"), names.as_slice()) {
            ("", [only]) => *only,
            ("", names) => {
                let choice = names.join(" ");
                let message =
                    format!("a container name must be specified for pod {}, choose one of: [{choice}]", target.name);
                return Err(Refusal::bad(message));
            }
            (container, names) if names.contains(&container) => container,
            (container, _) => {
                return Err(Refusal::bad(format!("container {container} is not valid for pod {}", target.name)));
            }
        };
        if text(&pod, "/status/phase") == "Pending" {
            let why =
                format!("container {container:?} in pod {:?} is waiting to start: ContainerCreating", target.name);
            return Err(Refusal::bad(why));
        }
        let node = text(&pod, "/spec/nodeName");
        let reached = self.store.all("nodes").any(|it| name(it) == node && condition(it, "Ready") == "True");
        if !reached {
            let message = format!(
                "Get \"https://{node}:10250/containerLogs/{}/{}/{container}\": dial tcp: connect: no route to host",
                target.namespace, target.name
            );
            return Err(Refusal::new(500, "InternalError", message));
        }
        let previous = request.says("previous");
        let place = (target.namespace.to_owned(), target.name.to_owned(), container.to_owned(), previous);
        let log = self.logs.get(&place);
        if previous && log.is_none() {
            let message = format!("previous terminated container {container:?} in pod {:?} not found", target.name);
            return Err(Refusal::bad(message));
        }
        let log = log.map(Vec::as_slice).unwrap_or_default();
        let since: Option<i64> = request.parameter("sinceSeconds").parse().ok();
        let recent: Vec<_> =
            log.iter().filter(|(at, _)| since.is_none_or(|since| *at >= self.now_ms - since * 1000)).collect();
        let tail = request.parameter("tailLines").parse().unwrap_or(recent.len());
        let chosen = recent.get(recent.len().saturating_sub(tail)..).unwrap_or_default();
        let timestamps = request.says("timestamps");
        let mut first: String = chosen.iter().map(|line| shown(line, timestamps)).collect();
        if let Ok(most) = request.parameter("limitBytes").parse::<usize>() {
            let end = (0..=most.min(first.len())).rev().find(|end| first.is_char_boundary(*end));
            first.truncate(end.unwrap_or_default());
        }
        if !request.says("follow") {
            return Ok(Answer::Text(first));
        }
        let uid = text(&pod, "/metadata/uid").to_owned();
        Ok(Answer::Follow(Follow { place, uid, seen: log.len(), timestamps, first: Some(first), ended: false }))
    }

    /// What was logged since it was last asked.
    pub(super) fn further_log(&self, follow: &mut Follow) -> String {
        let mut new = follow.first.take().unwrap_or_default();
        let (namespace, pod, ..) = &follow.place;
        let same = |object: &&Value| {
            text(object, "/metadata/namespace") == namespace
                && name(object) == pod
                && text(object, "/metadata/uid") == follow.uid
        };
        follow.ended = !self.store.all("pods").any(|object| same(&object));
        let log = self.logs.get(&follow.place).map(Vec::as_slice).unwrap_or_default();
        new.extend(log.iter().skip(follow.seen).map(|line| shown(line, follow.timestamps)));
        follow.seen = log.len();
        new
    }
}

fn shown((at, line): &(i64, String), timestamps: bool) -> String {
    if timestamps { format!("{} {line}\n", super::object::timestamp(*at)) } else { format!("{line}\n") }
}
