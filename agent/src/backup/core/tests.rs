use std::collections::BTreeMap;

use super::{Action, Core, Event, How, Last, MAX_TRIES, Now, Record, Timed};
use rackhaven_proto::model::backup::{BackupAction, BackupOrder};

const START_MS: i64 = 1_800_000_000_000;

fn at(s: i64) -> Now {
    Now { unix_ms: START_MS + s * 1000, monotonic_ms: (s * 1000) as u64, trusted: true }
}

/// Due after so many seconds; a negative number was missed.
fn due(save_s: Option<i64>) -> Timed {
    Timed {
        save_unix_ms: save_s.map(|s| START_MS + s * 1000),
        verify_unix_ms: None,
        verify_percent: 5,
        random_delay_ms: 0,
        waits_on_battery: true,
        problem: String::new(),
    }
}

fn jobs(jobs: &[(&str, Timed)]) -> Event {
    let jobs = jobs.iter().map(|(name, timed)| (name.parse().unwrap(), timed.clone()));
    Event::Jobs(jobs.collect::<BTreeMap<_, _>>(), 500_000)
}

fn order(id: &str, job: &str) -> Event {
    Event::Order(BackupOrder {
        run_id: id.parse().unwrap(),
        job: job.parse().unwrap(),
        action: BackupAction::Save { full: true },
        expires_in_ms: 60_000,
        requested_by: "user/ann".to_owned(),
    })
}

/// What was done, in few words.
fn words(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::Begin(run) => format!("begin {} {} {}", run.job, run.action.as_str(), run.trigger.as_str()),
        Action::End(id) => format!("end {id}"),
        Action::Refuse(run, outcome, why) => format!("{} {}: {why}", outcome.as_str(), run.id),
    };
    actions.iter().map(word).collect()
}

fn ended(core: &Core) -> Event {
    Event::Ended(core.running().unwrap().id.clone(), How::ToItsEnd)
}

fn cut_short(core: &Core) -> Event {
    Event::Ended(core.running().unwrap().id.clone(), How::CutShort)
}

