//! What a drain decides, written out.

use super::{Action, Answer, Drain, Ended, Event, Fate, Owner, PodFacts, Rules, left_in_words, refused_in_words};

const RULES: Rules = Rules { deadline_ms: 30_000, silence_ms: 5000, bare: true, emptydir: true, grace_s: None };

fn pod(name: &str) -> PodFacts {
    PodFacts {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        owner: Owner::Controller,
        emptydir: false,
        critical: false,
        finished: false,
        ends: false,
        grace_s: 10,
    }
}

/// The actions in short: `web-1`, or with a grace period of its own `web-1/4`.
fn said(actions: Vec<Action>) -> Vec<String> {
    let brief = |action| match action {
        Action::Evict { name, grace_s: None, .. } => name,
        Action::Evict { name, grace_s: Some(grace_s), .. } => format!("{name}/{grace_s}"),
    };
    actions.into_iter().map(brief).collect()
}

fn answer(name: &str, answer: Answer) -> Event {
    Event::Answered(format!("uid-{name}"), answer)
}

fn begun(rules: Rules, pods: &[PodFacts]) -> (Drain, Vec<String>) {
    let mut drain = Drain::new(rules, 0);
    let first = said(drain.step(Event::Listed(pods.to_vec()), 0));
    (drain, first)
}

#[test]
fn who_goes_and_who_stays() {
    let kubectl = Rules { bare: false, emptydir: false, ..RULES };
    let owned = |owner| PodFacts { owner, ..pod("p") };
    let data = |owner| PodFacts { emptydir: true, ..owned(owner) };
    let finished = |owner| PodFacts { finished: true, ..data(owner) };
    let ends = |owner| PodFacts { ends: true, ..data(owner) };
    use Fate::{Goes, Stays, WantsData, WantsForce};
    for (facts, in_power, by_hand) in [
        (owned(Owner::Kubelet), Stays, Stays),
        (owned(Owner::DaemonSet), Stays, Stays),
        (owned(Owner::Controller), Goes, Goes),
        (owned(Owner::Nobody), Goes, WantsForce),
        (data(Owner::DaemonSet), Stays, Stays),
        (data(Owner::Controller), Goes, WantsData),
        (data(Owner::Nobody), Goes, WantsForce),
        (finished(Owner::Controller), Stays, Stays),
        (finished(Owner::Nobody), Stays, Stays),
        (ends(Owner::Kubelet), Stays, Stays),
        (ends(Owner::Controller), Goes, Goes),
        (ends(Owner::Nobody), Goes, Goes),
    ] {
        assert_eq!((facts.fate(&RULES), facts.fate(&kubectl)), (in_power, by_hand), "{facts:?}");
    }
}

#[test]
fn an_empty_node_is_drained_at_once() {
    let (drain, asked) = begun(RULES, &[PodFacts { owner: Owner::DaemonSet, ..pod("log") }]);
    assert!(asked.is_empty());
    assert_eq!(drain.ended(), Some(&Ended::Drained(0)));
}

#[test]
fn pods_go_and_are_waited_for() {
    let (mut drain, asked) = begun(RULES, &[pod("a"), pod("b"), PodFacts { ends: true, ..pod("c") }]);
    assert_eq!(asked, ["a", "b"]);
    assert!(drain.step(answer("a", Answer::Taken), 100).is_empty());
    assert!(drain.step(answer("b", Answer::Gone), 100).is_empty());
    // A list that was made before the eviction changes nothing.
    assert!(drain.step(Event::Listed(vec![pod("a"), PodFacts { ends: true, ..pod("c") }]), 200).is_empty());
    assert_eq!(drain.far(), (1, 3));
    assert_eq!(
        left_in_words(&drain.left(), 4000),
        "default/a (has been ending for 3 s), default/c (has been ending for 4 s)"
    );
    drain.step(Event::Listed(vec![PodFacts { ends: true, ..pod("c") }]), 1000);
    assert_eq!(drain.ended(), None);
    drain.step(Event::Listed(Vec::new()), 2000);
    assert_eq!(drain.ended(), Some(&Ended::Drained(3)));
}

