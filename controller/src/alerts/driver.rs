use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::Ask;
use super::core::{Alerts, Change, ChangeKind, Now, Outcome, Silence};
use super::gather::Gatherer;
use super::outbox::word;
use super::rules::Rule;
use crate::core::Core;
use crate::store::{AlertCommit, AlertTurn, EventFilter, EventRow, NewOutboxRow};

/// Between two looks, when nothing calls for one.
const LOOK: Duration = Duration::from_secs(1);
/// How often what waits to be told is counted, milliseconds.
const COUNT_EVERY_MS: u64 = 10_000;
/// Most events that are made up for at a time.
const EVENTS_AT_ONCE: u32 = 1000;

/// Looks, decides, writes down, and lets the couriers know; until the controller ends.
pub async fn drive(core: Arc<Core>) {
    let Some(mut asks) = core.alerts.take_queue().await else { return };
    let mut events = core.events.follow();
    let mut power = core.power.changes();
    let mut driver = Driver {
        alerts: core.alerts.look().as_ref().clone(),
        gatherer: Gatherer::default(),
        cursor: core.alerts.cursor,
        unwritten: AlertCommit::default(),
        next_silence: 1,
        counted_ms: None,
    };
    driver.next_silence = driver.alerts.silences().iter().map(|silence| silence.id).max().unwrap_or(0) + 1;
    let mut fresh = driver.missed(&core).await;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        driver.look(&core, &fresh).await;
        fresh.clear();
        tokio::select! {
            _ = ticks.tick() => {}
            changed = power.changed() => if changed.is_err() { return },
            event = events.recv() => match event {
                Ok(event) => {
                    fresh.push(event);
                    while let Ok(event) = events.try_recv() {
                        fresh.push(event);
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    events = core.events.follow();
                    fresh = driver.missed(&core).await;
                }
                Err(RecvError::Closed) => return,
            },
            ask = asks.recv() => if let Some(ask) = ask { driver.answer(&core, ask, &mut asks).await },
        }
    }
}

struct Driver {
    alerts: Alerts,
    gatherer: Gatherer,
    cursor: Option<u64>,
    /// What the store did not take yet.
    unwritten: AlertCommit,
    next_silence: u64,
    /// When what waits was counted last, the controller's monotonic milliseconds.
    counted_ms: Option<u64>,
}

impl Driver {
    /// The events since the last one that was looked at. At the very first start none: what was before is history.
    async fn missed(&mut self, core: &Core) -> Vec<EventRow> {
        let (after_position, limit) = self.cursor.map_or((0, 1), |cursor| (cursor, EVENTS_AT_ONCE));
        let filter = EventFilter { node: String::new(), after_position, limit };
        let rows = core.store.events(filter).await.unwrap_or_else(|error| {
            tracing::error!(%error, "events could not be read for alerts");
            Vec::new()
        });
        if self.cursor.is_none() {
            self.cursor = Some(rows.last().map_or(0, |row| row.position));
            return Vec::new();
        }
        rows
    }

    async fn look(&mut self, core: &Core, fresh: &[EventRow]) {
        let config = core.config.load_full();
        let rules = &config.alerts.rules;
        let now = now(core);
        let before = self.cursor.unwrap_or(0);
        let news: Vec<_> = fresh.iter().filter(|event| event.position > before).collect();
        self.count_waiting(core).await;
        let mut scan = self.gatherer.gather(core, &config);
        let labels = |event: &EventRow| core.registry.labels(&event.node.parse().ok()?);
        for condition in news.iter().filter_map(|event| super::facts::event(rules, event, labels(event).as_ref())) {
            scan.add(condition);
        }
        if let Some(last) = news.last() {
            self.cursor = Some(last.position);
        }
        let outcome = self.alerts.step(scan, rules, now);
        let commit = self.commit_of(core, outcome, now.wall_ms);
        core.alerts.set_on_battery(self.gatherer.on_battery);
        if let Err(error) = self.write(core, commit).await {
            tracing::error!(error, "alerts could not be stored; it is tried again");
        }
    }

