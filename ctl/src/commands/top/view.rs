//! All that `ctl top` knows and shows. Pure: time comes in, in milliseconds since the start.

use std::collections::VecDeque;
use std::time::Duration;

use super::draw::close::most_scroll;
use super::list::{Cursor, Sort, Trails, order};
use super::plan::{Needs, Panel, Plan};
use crate::commands::alerts::AlertReport;
use crate::commands::events::EventReport;
use crate::commands::node::{LiveNode, NodeReport};
use crate::commands::status::StatusReport;
use crate::commands::{backup, power};
use crate::output::Page;
use crate::style::Style;
use crate::text::Text;

/// Most events that are kept.
pub(super) const MAX_EVENTS: usize = 100;
/// Most batteries that have a line of their own at the top.
pub(super) const MAX_GAUGES: usize = 3;
/// How long a word on the last line stays, milliseconds.
const SAID_MS: u64 = 8_000;

/// What came from the controller.
#[derive(Debug)]
pub(super) struct Answer {
    /// The fleet.
    pub(super) report: StatusReport,
    /// Events behind those that were there; oldest first.
    pub(super) events: Vec<EventReport>,
    /// The node that is looked at closely, or why it cannot be.
    pub(super) node: Option<(Text, Result<LiveNode, String>)>,
}

/// What is to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// Only events behind this position; 0 means the newest.
    pub(super) events_after: u64,
    /// The node that is looked at closely.
    pub(super) node: Option<Text>,
}

/// How the controller is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// It answered when it was asked last.
    Answers,
    /// It does not since then, for this reason.
    Lost(u64, String),
}

/// What a key does next.
#[derive(Debug)]
pub(super) enum Mode {
    /// Lists.
    Browse,
    /// A filter is typed; what it was before.
    Filter(String),
    /// Whether this alert is to be acknowledged.
    Confirm(String),
    /// One node.
    Node(Box<Close>),
}

/// One node, looked at closely.
#[derive(Debug)]
pub(super) struct Close {
    /// Its name.
    pub(super) name: Text,
    /// What is known of it; none before the first answer.
    pub(super) node: Option<Result<LiveNode, String>>,
    /// The first line in sight.
    pub(super) scroll: usize,
}

/// The screen and what is behind it.
#[derive(Debug)]
pub(super) struct View {
    /// What the controller said last.
    pub(super) report: StatusReport,
    /// When that was.
    pub(super) answered_ms: u64,
    /// Since when an answer is awaited.
    pub(super) asked_ms: Option<u64>,
    /// Whether it answers.
    pub(super) link: Link,
    /// The CPU of each node.
    pub(super) trails: Trails,
    /// What has happened; oldest first.
    pub(super) events: VecDeque<EventReport>,
    /// How often the controller is asked.
    pub(super) every: Duration,
    /// It is not asked.
    pub(super) paused: bool,
    /// The order of the nodes.
    pub(super) sort: Sort,
    /// The other way round.
    pub(super) inverted: bool,
    /// Only nodes with this in them.
    pub(super) filter: String,
    /// The nodes in sight or above and below it, by their places in the report.
    pub(super) rows: Vec<usize>,
    /// The chosen node.
    pub(super) chosen: Option<Text>,
    /// Its row.
    pub(super) nodes: Cursor,
    /// The chosen alert.
    pub(super) alerts: Cursor,
    /// The panel that keys go to.
    pub(super) panel: Panel,
    /// The panel below the nodes that keys went to last.
    pub(super) below: Panel,
    /// What a key does.
    pub(super) mode: Mode,
    /// The keys are shown over all else.
    pub(super) help: bool,
    /// How many of the newest events are below what is in sight.
    pub(super) newer: usize,
    /// A word on the last line, and when it was said.
    pub(super) said: Option<(u64, Style, String)>,
    /// Columns and rows.
    pub(super) size: (u16, u16),
    /// How ctl's own pages are drawn here.
    pub(super) page: Page,
}

impl View {
    /// The first picture.
    pub(super) fn new(answer: Answer, every: Duration, size: (u16, u16), page: Page) -> Self {
        let mut view = Self {
            report: answer.report.clone(),
            answered_ms: 0,
            asked_ms: None,
            link: Link::Answers,
            trails: Trails::default(),
            events: VecDeque::new(),
            every,
            paused: false,
            sort: Sort::State,
            inverted: false,
            filter: String::new(),
            rows: Vec::new(),
            chosen: None,
            nodes: Cursor::default(),
            alerts: Cursor::default(),
            panel: Panel::Nodes,
            below: Panel::Alerts,
            mode: Mode::Browse,
            help: false,
            newer: 0,
            said: None,
            size,
            page,
        };
        view.answer(answer, 0);
        view
    }

