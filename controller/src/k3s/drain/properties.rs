//! A drain against an API that is made up: whatever it does, the deadline holds, and a budget is kept.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Action, Answer, Drain, Ended, Event, Owner, PodFacts, Rules};

const LIST_EVERY_MS: u64 = 1000;

#[derive(Debug, Clone)]
struct Pod {
    facts: PodFacts,
    /// None of these may go before the clock shows this, milliseconds; none for never.
    budget_until_ms: Option<u64>,
    /// The API says 500 so often first.
    failures: u32,
    /// It ends by itself after this, whatever it is given, milliseconds.
    takes_ms: u64,
    /// An answer comes after this, milliseconds.
    answer_ms: u64,
}

fn pods() -> impl Strategy<Value = Vec<Pod>> {
    let owner = prop_oneof![
        1 => Just(Owner::Kubelet),
        2 => Just(Owner::DaemonSet),
        6 => Just(Owner::Controller),
        2 => Just(Owner::Nobody),
    ];
    let budget = prop_oneof![6 => Just(Some(0)), 2 => (0..40_000_u64).prop_map(Some), 1 => Just(None)];
    let flags = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let one = (owner, budget, flags, 0..4_u32, 0..20_000_u64, 0..1500_u64, 0..90_u32);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let pod = |(index, (owner, budget_until_ms, flags, failures, takes_ms, answer_ms, grace_s))| {
            let (emptydir, critical, finished, ends) = flags;
            let (name, uid) = (format!("pod-{index}"), format!("uid-{index}"));
            let namespace = "default".to_owned();
            let facts = PodFacts { namespace, name, uid, owner, emptydir, critical, finished, ends, grace_s };
            Pod { facts, budget_until_ms, failures, takes_ms, answer_ms }
        };
        all.into_iter().enumerate().map(pod).collect()
    })
}

/// What came of one run.
struct Run {
    ended: Ended,
    at_ms: u64,
    asked: Vec<(String, Option<u32>, u64)>,
    /// Pods that are gone, and when.
    gone: BTreeMap<String, u64>,
    most_at_once: usize,
}

