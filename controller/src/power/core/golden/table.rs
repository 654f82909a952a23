//! Each phase of a node with each event that can be about it, in each direction.

use std::collections::BTreeSet;
use std::fmt::Write;

use rackhaven_proto::model::ProgressState;

use super::super::state::{Direction, Kind, Phase};
use super::super::supply::{Feed, RackSupply, UpsTrack};
use super::super::{Action, Context, Core, Event};
use super::{Rack, name, progress, words};
use crate::power::core::state::{Outage, StageTrack, State, Track};
use crate::power::policy::Wake;

const PHASES: [Phase; 10] = [
    Phase::Absent,
    Phase::Running,
    Phase::Ordered,
    Phase::Stopping,
    Phase::PoweringOff,
    Phase::Off,
    Phase::Missing,
    Phase::Aborting,
    Phase::Returning,
    Phase::Back,
];

/// The columns: a session in the same boot and in another, its end, silence, what the node says of its order, and of
/// one that is over, and time: what is said again after 2 s, the 30 s after which a node is lost on the way up, and
/// the cap.
const EVENTS: [&str; 13] =
    ["same", "other", "gone", "silent", "runs", "off", "over", "undone", "failed", "stray", "2 s", "30 s", "cap"];

/// The moment of the event.
const NOW_MS: u64 = 1_000_000;

/// A fleet of which pi-1 is looked at; the others keep the outage open, and nas keeps the next stage from beginning.
fn rack(direction: Direction, phase: Phase, present: bool) -> Rack {
    let mut rack = Rack::new(Wake::WakeOnLan);
    rack.now_ms = NOW_MS;
    let mut state = State::new(1, NOW_MS);
    let up = direction == Direction::Up;
    let (feed, supply, says) =
        if up { (Feed::Mains, RackSupply::Mains, "OL") } else { (Feed::Battery, RackSupply::Battery, "OB") };
    state.upses[0] = UpsTrack { feed, last: Some(words(says)), ..UpsTrack::new(NOW_MS) };
    state.supply = supply;
    rack.upses[0] = Some(words(says));
    let boot = "boot-1".to_owned();
    let mut outage = Outage {
        number: 7,
        kind: Kind::Mains,
        begun_ms: NOW_MS,
        begun_wall_ms: 1000,
        cause: None,
        direction,
        direction_since_ms: NOW_MS,
        everything: direction == Direction::Down,
        goal: BTreeSet::new(),
        nodes: [].into(),
        stages: [].into(),
        relief_since_ms: up.then_some(NOW_MS),
        dark: false,
        finish: false,
        cut: super::super::state::Cut::Not,
        no_shed: false,
    };
    let order = outage.order_id(1).ok();
    let has_order = !matches!(phase, Phase::Absent | Phase::Running);
    let track = Track {
        phase,
        attempt: u32::from(has_order),
        order: order.filter(|_| has_order),
        began_ms: matches!(phase, Phase::Stopping | Phase::PoweringOff | Phase::Off).then_some(NOW_MS),
        power_off_ms: matches!(phase, Phase::PoweringOff | Phase::Off).then_some(NOW_MS),
        ordered_ms: NOW_MS,
        sent_ms: NOW_MS,
        boot_id: if phase == Phase::Absent { String::new() } else { boot.clone() },
        ..Track::new(None, NOW_MS)
    };
    outage.nodes = [
        (name("pi-1"), track),
        (name("pi-2"), Track { phase: Phase::PoweringOff, ordered_ms: NOW_MS, ..Track::new(Some(&boot), NOW_MS) }),
        (name("nas"), Track::new(Some(&boot), NOW_MS)),
        (name("rack"), Track::new(Some(&boot), NOW_MS)),
    ]
    .into();
    if direction == Direction::Down {
        outage.stages.insert("workers".to_owned(), StageTrack { begun_ms: NOW_MS, ended_ms: None });
    }
    state.outage = Some(outage);
    rack.core = Core::new(state, &rack.policy, NOW_MS);
    rack.core.present.insert(name("nas"), boot.clone());
    rack.core.present.insert(name("rack"), boot.clone());
    if present {
        rack.core.present.insert(name("pi-1"), boot);
    }
    rack
}

/// What becomes of pi-1, and what is done about it.
fn cell(direction: Direction, phase: Phase, event: &str) -> String {
    let present = !matches!(event, "same" | "other" | "silent" | "30 s") && phase != Phase::Absent;
    let mut rack = rack(direction, phase, present);
    let node = name("pi-1");
    let order = rack.track("pi-1").and_then(|track| track.order.clone());
    let id = order.map_or_else(|| "mains-7-9-3e8".to_owned(), |id| id.to_string());
    let says = |state| Event::Progress { node: node.clone(), progress: progress(&id, state) };
    let event = match event {
        "same" => Event::NodeUp { node: node.clone(), boot_id: "boot-1".to_owned() },
        "other" => Event::NodeUp { node: node.clone(), boot_id: "boot-2".to_owned() },
        "gone" => Event::NodeGone { node: node.clone() },
        "silent" => Event::NodeSilent { node: node.clone() },
        "runs" => says(ProgressState::Running),
        "off" => says(ProgressState::PoweringOff),
        "over" => match says(ProgressState::PoweringOff) {
            Event::Progress { node, mut progress } => {
                progress.steps.clear();
                Event::Progress { node, progress }
            }
            event => event,
        },
        "undone" => says(ProgressState::Aborted),
        "failed" => says(ProgressState::Failed),
        "stray" => Event::Progress { node: node.clone(), progress: progress("mains-3-1-3e8", ProgressState::Running) },
        _ => {
            rack.now_ms += match event {
                "2 s" => 2000,
                "30 s" => 30_000,
                _ => rack.policy.cap_ms(),
            };
            Event::Tick
        }
    };
    let context = Context { policy: &rack.policy, roster: &rack.roster, now_ms: rack.now_ms, wall_ms: 1000 };
    let actions = rack.core.step(&context, [event]);
    let mut cell = rack.phase("pi-1").map_or("-", short).to_owned();
    for action in &actions {
        let mark = match action {
            Action::Order { node, .. } if node.as_str() == "pi-1" => "O",
            Action::Abort { node, .. } if node.as_str() == "pi-1" => "A",
            Action::Wake { node } if node.as_str() == "pi-1" => "W",
            _ => continue,
        };
        cell.push_str(mark);
    }
    cell
}

