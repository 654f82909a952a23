//! What is simulated: the rack, what the admin decided, and what happens to it.

use std::collections::BTreeMap;

use rackhaven_controller::power::policy::{Member, Need, Policy, Roster, Shed, Stage, Wake};
use rackhaven_proto::model::{NodeName, StepKind};

use super::dice::Dice;

/// A host, and how it behaves.
#[derive(Debug, Clone)]
pub struct HostPlan {
    /// Its node's name.
    pub name: NodeName,
    /// Of each step, how long it takes, milliseconds; none hangs.
    pub step_ms: BTreeMap<StepKind, Option<u64>>,
    /// From the power-off's end to silence.
    pub off_ms: u64,
    /// From power to the agent.
    pub boot_ms: u64,
    /// It starts when its power comes back.
    pub auto_on: bool,
    /// So many attempts to switch it off fail.
    pub power_off_fails: u32,
}

/// What a UPS is like.
#[derive(Debug, Clone)]
pub struct UpsPlan {
    /// How long it lasts with all hosts on, milliseconds.
    pub capacity_ms: u64,
    /// From empty to full on mains, milliseconds.
    pub charge_ms: u64,
    /// Charge at the beginning, hundredths of the whole.
    pub begin_percent: u64,
    /// Says so below this charge.
    pub low_percent: u64,
    /// Tells what is left; in hundredths of the truth.
    pub runtime_truth: Option<u64>,
    /// Tells its charge.
    pub tells_charge: bool,
    /// Says that it is low when it is not, one time in so many readings; 0 for never.
    pub false_low: u64,
    /// How its cut can be told: the delay, and whether that can be set.
    pub cut: Option<(u32, bool)>,
    /// It takes that command.
    pub cut_works: bool,
}

/// What people ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Take nodes down; none of them for all.
    Down(Vec<NodeName>),
    /// Rehearse it.
    Drill(Vec<NodeName>),
    /// End it.
    Abort,
}

/// What happens to the rack from outside, besides chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Mains comes or goes.
    Mains(bool),
    /// upsd can be read, or not.
    Upsd(bool),
    /// A primary forces a shutdown, or takes that back.
    Force(bool),
    /// Somebody asks.
    Ask(Ask),
    /// A host's network goes, or comes back.
    Reach(usize, bool),
    /// The controller is killed.
    KillController,
    /// A host's agent is killed.
    KillAgent(usize),
}

/// How bad luck is: one time in so many; 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Luck {
    /// A session breaks at a message.
    pub breaks: u64,
    /// The controller is killed between writing and doing.
    pub kill_controller: u64,
    /// An agent is killed between writing and doing.
    pub kill_agent: u64,
    /// A wake-up is lost.
    pub wake_lost: u64,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Of chance.
    pub seed: u64,
    /// What the admin decided.
    pub policy: Policy,
    /// The nodes and stages.
    pub roster: Roster,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// The UPS.
    pub ups: UpsPlan,
    /// What happens when.
    pub turns: Vec<(u64, Turn)>,
    /// There are witnesses of mains.
    pub witnesses: bool,
    /// Chance.
    pub luck: Luck,
    /// Nothing lies, nothing is lost for long: nobody may lose power while it runs.
    pub honest: bool,
    /// The controller, or the agent of a host, is killed right after it has written for this many times.
    pub kill_at: Option<(Who, u64)>,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The controller.
    Controller,
    /// The agent of a host.
    Agent(usize),
}

/// The steps that take part, with what they are given.
const STEPS: [(StepKind, u32); 7] = [
    (StepKind::Drain, 4000),
    (StepKind::StopK3s, 4000),
    (StepKind::StopBackups, 2000),
    (StepKind::Hooks, 4000),
    (StepKind::Unmount, 2000),
    (StepKind::Sync, 3000),
    (StepKind::PowerOff, 3000),
];

fn name(text: &str) -> NodeName {
    // Written below, and known to be names.
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a name"))
}