    /// Counts what waits to be told, now and then.
    async fn count_waiting(&mut self, core: &Core) {
        let now_ms = core.clock.monotonic_ms();
        if self.counted_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < COUNT_EVERY_MS) {
            return;
        }
        self.counted_ms = Some(now_ms);
        match core.store.outbox_lengths().await {
            Ok(lengths) => self.gatherer.waiting = lengths.values().sum(),
            Err(error) => tracing::error!(%error, "what waits to be told could not be counted"),
        }
    }

    fn commit_of(&self, core: &Core, outcome: Outcome, wall_ms: i64) -> AlertCommit {
        let config = core.config.load();
        let told = outcome.notices.iter().flat_map(|notice| {
            let wants = config.alerts.channels.iter().filter(|channel| {
                // That a channel fails cannot be told through it.
                let itself =
                    notice.alert.key.rule == Rule::ChannelFailing && notice.alert.key.subject == channel.name();
                channel.wants(notice.alert.severity) && !itself
            });
            wants.map(|channel| NewOutboxRow {
                channel: channel.name().to_owned(),
                resolved: word(notice.kind) == "resolved",
                urgent: notice.urgent,
                created_ms: wall_ms,
                kind: word(notice.kind).to_owned(),
                alert: notice.alert.clone(),
            })
        });
        AlertCommit {
            outbox: told.collect(),
            turns: outcome.changes.iter().map(|change| turn(change, wall_ms)).collect(),
            kept: outcome.kept,
            gone: outcome.gone,
            silenced: None,
            silences_over: outcome.silences_over,
            cursor: self.cursor,
        }
    }

    /// Writes what was decided, with what could not be written before; then it is shown and told.
    async fn write(&mut self, core: &Core, commit: AlertCommit) -> Result<(), String> {
        let mut outbox = core.alerts.take_all_unstored();
        outbox.append(&mut self.unwritten.outbox);
        self.unwritten.outbox = outbox;
        self.unwritten.extend(commit);
        if !self.unwritten.is_empty() {
            let written = core.store.commit_alerts(self.unwritten.clone()).await;
            core.alerts.set_healthy(written.is_ok());
            if let Err(error) = written {
                // What stands must be told all the same, most of all when the disk is the trouble.
                core.alerts.give_unstored(std::mem::take(&mut self.unwritten.outbox));
                core.alerts.publish(&self.alerts);
                core.alerts.ring();
                return Err(error.to_string());
            }
        }
        let tells = !self.unwritten.outbox.is_empty();
        self.unwritten = AlertCommit::default();
        core.alerts.publish(&self.alerts);
        if tells {
            core.alerts.ring();
        }
        Ok(())
    }

    async fn answer(&mut self, core: &Core, ask: Ask, more: &mut mpsc::Receiver<Ask>) {
        self.answer_one(core, ask).await;
        while let Ok(ask) = more.try_recv() {
            self.answer_one(core, ask).await;
        }
    }

    async fn answer_one(&mut self, core: &Core, ask: Ask) {
        let wall_ms = core.clock.wall_ms();
        let turn_of = |key: String, kind: &str, severity, who: &str, message: String| AlertTurn {
            wall_ms,
            key,
            kind: kind.to_owned(),
            severity,
            who: who.to_owned(),
            message,
        };
        let severity = rackhaven_proto::model::Severity::Info;
        // Whoever asked may have gone.
        match ask {
            Ask::Acknowledge(key, by, reply) => {
                let acked = self.alerts.acknowledge(&key, &by, wall_ms);
                let mut commit = AlertCommit::default();
                if let Some(alert) = &acked {
                    commit.turns.push(turn_of(key, "acknowledged", alert.severity, &by, alert.text.clone()));
                    commit.kept.push(alert.clone());
                }
                let _ = reply.send(self.write(core, commit).await.map(|()| acked));
            }
            Ask::Silence(matchers, until_unix_ms, by, reason, reply) => {
                let silence = Silence { id: self.next_silence, matchers, until_unix_ms, by, reason };
                if !self.alerts.silence(silence.clone()) {
                    let _ = reply.send(Err(format!("there are {} silences already", Alerts::MOST_SILENCES)));
                    return;
                }
                self.next_silence += 1;
                let words: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
                let turn = turn_of(String::new(), "silenced", severity, &silence.by, words.join(" "));
                let commit =
                    AlertCommit { silenced: Some(silence.clone()), turns: vec![turn], ..AlertCommit::default() };
                let _ = reply.send(self.write(core, commit).await.map(|()| silence));
            }
            Ask::Unsilence(id, by, reply) => {
                let found = self.alerts.unsilence(id);
                let mut commit = AlertCommit::default();
                if found {
                    commit.silences_over.push(id);
                    commit.turns.push(turn_of(String::new(), "unsilenced", severity, &by, format!("silence {id}")));
                }
                let _ = reply.send(self.write(core, commit).await.map(|()| found));
            }
        }
    }
}

/// The time of the power core, which goes on across restarts, and the wall clock's.
fn now(core: &Core) -> Now {
    Now { ms: core.power.now_ms(core.clock.boot_ms()), wall_ms: core.clock.wall_ms() }
}

fn turn(change: &Change, wall_ms: i64) -> AlertTurn {
    let kind = match change.kind {
        ChangeKind::Fired => "fired",
        ChangeKind::Worsened => "worsened",
        ChangeKind::Resolved => "resolved",
    };
    AlertTurn {
        wall_ms,
        key: change.alert.key.to_string(),
        kind: kind.to_owned(),
        severity: change.alert.severity,
        who: String::new(),
        message: change.alert.text.clone(),
    }
}