    /// What is to be asked next.
    pub(super) fn question(&self) -> Question {
        Question {
            events_after: self.events.back().map_or(0, |event| event.position),
            node: match &self.mode {
                Mode::Node(close) => Some(close.name.clone()),
                _ => None,
            },
        }
    }

    /// The controller answered.
    pub(super) fn answer(&mut self, answer: Answer, now_ms: u64) {
        self.trails.add(&answer.report.nodes);
        self.report = answer.report;
        (self.answered_ms, self.asked_ms, self.link) = (now_ms, None, Link::Answers);
        // An answer that was asked for before the last one came may hold them twice.
        let last = self.events.back().map_or(0, |event| event.position);
        self.events.extend(answer.events.into_iter().filter(|event| event.position > last));
        let over = self.events.len().saturating_sub(MAX_EVENTS);
        self.events.drain(..over);
        if let (Mode::Node(close), Some((name, node))) = (&mut self.mode, answer.node)
            && close.name == name
        {
            close.node = Some(node);
        }
        self.settle();
    }

    /// The controller cannot be heard.
    pub(super) fn lost(&mut self, reason: String, now_ms: u64) {
        let asked_ms = self.asked_ms.take().unwrap_or(now_ms);
        let since_ms = match &self.link {
            Link::Lost(since_ms, _) => *since_ms,
            Link::Answers => asked_ms,
        };
        self.link = Link::Lost(since_ms, reason);
    }

    /// The screen has this size now.
    pub(super) fn resize(&mut self, size: (u16, u16)) {
        if size != self.size {
            self.size = size;
            self.settle();
        }
    }

    /// Whether a node is looked at of which nothing has come yet.
    pub(super) fn awaits_node(&self) -> bool {
        matches!(&self.mode, Mode::Node(close) if close.node.is_none()) && self.link == Link::Answers
    }

    /// Says something on the last line.
    pub(super) fn say(&mut self, style: Style, text: impl Into<String>, now_ms: u64) {
        self.said = Some((now_ms, style, text.into()));
    }

    /// What was said, while it is to be read.
    pub(super) fn said(&self, now_ms: u64) -> Option<(Style, &str)> {
        let said = self.said.as_ref().filter(|(at_ms, ..)| now_ms.saturating_sub(*at_ms) < SAID_MS);
        said.map(|(_, style, text)| (*style, text.as_str()))
    }

    /// How old the picture is, seconds.
    pub(super) fn age_seconds(&self, now_ms: u64) -> f64 {
        now_ms.saturating_sub(self.answered_ms) as f64 / 1000.0
    }

    /// Where what stands; none where the screen is too small.
    pub(super) fn plan(&self) -> Option<Plan> {
        let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX / 2);
        let page = &self.page;
        let power = self.report.power.as_ref();
        let gauges = power.map_or(0, |power| power.upses.len().min(MAX_GAUGES));
        let needs = Needs {
            power: lines(power.map_or(0, |power| power::section(power, page).len()) + gauges),
            backups: lines(self.report.backups.as_ref().map_or(0, |report| backup::section(report, page).len())),
            nodes: lines(self.rows.len()),
            alerts: lines(self.report.alerts.len()),
            other: match self.below {
                Panel::Power => u16::MAX / 4,
                _ => lines(self.events.len() + 1),
            },
        };
        Plan::new(self.size, needs, self.below)
    }

    /// The chosen node.
    pub(super) fn node(&self) -> Option<&NodeReport> {
        self.rows.get(self.nodes.at).and_then(|place| self.report.nodes.get(*place))
    }

    /// The chosen alert.
    pub(super) fn alert(&self) -> Option<&AlertReport> {
        self.report.alerts.get(self.alerts.at)
    }

    /// Orders the nodes, and has what is chosen exist and be in sight. The chosen node stays chosen, wherever it goes.
    pub(super) fn settle(&mut self) {
        self.rows = order(&self.report.nodes, self.sort, self.inverted, &self.filter);
        if let Some(chosen) = &self.chosen
            && let Some(row) = self.rows.iter().position(|place| self.report.nodes[*place].name == *chosen)
        {
            self.nodes.at = row;
        }
        let plan = self.plan().unwrap_or_default();
        self.nodes.settle(self.rows.len(), plan.node_rows());
        self.alerts.settle(self.report.alerts.len(), plan.alert_rows());
        if let Mode::Node(close) = &self.mode {
            let scroll = close.scroll.min(most_scroll(self, close, plan.body));
            if let Mode::Node(close) = &mut self.mode {
                close.scroll = scroll;
            }
        }
        // At the top of the list there is nothing older.
        let event_rows = usize::from(plan.other.height.saturating_sub(1));
        self.newer = self.newer.min(self.events.len().saturating_sub(event_rows));
        // Nobody has chosen the first: it is whichever comes first.
        let first = self.nodes.at == 0 && self.chosen.is_none();
        self.chosen = self.node().map(|node| node.name.clone()).filter(|_| !first);
    }
}