fn short(phase: Phase) -> &'static str {
    match phase {
        Phase::Absent => "abs",
        Phase::Running => "run",
        Phase::Ordered => "ord",
        Phase::Stopping => "stop",
        Phase::PoweringOff => "powr",
        Phase::Off => "off",
        Phase::Missing => "miss",
        Phase::Aborting => "abrt",
        Phase::Returning => "ret",
        Phase::Back => "back",
    }
}

/// A node's own events do not reach it where it has no session, and so on: such cells are written as well.
fn table(direction: Direction) -> String {
    let mut table = format!("{:<5}", "");
    for event in EVENTS {
        write!(table, " {event:<6}").unwrap();
    }
    for phase in PHASES {
        write!(table, "\n{:<5}", short(phase)).unwrap();
        for event in EVENTS {
            write!(table, " {:<6}", cell(direction, phase, event)).unwrap();
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Compares line by line; the whole table is shown where it differs.
fn assert_table(direction: Direction, expected: &str) {
    let is = table(direction);
    let expected: String = expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    let trimmed: String = is.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert!(trimmed == expected, "{direction:?}:\n{is}");
}

#[test]
fn on_battery_before_anybody_goes() {
    #[rustfmt::skip]
    let expected = "
      same   other  gone   silent runs   off    over   undone failed stray  2 s    30 s   cap
abs   run    run    abs    abs    absA   powr   abs    abs    absA   absA   abs    abs    abs
run   run    run    run    run    runA   powr   run    run    runA   runA   run    run    run
ord   abrtA  run    ord    ord    stop   powr   run    run    ord    ordA   ord    ord    ord
stop  stop   run    stop   stop   stop   powr   run    run    stop   stopA  stop   stop   stop
powr  powr   run    powr   off    powr   powr   run    run    abrtA  powrA  powr   powr   powr
off   abrtA  run    off    off    stop   powr   run    run    off    offA   off    off    off
miss  abrtA  run    miss   miss   miss   miss   run    run    miss   missA  miss   miss   miss
abrt  abrtA  run    abrt   abrt   abrt   powr   run    run    abrt   abrtA  abrtA  abrt   abrtA
ret   ret    ret    ret    ret    retA   powr   ret    ret    retA   retA   ret    ret    ret
back  back   back   back   back   backA  powr   back   back   backA  backA  back   back   back
";
    assert_table(Direction::Watching, expected);
}

#[test]
fn on_the_way_down() {
    #[rustfmt::skip]
    let expected = "
      same   other  gone   silent runs   off    over   undone failed stray  2 s    30 s   cap
abs   ordO   ordO   abs    abs    absA   powr   abs    abs    absA   absA   abs    abs    abs
run   ordO   ordO   ord    ord    ordAO  powr   ordO   ordO   ordAO  ordAO  ordO   ord    ordO
ord   ordO   ordO   ord    ord    stop   powr   ordO   ordO   ord    ordA   ordO   ord    miss
stop  stop   ordO   stop   stop   stop   powr   ordO   ordO   stop   stopA  stop   stop   miss
powr  powr   ordO   powr   off    powr   powr   ordO   ordO   powr   powrA  powr   powr   miss
off   off    ordO   off    off    stop   powr   ordO   ordO   off    offA   off    off    off
miss  ordO   ordO   miss   miss   miss   miss   ordO   ordO   miss   missA  miss   miss   miss
abrt  abrtA  ordO   abrt   abrt   abrt   powr   ordO   ordO   abrt   abrtA  abrtA  abrt   miss
ret   ret    ret    ret    ret    retA   powr   ret    ret    retA   retA   ret    ret    ret
back  back   back   back   back   backA  powr   back   back   backA  backA  back   back   back
";
    assert_table(Direction::Down, expected);
}

#[test]
fn on_the_way_up() {
    #[rustfmt::skip]
    let expected = "
      same   other  gone   silent runs   off    over   undone failed stray  2 s    30 s   cap
abs   run    run    abs    abs    absA   powr   abs    abs    absA   absA   abs    abs    abs
run   run    run    run    run    runA   powr   run    run    runA   runA   run    missW  run
ord   abrtA  back   abrt   abrt   abrtA  powr   back   back   abrtA  abrtAA abrtA  abrt   abrtA
stop  abrtA  back   abrt   abrt   abrtA  powr   back   back   abrtA  abrtAA abrtA  abrt   abrtA
powr  powr   back   powr   off    powr   powr   back   back   abrtA  powrA  powr   powr   missW
off   abrtA  back   off    off    abrtA  powr   back   back   off    offA   off    offW   offW
miss  abrtA  back   miss   miss   abrtA  powr   back   back   abrtA  abrtAA abrtA  missW  abrtA
abrt  abrtA  back   abrt   abrt   abrt   powr   back   back   abrt   abrtA  abrtA  abrt   abrtA
ret   ret    ret    ret    ret    retA   powr   ret    ret    retA   retA   ret    missW  ret
back  back   back   back   back   backA  powr   back   back   backA  backA  back   missW  back
";
    assert_table(Direction::Up, expected);
}