fn policy(steps: &[(StepKind, u32)]) -> Policy {
    let steps = Policy::steps(steps).unwrap_or_else(|_| unreachable!("the deadlines can be used"));
    Policy {
        ups_count: 1,
        minimum_supplies: 1,
        hold_ms: 2000,
        charge_percent: None,
        time_ms: None,
        assumed_runtime_ms: 90_000,
        margin_ms: 30_000,
        mains_hold_ms: 2000,
        mains_stable_ms: 8000,
        restore_charge_percent: None,
        restore_wait_ms: 60_000,
        steps,
        off_grace_ms: 10_000,
        expected_ms: 12_000,
        return_wait_ms: 25_000,
        witness_hold_ms: 5000,
        cut: true,
    }
}

impl Scenario {
    /// Three stages: two workers, a NAS with a second one, the master; nothing goes wrong, and nothing happens.
    pub fn plain() -> Self {
        let stage =
            |name: &str| Stage { name: name.to_owned(), cap_ms: None, shed: None, needs: Vec::new(), clients_ms: None };
        let names = [("pi-1", 0), ("pi-2", 0), ("nas-1", 1), ("nas-2", 1), ("rack", 2)];
        let member = |stage: usize| Member {
            stage,
            wake: if stage == 2 { Wake::PowerCycle } else { Wake::WakeOnLan },
            master: stage == 2,
            mounts_ready: true,
        };
        let host = |text: &str| HostPlan {
            name: name(text),
            step_ms: StepKind::ALL.iter().map(|kind| (*kind, Some(500))).collect(),
            off_ms: 2000,
            boot_ms: 4000,
            auto_on: text == "rack",
            power_off_fails: 0,
        };
        Self {
            seed: 0,
            policy: policy(&STEPS),
            roster: Roster {
                stages: ["workers", "storage", "master"].map(stage).into(),
                members: names.iter().map(|(text, stage)| (name(text), member(*stage))).collect(),
                host_safe: true,
            },
            hosts: names.iter().map(|(text, _)| host(text)).collect(),
            ups: UpsPlan {
                capacity_ms: 300_000,
                charge_ms: 600_000,
                begin_percent: 100,
                low_percent: 10,
                runtime_truth: Some(100),
                tells_charge: true,
                false_low: 0,
                cut: Some((0, true)),
                cut_works: true,
            },
            turns: Vec::new(),
            witnesses: false,
            luck: Luck::default(),
            honest: true,
            kill_at: None,
        }
    }

