use rackhaven_proto::Invalid;
use rackhaven_proto::model::StepKind;
use rackhaven_proto::v1::{PlanNode, PlanStage, PowerPlan};
use serde::Serialize;

use super::super::outage::step;
use super::super::report::seconds;
use crate::output::as_word;
use crate::text::Text;

/// What `ctl power plan` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanReport {
    pub(super) critical_path_seconds: f64,
    pub(super) margin_seconds: f64,
    pub(super) runtime_left_seconds: Option<f64>,
    pub(super) cut_delay_seconds: Option<f64>,
    pub(super) stages: Vec<PlanStageReport>,
    pub(super) warnings: Vec<Text>,
}

/// Nodes that go down together.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanStageReport {
    pub(super) name: Text,
    pub(super) begins_after_seconds: f64,
    pub(super) expected_seconds: f64,
    pub(super) cap_seconds: f64,
    pub(super) shed: Option<Text>,
    pub(super) needs: Vec<Text>,
    pub(super) nodes: Vec<PlanNodeReport>,
}

/// One node in the plan.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanNodeReport {
    pub(crate) name: Text,
    pub(crate) expected_seconds: f64,
    pub(crate) learnt: bool,
    pub(super) cap_seconds: f64,
    pub(super) steps: Vec<StepReport>,
    pub(super) wake: Text,
    pub(crate) master: bool,
    pub(crate) reachable: bool,
}

/// One step of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StepReport {
    #[serde(serialize_with = "as_word")]
    pub(super) step: StepKind,
    pub(super) timeout_seconds: f64,
}

/// What of the plan is meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Targets {
    /// These nodes,
    pub(crate) nodes: Vec<String>,
    /// and those of these stages;
    pub(crate) stages: Vec<String>,
    /// or everything.
    pub(crate) all: bool,
}

impl PlanReport {
    /// From the controller's answer.
    pub(super) fn new(plan: PowerPlan) -> Result<Self, Invalid> {
        Ok(Self {
            critical_path_seconds: seconds(plan.critical_path_ms),
            margin_seconds: seconds(plan.margin_ms),
            runtime_left_seconds: plan.runtime_left_ms.map(seconds),
            cut_delay_seconds: plan.cut_delay_ms.map(seconds),
            stages: plan.stages.into_iter().map(PlanStageReport::new).collect::<Result<_, _>>()?,
            warnings: plan.warnings.iter().map(|warning| Text::new(warning)).collect(),
        })
    }

    /// All nodes, in the order of their stages.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &PlanNodeReport> {
        self.stages.iter().flat_map(|stage| &stage.nodes)
    }

    /// The node that the controller runs on.
    pub(crate) fn master(&self) -> Option<&PlanNodeReport> {
        self.nodes().find(|node| node.master)
    }

    /// The first target that the plan does not know, in words.
    pub(crate) fn unknown(&self, targets: &Targets) -> Option<String> {
        let has_node = |name: &String| self.nodes().any(|node| node.name.as_str() == name);
        let has_stage = |name: &String| self.stages.iter().any(|stage| stage.name.as_str() == name);
        let node = targets.nodes.iter().find(|name| !has_node(name)).map(|name| format!("node {name}"));
        node.or_else(|| targets.stages.iter().find(|name| !has_stage(name)).map(|name| format!("stage {name}")))
    }

    /// The plan for `targets` alone: the stages without the other nodes, each beginning when the ones before are
    /// expected to be through.
    pub(crate) fn restricted(&self, targets: &Targets) -> Self {
        if targets.all {
            return self.clone();
        }
        let mut begins_after_seconds = 0.0;
        let mut stages = Vec::new();
        for stage in &self.stages {
            let whole = targets.stages.iter().any(|name| name == stage.name.as_str());
            let meant = |node: &&PlanNodeReport| whole || targets.nodes.iter().any(|name| name == node.name.as_str());
            let nodes: Vec<_> = stage.nodes.iter().filter(meant).cloned().collect();
            if nodes.is_empty() {
                continue;
            }
            let longest = |part: fn(&PlanNodeReport) -> f64| nodes.iter().map(part).fold(0.0, f64::max);
            let expected_seconds = longest(|node| node.expected_seconds);
            let cap_seconds = longest(|node| node.cap_seconds).min(stage.cap_seconds);
            stages.push(PlanStageReport {
                begins_after_seconds,
                expected_seconds,
                cap_seconds,
                nodes,
                ..stage.clone()
            });
            begins_after_seconds += expected_seconds;
        }
        Self { stages, critical_path_seconds: begins_after_seconds, cut_delay_seconds: None, ..self.clone() }
    }
}

impl PlanStageReport {
    fn new(stage: PlanStage) -> Result<Self, Invalid> {
        Ok(Self {
            name: Text::new(&stage.name),
            begins_after_seconds: seconds(stage.begins_after_ms),
            expected_seconds: seconds(stage.expected_ms),
            cap_seconds: seconds(stage.cap_ms),
            shed: Text::given(&stage.shed),
            needs: stage.needs.iter().map(|need| Text::new(need)).collect(),
            nodes: stage.nodes.into_iter().map(PlanNodeReport::new).collect::<Result<_, _>>()?,
        })
    }
}

impl PlanNodeReport {
    /// Whether nothing but a person brings it back.
    pub(crate) fn is_woken_by_hand(&self) -> bool {
        self.wake.as_str() == "by-hand"
    }

    fn new(node: PlanNode) -> Result<Self, Invalid> {
        let steps = node.steps.iter().map(|given| {
            Ok(StepReport { step: step(given.kind)?, timeout_seconds: seconds(u64::from(given.timeout_ms)) })
        });
        Ok(Self {
            name: Text::new(&node.name),
            expected_seconds: seconds(node.expected_ms),
            learnt: node.learnt,
            cap_seconds: seconds(node.cap_ms),
            steps: steps.collect::<Result<_, Invalid>>()?,
            wake: Text::new(&node.wake),
            master: node.master,
            reachable: node.reachable,
        })
    }
}
