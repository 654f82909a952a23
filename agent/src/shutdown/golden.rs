//! What comes of each event in each state, written out in `golden.txt`: `state | event -> state | actions`.

use rackhaven_proto::model::{
    AlonePlan, OrderId, PowerNotice, ShutdownOrder, Step, StepKind, StepOutcome, Steps, Supply,
};

use super::core::Sequence;
use super::event::{Action, Event};
use super::record::Phase;

/// Each step's time, milliseconds.
const TIME_MS: u32 = 1_000;
/// K3s is held for so long, milliseconds.
const HOLD_MS: u64 = 50_000;
/// The moment of each event, milliseconds since boot.
const NOW_MS: u64 = 10_100;

fn id(text: &str) -> OrderId {
    text.parse().unwrap()
}

fn steps(kinds: &[StepKind]) -> Steps {
    kinds.iter().map(|kind| Step { kind: *kind, timeout_ms: TIME_MS }).collect::<Vec<_>>().try_into().unwrap()
}

fn order(text: &str, drill: bool) -> Event {
    let kinds = [StepKind::Drain, StepKind::StopK3s, StepKind::Hooks, StepKind::PowerOff];
    let steps = steps(if drill { &kinds[1..3] } else { &kinds });
    Event::Order(ShutdownOrder { id: id(text), steps, drill, reason: "storm".to_owned() })
}

fn notice(supply: Supply, alone: Option<&str>, hold_k3s: bool) -> Event {
    let plan = |text: &str| AlonePlan {
        order_id: id(text),
        begin_in_ms: 60_000,
        steps: steps(&[StepKind::Drain, StepKind::StopK3s, StepKind::PowerOff]),
    };
    Event::Notice(PowerNotice { supply, alone: alone.map(plan), hold_k3s })
}

fn drained(text: &str, failure: &str) -> Event {
    Event::DrainEnded { order_id: id(text), failure: failure.to_owned() }
}

fn ended(sequence: &Sequence, outcome: StepOutcome) -> Event {
    let message = if outcome == StepOutcome::Failed { "no" } else { "" };
    Event::StepEnded { ticket: sequence.ticket.unwrap_or(99), outcome, message: message.to_owned() }
}

/// A node after these events, one each millisecond from 10,000 on; `ended` stands for the end of the current step.
fn after(events: &[&str]) -> Sequence {
    let mut sequence = Sequence::new("boot-1", HOLD_MS);
    for (at_ms, event) in (10_000..).zip(std::iter::once(&"open").chain(events)) {
        let event = match *event {
            "open" => Event::SessionOpened,
            "lost" => Event::SessionLost,
            "order" => order("o-1", false),
            "drill" => order("d-1", true),
            "drained" => drained("o-1", ""),
            "done" => ended(&sequence, StepOutcome::Done),
            "failed" => ended(&sequence, StepOutcome::Failed),
            "hook" => Event::HookNext { ticket: sequence.ticket.unwrap(), name: "10-a".to_owned() },
            "abort" => Event::Abort(id("o-1")),
            "plan" => notice(Supply::Battery, Some("a-1"), false),
            "hold" => notice(Supply::Mains, None, true),
            "due" => {
                sequence.step(80_000, Event::Tick);
                // Back to where the table looks.
                if let Some(now) = sequence.record.run.as_mut().and_then(|run| run.current.as_mut()) {
                    (now.began_ms, now.deadline_ms) = (10_004, 11_004);
                }
                continue;
            }
            "stops" => Event::MachineStops { budget_ms: 5_000 },
            other => panic!("{other}"),
        };
        sequence.step(at_ms, event);
    }
    sequence
}

