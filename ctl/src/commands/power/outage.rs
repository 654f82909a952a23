//! An outage as programs get it: a loss of mains, a shutdown that was asked for, or a drill.

use rackhaven_proto::Invalid;
use rackhaven_proto::model::StepKind;
use rackhaven_proto::v1::{self, Outage, OutageEvent, OutageNode};
use serde::{Serialize, Serializer};

use super::report::seconds;
use crate::text::Text;
use crate::times::rfc3339;

/// One outage; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutageReport {
    pub(super) number: u64,
    pub(super) kind: Text,
    pub(super) cause: Option<Text>,
    pub(super) begun: Option<String>,
    pub(super) ended: Option<String>,
    #[serde(skip)]
    pub(super) begun_unix_ms: i64,
    pub(super) lasted_seconds: Option<f64>,
    pub(super) nodes: Vec<OutageNodeReport>,
    pub(super) events: Vec<TimelineEvent>,
}

/// One node in it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OutageNodeReport {
    pub(super) name: Text,
    pub(super) stage: Text,
    pub(super) state: Text,
    #[serde(serialize_with = "word_or_null")]
    pub(super) step: Option<StepKind>,
}

/// One line of its timeline.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TimelineEvent {
    pub(super) outage: u64,
    #[serde(skip)]
    pub(super) at_ms: u64,
    pub(super) at_seconds: f64,
    pub(super) time: Option<String>,
    pub(super) node: Option<Text>,
    pub(super) kind: Text,
    pub(super) message: Text,
}

impl OutageReport {
    /// From the controller's answer.
    pub(super) fn new(outage: Outage) -> Result<Self, Invalid> {
        let lasted = |ended: i64| u64::try_from(ended.saturating_sub(outage.begun_unix_ms)).unwrap_or(0);
        Ok(Self {
            number: outage.number,
            kind: Text::new(&outage.kind),
            cause: Text::given(&outage.cause),
            begun: rfc3339(outage.begun_unix_ms),
            ended: outage.ended_unix_ms.and_then(rfc3339),
            begun_unix_ms: outage.begun_unix_ms,
            lasted_seconds: outage.ended_unix_ms.map(lasted).map(seconds),
            nodes: outage.nodes.into_iter().map(OutageNodeReport::new).collect::<Result<_, _>>()?,
            events: outage.events.iter().map(TimelineEvent::new).collect(),
        })
    }

    /// When its newest event happened, milliseconds from its begin.
    pub(super) fn last_ms(&self) -> u64 {
        self.events.iter().map(|event| event.at_ms).max().unwrap_or(0)
    }

    /// How many nodes are in one of `states`.
    pub(super) fn count(&self, states: &[&str]) -> usize {
        self.nodes.iter().filter(|node| states.contains(&node.state.as_str())).count()
    }

    /// Whether it is a rehearsal.
    pub(super) fn is_drill(&self) -> bool {
        self.kind.as_str() == "drill"
    }

    /// Whether the controller's own machine was told to go.
    pub(super) fn took_master(&self) -> bool {
        self.events.iter().any(|event| event.kind.as_str() == "master.ordered")
    }
}

impl OutageNodeReport {
    fn new(node: OutageNode) -> Result<Self, Invalid> {
        Ok(Self {
            name: Text::new(&node.name),
            stage: Text::new(&node.stage),
            state: Text::new(&node.state),
            step: step_given(node.step)?,
        })
    }
}

impl TimelineEvent {
    /// From the controller's answer.
    pub(super) fn new(event: &OutageEvent) -> Self {
        Self {
            outage: event.outage,
            at_ms: event.at_ms,
            at_seconds: seconds(event.at_ms),
            time: rfc3339(event.wall_unix_ms),
            node: Text::given(&event.node),
            kind: Text::new(&event.kind),
            message: Text::new(&event.message),
        }
    }
}

impl TimelineEvent {
    /// Whether it says no more than that a step has begun, or that there was nothing to do; or that the order to
    /// switch off was given, of which its own line tells.
    pub(super) fn is_minor(&self) -> bool {
        let message = self.message.as_str();
        let minor = message.ends_with(" begun") || message.starts_with("power-off done");
        self.kind.as_str() == "node.step" && (minor || message.split([' ', ':']).nth(1) == Some("skipped"))
    }
}

/// A step by its number on the wire; none for none.
fn step_given(number: i32) -> Result<Option<StepKind>, Invalid> {
    if number == i32::from(v1::StepKind::Unspecified) { Ok(None) } else { step(number).map(Some) }
}

/// A step by its number on the wire.
pub(super) fn step(number: i32) -> Result<StepKind, Invalid> {
    v1::StepKind::try_from(number).map_err(|_| Invalid::new("step", format!("{number} is not known")))?.try_into()
}

fn word_or_null<S: Serializer>(step: &Option<StepKind>, serializer: S) -> Result<S::Ok, S::Error> {
    match step {
        Some(step) => serializer.collect_str(step),
        None => serializer.serialize_none(),
    }
}