    /// One of chance.
    pub fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut made = Self::plain();
        made.seed = seed;
        made.honest = dice.one_in(3);
        made.choose_rack(&mut dice);
        made.choose_policy(&mut dice);
        made.choose_ups(&mut dice);
        made.choose_turns(&mut dice);
        if made.honest {
            // Slow ones are honest too, if what they need is known.
            made.policy.expected_ms = made.slowest_ms();
            made.luck.breaks = dice.pick(&[0, 0, 400]);
        } else {
            made.luck = Luck {
                breaks: dice.pick(&[0, 30, 100, 300]),
                kill_controller: dice.pick(&[0, 0, 30, 150]),
                kill_agent: dice.pick(&[0, 0, 40, 200]),
                wake_lost: dice.pick(&[0, 2, 3]),
            };
        }
        made
    }

    /// How long the slowest host takes from the order to silence, and some more for what is on its way.
    fn slowest_ms(&self) -> u64 {
        let takes = |host: &HostPlan| host.step_ms.values().map(|ms| ms.unwrap_or(0)).sum::<u64>() + host.off_ms;
        self.hosts.iter().map(takes).max().unwrap_or(0) + 6000
    }

    fn choose_rack(&mut self, dice: &mut Dice) {
        let calm = self.honest;
        let nodes = dice.between(1, 5);
        let stages = dice.between(1, 3);
        let with_master = !dice.one_in(6);
        self.roster.stages.truncate(1);
        self.roster.members.clear();
        self.hosts.clear();
        let stage = self.roster.stages[0].clone();
        self.roster.stages = (0..=stages).map(|at| Stage { name: format!("stage-{at}"), ..stage.clone() }).collect();
        for at in 0..nodes {
            let wake = dice.pick(&[Wake::WakeOnLan, Wake::WakeOnLan, Wake::PowerCycle, Wake::ByHand]);
            let member = Member {
                stage: usize::try_from(dice.between(0, stages - 1)).unwrap_or_default(),
                wake,
                master: false,
                mounts_ready: !dice.one_in(12),
            };
            self.add(dice, &format!("n-{at}"), member);
        }
        if with_master {
            let stage = self.roster.stages.len() - 1;
            self.add(dice, "rack", Member { stage, wake: Wake::PowerCycle, master: true, mounts_ready: true });
        }
        self.roster.host_safe = true;
        for at in 0..self.roster.stages.len() - 1 {
            if dice.one_in(4) {
                let other = self.hosts[usize::try_from(dice.between(0, nodes - 1)).unwrap_or_default()].name.clone();
                let needs = dice.pick(&[0, 1]);
                let mount = Need::Mount("/mnt/nas".to_owned());
                self.roster.stages[at].needs = vec![if needs == 0 { Need::Node(other) } else { mount }];
            }
            if !calm && dice.one_in(5) {
                self.roster.stages[at].cap_ms = Some(dice.between(8000, 40_000));
            }
            if dice.one_in(5) {
                self.roster.stages[at].shed = Some(Shed {
                    charge_percent: dice.one_in(2).then_some(70.0),
                    time_ms: dice.one_in(2).then(|| dice.between(3000, 30_000)),
                    runtime_ms: dice.one_in(2).then(|| dice.between(60_000, 200_000)),
                });
            }
        }
    }

    fn add(&mut self, dice: &mut Dice, text: &str, member: Member) {
        let calm = self.honest;
        let auto_on = member.master || member.wake == Wake::PowerCycle || dice.one_in(2);
        let mut step_ms = BTreeMap::new();
        for (kind, limit_ms) in STEPS {
            let hangs = !calm && dice.one_in(25);
            let longest_ms = u64::from(limit_ms) * 3 / 4;
            step_ms.insert(kind, (!hangs).then(|| dice.between(20, longest_ms)));
        }
        self.hosts.push(HostPlan {
            name: name(text),
            step_ms,
            off_ms: dice.between(200, 6000),
            boot_ms: dice.between(2000, 12_000),
            auto_on,
            power_off_fails: if calm || !dice.one_in(8) { 0 } else { dice.pick(&[1, 2, 50]) },
        });
        self.roster.members.insert(name(text), member);
    }

    fn choose_policy(&mut self, dice: &mut Dice) {
        let kept: Vec<_> =
            STEPS.iter().copied().filter(|(kind, _)| *kind == StepKind::PowerOff || !dice.one_in(3)).collect();
        let fresh = policy(&kept);
        self.policy = Policy {
            charge_percent: dice.one_in(2).then_some(30.0),
            time_ms: dice.one_in(3).then(|| dice.between(2000, 90_000)),
            mains_hold_ms: dice.pick(&[0, 1000, 3000]),
            mains_stable_ms: dice.pick(&[0, 5000, 15_000]),
            restore_charge_percent: dice.one_in(2).then_some(40.0),
            cut: !dice.one_in(4),
            margin_ms: if self.honest { 30_000 } else { dice.pick(&[0, 10_000, 30_000]) },
            expected_ms: dice.between(3000, 25_000),
            ..fresh
        };
        self.witnesses = dice.one_in(3);
    }

    fn choose_ups(&mut self, dice: &mut Dice) {
        let calm = self.honest;
        let truth = if calm { Some(100) } else { dice.pick(&[None, Some(0), Some(100), Some(30), Some(400)]) };
        self.ups = UpsPlan {
            capacity_ms: if calm { dice.between(200_000, 600_000) } else { dice.between(20_000, 400_000) },
            charge_ms: dice.between(60_000, 400_000),
            begin_percent: dice.between(if calm { 90 } else { 20 }, 100),
            low_percent: dice.between(2, 20),
            runtime_truth: truth,
            tells_charge: dice.one_in(2),
            false_low: if calm { 0 } else { dice.pick(&[0, 0, 3, 20]) },
            cut: dice.pick(&[None, Some((0, true)), Some((120, false)), Some((20, false))]),
            cut_works: calm || !dice.one_in(4),
        };
    }

    fn choose_turns(&mut self, dice: &mut Dice) {
        let mut at_ms = dice.between(8000, 12_000);
        let flaps = if self.honest { 1 } else { dice.pick(&[0, 1, 1, 1, 2, 3, 6]) };
        for _ in 0..flaps {
            self.turns.push((at_ms, Turn::Mains(false)));
            at_ms += dice.pick(&[500, 3000, 20_000, 60_000, 150_000, 400_000]) + dice.between(0, 20_000);
            self.turns.push((at_ms, Turn::Mains(true)));
            at_ms += dice.pick(&[500, 4000, 30_000, 90_000]) + dice.between(0, 10_000);
        }
        if dice.one_in(12) {
            let from_ms = dice.between(1000, at_ms);
            self.turns.push((from_ms, Turn::Force(true)));
            let lasts_ms = dice.pick(&[2000, 60_000, 200_000]);
            self.turns.push((from_ms + lasts_ms, Turn::Force(false)));
        }
        if dice.one_in(4) {
            let who = self.some_hosts(dice);
            let ask = dice.pick(&[0, 0, 1, 2]);
            let ask = match ask {
                0 => Ask::Down(who),
                1 => Ask::Down(Vec::new()),
                _ => Ask::Drill(who),
            };
            let when_ms = dice.between(1000, at_ms);
            self.turns.push((when_ms, Turn::Ask(ask)));
            if dice.one_in(3) {
                self.turns.push((when_ms + dice.between(100, 20_000), Turn::Ask(Ask::Abort)));
            }
        }
        if !self.honest {
            self.choose_trouble(dice, at_ms);
        }
        self.turns.sort_by_key(|(when_ms, _)| *when_ms);
    }

    fn some_hosts(&self, dice: &mut Dice) -> Vec<NodeName> {
        let mut chosen: Vec<_> = self.hosts.iter().filter(|_| dice.one_in(2)).map(|host| host.name.clone()).collect();
        if chosen.is_empty() {
            chosen.extend(self.hosts.first().map(|host| host.name.clone()));
        }
        chosen
    }

    fn choose_trouble(&mut self, dice: &mut Dice, end_ms: u64) {
        let hosts = self.hosts.len() as u64;
        let host = |dice: &mut Dice| usize::try_from(dice.between(0, hosts - 1)).unwrap_or_default();
        if dice.one_in(3) {
            let from_ms = dice.between(1000, end_ms);
            self.turns.push((from_ms, Turn::Upsd(false)));
            let lasts_ms = dice.pick(&[1000, 10_000, 60_000, 300_000]);
            self.turns.push((from_ms + lasts_ms, Turn::Upsd(true)));
        }
        for _ in 0..dice.pick(&[0, 0, 1, 2]) {
            self.turns.push((dice.between(1000, end_ms), Turn::KillController));
        }
        for _ in 0..dice.pick(&[0, 0, 1, 2]) {
            let host = host(dice);
            self.turns.push((dice.between(1000, end_ms), Turn::KillAgent(host)));
        }
        for _ in 0..dice.pick(&[0, 0, 1, 2]) {
            let host = host(dice);
            let from_ms = dice.between(1000, end_ms);
            self.turns.push((from_ms, Turn::Reach(host, false)));
            let lasts_ms = dice.pick(&[2000, 20_000, 90_000]);
            self.turns.push((from_ms + lasts_ms, Turn::Reach(host, true)));
        }
    }
}