#[test]
fn what_is_refused_is_asked_for_again_ever_more_slowly_until_the_deadline() {
    let (mut drain, mut asked) = begun(RULES, &[pod("a")]);
    let (mut now_ms, mut waits) = (0, Vec::new());
    while drain.ended().is_none() {
        if !asked.is_empty() {
            asked = said(drain.step(answer("a", Answer::Budget("budget db allows none".to_owned())), now_ms));
            assert!(asked.is_empty());
        }
        let next_ms = drain.wakes_ms(now_ms).min(now_ms + 1000);
        asked = said(drain.step(Event::Listed(vec![pod("a")]), next_ms));
        if !asked.is_empty() {
            waits.push(next_ms);
        }
        now_ms = next_ms;
    }
    assert_eq!(waits, [250, 750, 1750, 3750, 6750, 9750, 12_750, 15_750, 18_750, 21_750, 24_750, 27_750]);
    assert_eq!(now_ms, 30_000);
    let Some(Ended::Late(left)) = drain.ended() else { panic!("{:?}", drain.ended()) };
    assert_eq!(left_in_words(left, now_ms), "default/a (budget db allows none)");
}

#[test]
fn the_time_to_end_fits_into_what_is_left() {
    let slow = PodFacts { grace_s: 600, ..pod("slow") };
    let given = |grace_s, from_ms| {
        let mut drain = Drain::new(Rules { grace_s, ..RULES }, from_ms);
        said(drain.step(Event::Listed(vec![pod("quick"), slow.clone()]), from_ms))
    };
    assert_eq!(given(None, 0), ["quick", "slow/29"]);
    assert_eq!(given(None, 22_500), ["quick/6", "slow/6"]);
    assert_eq!(given(None, 29_500), ["quick/1", "slow/1"]);
    assert_eq!(given(Some(10), 0), ["quick/10", "slow/10"]);
    assert_eq!(given(Some(600), 0), ["quick/29", "slow/29"]);
}

#[test]
fn the_systems_pods_go_last_but_go() {
    let system = PodFacts { critical: true, ..pod("coredns") };
    let (mut drain, asked) = begun(RULES, &[system.clone(), pod("a"), pod("b")]);
    assert_eq!(asked, ["a", "b"]);
    drain.step(answer("a", Answer::Gone), 10);
    drain.step(answer("b", Answer::Taken), 10);
    let ends = PodFacts { ends: true, ..pod("b") };
    assert!(drain.step(Event::Listed(vec![system.clone(), ends.clone()]), 1000).is_empty());
    // In the last quarter nobody is waited for any more.
    let mut late = drain.clone();
    late.step(Event::Listed(vec![system.clone(), ends]), 20_000);
    assert_eq!(late.wakes_ms(20_000), 22_500);
    assert_eq!(said(late.step(Event::Tick, 22_500)), ["coredns/6"]);
    assert_eq!(said(drain.step(Event::Listed(vec![system]), 2000)), ["coredns"]);
}

#[test]
fn no_more_than_so_many_are_asked_for_at_once() {
    let pods: Vec<PodFacts> = (0..20).map(|number| pod(&format!("p{number:02}"))).collect();
    let (mut drain, asked) = begun(RULES, &pods);
    assert_eq!(asked.len(), super::core::AT_ONCE);
    assert_eq!(drain.wakes_ms(0), 5000);
    assert_eq!(said(drain.step(answer("p00", Answer::Taken), 10)), ["p16"]);
    // Who was refused comes behind those that were not asked for yet.
    assert_eq!(said(drain.step(answer("p01", Answer::Refused("busy".to_owned())), 300)), ["p17"]);
    assert_eq!(said(drain.step(answer("p02", Answer::Taken), 900)), ["p18"]);
}

#[test]
fn without_leave_nothing_is_begun() {
    let by_hand = Rules { bare: false, emptydir: false, ..RULES };
    let (drain, asked) = begun(
        by_hand,
        &[pod("a"), PodFacts { owner: Owner::Nobody, ..pod("c") }, PodFacts { emptydir: true, ..pod("b") }],
    );
    assert!(asked.is_empty());
    let Some(Ended::Kept(refusals)) = drain.ended() else { panic!("{:?}", drain.ended()) };
    assert_eq!(
        refused_in_words(refusals),
        "default/b (loses the data of an emptyDir: --delete-emptydir-data), \
         default/c (nothing would start it again: --force)"
    );
}