fn run(pods: Vec<Pod>, rules: Rules, dies_at_ms: u64) -> Run {
    let mut drain = Drain::new(rules, 0);
    let mut world: BTreeMap<String, Pod> = pods.into_iter().map(|pod| (pod.facts.uid.clone(), pod)).collect();
    let (mut answers, mut ends) = (Vec::<(u64, String, Answer)>::new(), BTreeMap::<String, u64>::new());
    let (mut asked, mut gone, mut most_at_once) = (Vec::new(), BTreeMap::new(), 0);
    for pod in world.values().filter(|pod| pod.facts.ends) {
        ends.insert(pod.facts.uid.clone(), pod.takes_ms);
    }
    let (mut now_ms, mut list_ms) = (0, 0);
    loop {
        let over = |uid: &String| ends.get(uid).is_some_and(|at_ms| *at_ms <= now_ms);
        for uid in world.keys().filter(|uid| over(uid)).cloned().collect::<Vec<_>>() {
            world.remove(&uid);
            gone.insert(uid, now_ms);
        }
        let due = answers.iter().position(|(at_ms, ..)| *at_ms <= now_ms);
        let event = match due {
            Some(index) => {
                let (_, uid, answer) = answers.swap_remove(index);
                Event::Answered(uid, answer)
            }
            None if list_ms <= now_ms => {
                list_ms = now_ms + LIST_EVERY_MS;
                match now_ms < dies_at_ms {
                    true => Event::Listed(world.values().map(|pod| pod.facts.clone()).collect()),
                    false => Event::Unlisted("gone".to_owned()),
                }
            }
            None => Event::Tick,
        };
        for Action::Evict { uid, grace_s, .. } in drain.step(event, now_ms) {
            asked.push((uid.clone(), grace_s, now_ms));
            let pod = world.get_mut(&uid);
            let answer = match pod {
                _ if now_ms >= dies_at_ms => Answer::Silent("gone".to_owned()),
                None => Answer::Gone,
                Some(pod) if pod.failures > 0 => {
                    pod.failures -= 1;
                    Answer::Refused("500".to_owned())
                }
                Some(pod) if pod.budget_until_ms.is_none_or(|until_ms| now_ms < until_ms) => {
                    Answer::Budget(format!("{:?} needs all", pod.budget_until_ms))
                }
                Some(pod) => {
                    let grace_ms = u64::from(grace_s.unwrap_or(pod.facts.grace_s)) * 1000;
                    pod.facts.ends = true;
                    ends.insert(uid.clone(), now_ms + pod.takes_ms.min(grace_ms));
                    Answer::Taken
                }
            };
            let delay_ms = world.get(&uid).map_or(0, |pod| pod.answer_ms);
            answers.push((now_ms + delay_ms, uid, answer));
            most_at_once = most_at_once.max(answers.len());
        }
        if let Some(ended) = drain.ended() {
            return Run { ended: ended.clone(), at_ms: now_ms, asked, gone, most_at_once };
        }
        let next = answers.iter().map(|(at_ms, ..)| *at_ms).chain([list_ms, drain.wakes_ms(now_ms)]).min();
        let next_ms = next.unwrap_or(now_ms).max(now_ms);
        let due = list_ms <= now_ms || answers.iter().any(|(at_ms, ..)| *at_ms <= now_ms);
        assert!(due || next_ms > now_ms, "stands still at {now_ms}");
        now_ms = next_ms;
        ends.retain(|uid, _| world.contains_key(uid));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes(all in pods(), deadline_ms in 500..60_000_u64, bare: bool, emptydir: bool, dies in 0..90_000_u64) {
        let rules = Rules { deadline_ms, silence_ms: 5000, bare, emptydir, grace_s: None };
        let run = run(all.clone(), rules, dies);
        prop_assert!(run.at_ms <= deadline_ms, "ended at {} of {deadline_ms}", run.at_ms);
        prop_assert!(run.at_ms <= dies.max(5000) + 5000 + 1500, "the API is silent since {dies}, ended at {}", run.at_ms);
        prop_assert!(run.most_at_once <= super::core::AT_ONCE);
        for (uid, grace_s, at_ms) in &run.asked {
            let pod = all.iter().find(|pod| pod.facts.uid == *uid).unwrap();
            prop_assert!(!matches!(pod.facts.owner, Owner::Kubelet | Owner::DaemonSet) && !pod.facts.finished);
            prop_assert!(rules.bare || pod.facts.owner != Owner::Nobody);
            prop_assert!(rules.emptydir || !pod.facts.emptydir);
            let given_ms = u64::from(grace_s.unwrap_or(pod.facts.grace_s)) * 1000;
            let fits = at_ms + given_ms <= deadline_ms || given_ms == 1000;
            prop_assert!(fits, "{given_ms} ms given at {at_ms} of {deadline_ms}");
        }
        // Who was kept by a budget is still there.
        let kept = all.iter().filter(|pod| pod.budget_until_ms.is_none() && !pod.facts.ends);
        for pod in kept {
            prop_assert!(!run.gone.contains_key(&pod.facts.uid));
        }
        if let Ended::Drained(_) = run.ended {
            let goes = |pod: &&Pod| pod.facts.fate(&rules) == super::Fate::Goes;
            prop_assert!(all.iter().filter(goes).all(|pod| run.gone.contains_key(&pod.facts.uid)));
        }
    }

    /// In time that is long enough, whoever may go is gone.
    #[test]
    fn who_can_go_goes(mut all in pods()) {
        for pod in &mut all {
            // A budget lets it go in the first minute, or never.
            pod.facts.grace_s = pod.facts.grace_s.max(1);
        }
        let rules = Rules { deadline_ms: 300_000, silence_ms: 5000, bare: true, emptydir: true, grace_s: None };
        let run = run(all.clone(), rules, u64::MAX);
        for pod in all.iter().filter(|pod| pod.facts.fate(&rules) == super::Fate::Goes) {
            let may = pod.facts.ends || pod.budget_until_ms.is_some();
            prop_assert_eq!(run.gone.contains_key(&pod.facts.uid), may, "{:?}", pod);
        }
        let stuck = all.iter().any(|pod| {
            pod.facts.fate(&rules) == super::Fate::Goes && !pod.facts.ends && pod.budget_until_ms.is_none()
        });
        prop_assert_eq!(matches!(run.ended, Ended::Drained(_)), !stuck);
    }
}