fn states() -> Vec<(&'static str, Sequence)> {
    [
        ("idle", &[][..]),
        ("planned", &["plan"]),
        ("held", &["hold"]),
        ("held, no session", &["hold", "lost"]),
        ("draining", &["order"]),
        ("stopping k3s", &["order", "drained"]),
        ("in hooks", &["order", "drained", "done", "hook"]),
        ("switching off", &["order", "drained", "done", "done"]),
        ("switching off, abort asked", &["order", "drained", "done", "done", "abort"]),
        ("off order taken", &["order", "drained", "done", "done", "done"]),
        ("off failed", &["order", "drained", "done", "done", "failed"]),
        ("alone", &["plan", "due"]),
        ("aborted", &["order", "drained", "done", "abort"]),
        ("drill", &["drill"]),
        ("drilled", &["drill", "done", "done"]),
        ("machine stops", &["stops"]),
        ("machine stops, through", &["stops", "done", "done", "done", "done", "done"]),
    ]
    .into_iter()
    .map(|(name, events)| (name, after(events)))
    .collect()
}

/// The events, each with its word and the moment when it happens.
fn events(sequence: &Sequence) -> Vec<(&'static str, u64, Event)> {
    let ticket = sequence.ticket.unwrap_or(99);
    let name = || "10-a".to_owned();
    let failure = || "no".to_owned();
    [
        ("mains", notice(Supply::Mains, None, false)),
        ("mains, hold", notice(Supply::Mains, None, true)),
        ("battery", notice(Supply::Battery, Some("a-1"), false)),
        ("battery, o-1", notice(Supply::Battery, Some("o-1"), true)),
        ("unknown", notice(Supply::Unknown, None, false)),
        ("order o-1", order("o-1", false)),
        ("order o-2", order("o-2", false)),
        ("drill d-2", order("d-2", true)),
        ("abort o-1", Event::Abort(id("o-1"))),
        ("abort a-1", Event::Abort(id("a-1"))),
        ("abort local", Event::Abort(id("local-boot-1"))),
        ("drained o-1", drained("o-1", "")),
        ("not drained o-1", drained("o-1", "no room")),
        ("drained o-2", drained("o-2", "")),
        ("opened", Event::SessionOpened),
        ("lost", Event::SessionLost),
        ("done", ended(sequence, StepOutcome::Done)),
        ("skipped", ended(sequence, StepOutcome::Skipped)),
        ("failed", ended(sequence, StepOutcome::Failed)),
        ("stale end", Event::StepEnded { ticket: ticket - 1, outcome: StepOutcome::Done, message: String::new() }),
        ("hook 10-a", Event::HookNext { ticket, name: name() }),
        ("stale hook", Event::HookNext { ticket: ticket - 1, name: name() }),
        ("hook 10-a failed", Event::HookEnded { ticket, name: name(), failure: failure() }),
        ("k3s released", Event::K3sReleased),
        ("machine stops", Event::MachineStops { budget_ms: 5_000 }),
        ("machine stays", Event::MachineStays),
        ("agent stops", Event::AgentStops),
        ("tick", Event::Tick),
    ]
    .map(|(word, event)| (word, NOW_MS, event))
    .into_iter()
    .chain([("1 s", 11_200, Event::Tick), ("6 s", 15_300, Event::Tick), ("330 s", 340_000, Event::Tick)])
    .collect()
}

/// A state in a few words.
fn state(sequence: &Sequence) -> String {
    let mut words = Vec::new();
    match &sequence.record.run {
        None => words.push("none".to_owned()),
        Some(run) => {
            words.push(format!("{} {:?}/{:?}", run.order.id, run.origin, run.phase));
            let result =
                |result: &rackhaven_proto::model::StepResult| format!("{} {}", result.kind, result.outcome.as_str());
            words.push(format!("[{}]", run.results.iter().map(result).collect::<Vec<_>>().join(", ")));
            words.extend(run.current.map(|now| format!("in {} until {}", now.kind, now.deadline_ms)));
            words.extend(run.again_ms.map(|at| format!("again at {at}")));
            words.extend(run.abort_asked.then(|| "abort asked".to_owned()));
            words.extend(run.failed.then(|| "failed".to_owned()));
            words.extend(
                run.hooks.iter().map(|hook| {
                    format!("hook {}{}{}", hook.name, if hook.ended { " ended " } else { "" }, hook.failure)
                }),
            );
        }
    }
    words.extend(sequence.alone.iter().map(|alone| format!("alone {} at {}", alone.order_id, alone.begin_ms)));
    words.extend(sequence.record.hold_since_ms.map(|_| "held".to_owned()));
    words.extend(sequence.record.k3s_stopped.then(|| "k3s stopped".to_owned()));
    words.extend((!sequence.session).then(|| "no session".to_owned()));
    words.extend(sequence.let_go_ms.map(|at| format!("let go at {at}")));
    let ended = |ended: &super::record::EndedOrder| format!("over: {} {:?}", ended.id, ended.state);
    words.extend(sequence.record.ended.iter().map(ended));
    words.join("; ")
}