#[test]
fn jobs_run_at_their_time_one_after_the_other_and_missed_ones_are_caught_up() {
    let mut core = Core::new(Record::default());
    assert!(core.step(at(0), jobs(&[("a", due(Some(10))), ("b", due(Some(5))), ("c", due(None))])).is_empty());
    assert_eq!(core.next_unix_ms(), Some(START_MS + 5000));
    assert_eq!(words(&core.step(at(11), Event::Tick)), ["begin b save schedule"]);
    assert!(core.step(at(12), Event::Tick).is_empty());
    let over = ended(&core);
    assert_eq!(words(&core.step(at(120), over)), ["begin a save catch-up"]);
    let over = ended(&core);
    assert!(core.step(at(121), over).is_empty());
    assert_eq!(core.next_unix_ms(), None);
    // What the engine says next must not begin the same run again, whatever its clock says.
    assert!(core.step(at(122), jobs(&[("a", due(Some(120)))])).is_empty());
    assert!(core.step(at(180), Event::Tick).is_empty());
    assert_eq!(core.record().last.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a"]);
    // One that is due within the minute is put off.
    assert_eq!(words(&core.step(at(181), Event::Tick)), ["begin a save schedule"]);
}

#[test]
fn a_delay_by_chance_is_waited_for() {
    let mut core = Core::new(Record::default());
    let delayed = Timed { random_delay_ms: 20_000, ..due(Some(0)) };
    assert!(core.step(at(9), jobs(&[("a", delayed)])).is_empty());
    assert_eq!(words(&core.step(at(10), Event::Tick)), ["begin a save schedule"]);
}

#[test]
fn nothing_begins_by_a_clock_that_lies_nor_on_battery_nor_on_the_way_down() {
    let mut core = Core::new(Record::default());
    let brave = Timed { waits_on_battery: false, ..due(Some(1)) };
    assert!(core.step(Now { trusted: false, ..at(5) }, jobs(&[("a", due(Some(0))), ("b", brave)])).is_empty());
    assert_eq!(words(&core.step(at(5), Event::Battery(true))), ["begin b save schedule"]);
    let over = ended(&core);
    assert!(core.step(at(6), over).is_empty());
    assert!(core.step(at(6), Event::GoingDown(true)).is_empty());
    assert!(core.step(at(7), Event::Battery(false)).is_empty());
    assert_eq!(words(&core.step(at(7), order("o-1", "a"))), ["refused o-1: this node is going down"]);
    assert_eq!(words(&core.step(at(300), Event::GoingDown(false))), ["begin a save catch-up"]);
}

#[test]
fn an_order_is_carried_out_once_in_its_turn_or_not_at_all() {
    let mut core = Core::new(Record::default());
    let broken = Timed { problem: "sources: nothing is to be saved".to_owned(), ..due(None) };
    core.step(at(0), jobs(&[("a", due(None)), ("broken", broken)]));
    assert_eq!(words(&core.step(at(1), order("o-1", "a"))), ["begin a save order"]);
    for id in ["o-1", "o-2", "o-3", "o-2"] {
        assert!(core.step(at(2), order(id, "a")).is_empty(), "{id}");
    }
    assert_eq!(words(&core.step(at(2), order("o-4", "x"))), ["refused o-4: this node has no such job"]);
    assert_eq!(words(&core.step(at(2), order("o-5", "broken"))), ["refused o-5: sources: nothing is to be saved"]);
    assert_eq!(words(&core.step(at(3), Event::Stop("o-3".parse().unwrap()))), ["stopped o-3: it had not begun"]);
    assert_eq!(words(&core.step(at(3), Event::Stop("o-1".parse().unwrap()))), ["end o-1"]);
    // Killed here, the agent goes on where it was.
    let kept: Record = serde_json::from_slice(&serde_json::to_vec(core.record()).unwrap()).unwrap();
    assert_eq!((&kept, kept.run.as_ref().map(|run| run.id.as_str())), (core.record(), Some("o-1")));
    assert_eq!(words(&core.step(at(90), ended(&core))), ["refused o-2: it came to its turn too late"]);
    assert_eq!(core.record().last.get(&"a".parse().unwrap()), None::<&Last>);
}

#[test]
fn what_was_cut_short_is_done_again_but_not_for_ever() {
    let mut core = Core::new(Record::default());
    core.step(at(0), jobs(&[("a", due(Some(1)))]));
    assert_eq!(words(&core.step(at(1), Event::Tick)), ["begin a save schedule"]);
    // Stopped by a shutdown: not before the node is there again, and on mains.
    assert!(core.step(at(2), Event::GoingDown(true)).is_empty());
    assert!(core.step(at(3), cut_short(&core)).is_empty());
    let kept: Record = serde_json::from_slice(&serde_json::to_vec(core.record()).unwrap()).unwrap();
    let mut core = Core::new(kept);
    core.step(at(20), Event::Battery(true));
    assert!(core.step(at(21), jobs(&[("a", due(Some(86_400)))])).is_empty());
    assert_eq!(words(&core.step(at(22), Event::Battery(false))), ["begin a save catch-up"]);
    // Its engine dies: again, until it is enough.
    assert!(core.step(at(30), cut_short(&core)).is_empty(), "not within the minute");
    assert!(core.step(at(81), Event::Tick).is_empty());
    assert_eq!(words(&core.step(at(83), Event::Tick)), ["begin a save catch-up"]);
    for n in 4..=i64::from(MAX_TRIES) {
        assert_eq!(words(&core.step(at(n * 100), cut_short(&core))), ["begin a save catch-up"], "{n}");
    }
    assert!(core.step(at(1000), cut_short(&core)).is_empty());
    assert!(core.step(at(2000), Event::Tick).is_empty());
    assert_eq!(core.record().again.len(), 0);
}

#[test]
fn what_a_person_began_or_stopped_is_not_done_again() {
    let mut core = Core::new(Record::default());
    core.step(at(0), jobs(&[("a", due(Some(1)))]));
    core.step(at(1), Event::Tick);
    assert_eq!(words(&core.step(at(2), Event::Stop(core.running().unwrap().id.clone()))).len(), 1);
    assert!(core.step(at(3), cut_short(&core)).is_empty());
    assert_eq!(words(&core.step(at(4), order("o-1", "a"))), ["begin a save order"]);
    assert!(core.step(at(5), cut_short(&core)).is_empty());
    assert!(core.step(at(500), Event::Tick).is_empty());
    assert_eq!(core.record().again.len(), 0);
}

#[test]
fn what_is_done_again_and_ends_is_over() {
    let mut core = Core::new(Record::default());
    core.step(at(0), jobs(&[("a", due(Some(1)))]));
    core.step(at(1), Event::Tick);
    assert_eq!(words(&core.step(at(100), cut_short(&core))), ["begin a save catch-up"]);
    assert!(core.step(at(200), ended(&core)).is_empty());
    assert!(core.step(at(900), Event::Tick).is_empty());
    // A job that is not there any more is not done again.
    core.step(at(1000), jobs(&[("a", due(Some(1001)))]));
    core.step(at(1001), Event::Tick);
    core.step(at(1002), Event::GoingDown(true));
    core.step(at(1003), cut_short(&core));
    assert_eq!(core.record().again.len(), 1);
    core.step(at(1004), jobs(&[]));
    assert_eq!(core.record().again.len(), 0);
}