#[test]
fn a_silent_api_is_not_waited_for() {
    let mut drain = Drain::new(RULES, 0);
    assert!(drain.step(Event::Unlisted("connection refused".to_owned()), 10).is_empty());
    assert_eq!(drain.wakes_ms(10), 5000);
    drain.step(Event::Tick, 4999);
    assert_eq!(drain.ended(), None);
    drain.step(Event::Tick, 5000);
    assert_eq!(drain.ended(), Some(&Ended::Silent("connection refused".to_owned(), Vec::new())));
    // It may fall silent later, too.
    let (mut drain, _) = begun(RULES, &[pod("a")]);
    drain.step(answer("a", Answer::Budget("web".to_owned())), 3000);
    drain.step(Event::Tick, 7999);
    assert_eq!(drain.ended(), None);
    drain.step(Event::Tick, 8000);
    assert!(matches!(drain.ended(), Some(Ended::Silent(why, left)) if why == "no answer" && left.len() == 1));
    // A deadline that is nearer counts.
    let mut drain = Drain::new(Rules { deadline_ms: 2000, ..RULES }, 0);
    drain.step(Event::Tick, 2000);
    assert!(matches!(drain.ended(), Some(Ended::Silent(..))));
}

#[test]
fn strange_answers_change_nothing() {
    let (mut drain, _) = begun(RULES, &[pod("a")]);
    let before = drain.far();
    assert!(drain.step(answer("z", Answer::Gone), 10).is_empty());
    drain.step(answer("a", Answer::Taken), 20);
    assert!(drain.step(answer("a", Answer::Gone), 30).is_empty());
    assert_eq!(drain.far(), before);
    // Another pod of the same name is another pod.
    let again = PodFacts { uid: "uid-new".to_owned(), ..pod("a") };
    assert_eq!(said(drain.step(Event::Listed(vec![again]), 40)), ["a"]);
    assert_eq!(drain.far(), (1, 2));
}

#[test]
fn many_are_told_briefly() {
    let pods: Vec<PodFacts> = (0..8).map(|number| pod(&format!("p{number}"))).collect();
    let (drain, _) = begun(RULES, &pods);
    let told = left_in_words(&drain.left(), 0);
    assert!(told.starts_with("default/p0 (not asked to go yet), ") && told.ends_with(" and 3 more"), "{told}");
}

#[test]
fn a_budget_that_refuses_is_asked_by_one_and_then_by_more() {
    let pods: Vec<PodFacts> = (0..6).map(|number| pod(&format!("w{number}"))).collect();
    let (mut drain, asked) = begun(RULES, &pods);
    assert_eq!(asked.len(), 6);
    let refused = || Answer::Budget(format!("The disruption budget web needs 5 healthy pods and has {} currently", 5));
    drain.step(answer("w0", Answer::Taken), 10);
    for name in ["w1", "w2", "w3", "w4", "w5"] {
        assert!(drain.step(answer(name, refused()), 20).is_empty());
    }
    assert_eq!(drain.wakes_ms(20), 270);
    assert_eq!(said(drain.step(Event::Tick, 270)), ["w1"]);
    // It is refused: the next one asks, later.
    assert!(drain.step(answer("w1", refused()), 280).is_empty());
    assert_eq!(drain.wakes_ms(280), 780);
    assert_eq!(said(drain.step(Event::Tick, 780)), ["w2"]);
    // It is allowed: two ask, then four.
    assert_eq!(said(drain.step(answer("w2", Answer::Taken), 790)), ["w3", "w4"]);
    assert_eq!(said(drain.step(answer("w3", Answer::Taken), 800)), ["w5", "w1"]);
    // Refused, and those that were asked before that say nothing new.
    assert!(drain.step(answer("w4", refused()), 900).is_empty());
    drain.step(answer("w5", refused()), 910);
    drain.step(answer("w1", refused()), 920);
    assert_eq!(drain.wakes_ms(920), 1150);
    assert_eq!(said(drain.step(Event::Tick, 1150)).len(), 1);
}