fn action(action: &Action) -> String {
    match action {
        Action::RunStep(job) => format!("run {} for {} ms", job.kind, job.limit_ms),
        Action::CancelStep { .. } => "cancel".to_owned(),
        Action::StartHook { .. } => "start hook".to_owned(),
        Action::PassHook { .. } => "pass hook".to_owned(),
        Action::Tell(told) => {
            let message = if told.message.is_empty() { String::new() } else { format!(": {}", told.message) };
            format!("tell {} {:?}{message}", told.order_id, told.state)
        }
        Action::Report(report) => format!("report {}", report.boot_id),
        Action::HoldK3s { stop } => format!("hold k3s{}", if *stop { " and stop it" } else { "" }),
        Action::ReleaseK3s { start } => format!("release k3s{}", if *start { " and start it" } else { "" }),
        Action::LetGo => "let go".to_owned(),
        Action::Note { kind, severity, .. } => format!("note {kind} {}", severity.as_str()),
    }
}

fn table() -> String {
    let mut table = String::new();
    for (name, sequence) in states() {
        table.push_str(&format!("# {name}: {}\n", state(&sequence)));
        let mut nothing = Vec::new();
        for (word, now_ms, event) in events(&sequence) {
            let mut next = sequence.clone();
            let actions: Vec<String> = next.step(now_ms, event).iter().map(action).collect();
            let (before, after) = (state(&sequence), state(&next));
            if actions.is_empty() && before == after {
                nothing.push(word);
                continue;
            }
            let after = if before == after { "=" } else { &after };
            table.push_str(&format!("{word} -> {after} | {}\n", actions.join(", ")));
        }
        table.push_str(&format!("nothing: {}\n\n", nothing.join(", ")));
    }
    table
}

#[test]
fn golden() {
    let table = table();
    let written = include_str!("golden.txt");
    if table != written {
        let differ = table.lines().zip(written.lines()).find(|(now, then)| now != then);
        panic!("not as in golden.txt, first here: {differ:#?}\nthe whole table is now:\n{table}");
    }
}

/// Whatever was written down can be read again as it was, and an agent that starts with it goes on.
#[test]
fn each_state_survives_a_restart() {
    for (name, sequence) in states() {
        let text = serde_json::to_string(sequence.record()).unwrap();
        let record = serde_json::from_str(&text).unwrap();
        assert_eq!(&record, sequence.record(), "{name}");
        let (again, actions) = Sequence::restored(Some(record), "boot-1", None, false, HOLD_MS, NOW_MS);
        let phase = |sequence: &Sequence| sequence.record.run.as_ref().map(|run| run.phase);
        assert_eq!(phase(&again), phase(&sequence), "{name}");
        let runs = actions.iter().any(|action| matches!(action, Action::RunStep(_)));
        let goes_on = phase(&sequence) == Some(Phase::Running) && name != "draining";
        assert_eq!(runs, goes_on, "{name}: {actions:?}");
        let (next, _) = Sequence::restored(Some(sequence.record.clone()), "boot-2", None, false, HOLD_MS, 5);
        assert!(next.record.run.is_none() && next.alone.is_none(), "{name}");
        assert_eq!(next.record.boot_id, "boot-2", "{name}");
    }
}
