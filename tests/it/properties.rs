//! What must hold of the pure cores whatever comes, beside the tables in their own files of what comes of what.

use proptest::prelude::*;
use rackhaven_agent::link::BackOff;
use rackhaven_controller::access::{Caller, METHODS, Requirement, decide as may_call};
use rackhaven_controller::audit::{chain_hash, first_break};
use rackhaven_controller::enrolment::{Asked, MAX_FAILURES, decide as may_enrol};
use rackhaven_controller::fleet::{Liveness, Thresholds};
use rackhaven_controller::store::{AuditEntry, AuditRow, TokenPurpose, TokenRow};
use rackhaven_pki::SecretHash;
use rackhaven_proto::model::{Labels, NodeState, Role};
use rackhaven_proto::v1::SubjectKind;

/// What can happen to a node, each after some milliseconds.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Heard,
    NewSession,
    SaysItGoesOff,
    SessionEnds,
    Tick,
}

fn happenings() -> impl Strategy<Value = Vec<(u64, Happens)>> {
    let one = prop_oneof![
        4 => Just(Happens::Heard),
        1 => Just(Happens::NewSession),
        1 => Just(Happens::SaysItGoesOff),
        1 => Just(Happens::SessionEnds),
        6 => Just(Happens::Tick),
    ];
    proptest::collection::vec((0_u64..9000, one), 1..80)
}

proptest! {
    #[test]
    fn a_node_is_down_only_after_silence_and_off_only_by_its_own_word(story in happenings()) {
        let thresholds = Thresholds::new(2000, 3, 5);
        let mut liveness = Liveness::new(NodeState::Up, 0);
        let (mut now_ms, mut heard_ms, mut said_off) = (0, None, false);
        for (after_ms, happens) in story {
            now_ms += after_ms;
            let before = liveness.state();
            match happens {
                Happens::Heard => liveness.heard(now_ms, false),
                Happens::NewSession => liveness.heard(now_ms, true),
                Happens::SaysItGoesOff => liveness.goes_off(),
                Happens::SessionEnds => liveness.session_ended(now_ms),
                Happens::Tick => liveness.tick(now_ms, &thresholds),
            }
            match happens {
                Happens::Heard => heard_ms = Some(now_ms),
                Happens::NewSession => (heard_ms, said_off) = (Some(now_ms), false),
                Happens::SaysItGoesOff => said_off = true,
                Happens::SessionEnds | Happens::Tick => {}
            }
            let now = liveness.state();
            let silence_ms = now_ms - heard_ms.unwrap_or(0);
            prop_assert_eq!(liveness.heard_ms(), heard_ms);
            prop_assert!(liveness.since_ms() <= now_ms);
            if now == before {
                continue;
            }
            prop_assert_eq!(liveness.since_ms(), now_ms);
            match now {
                NodeState::Up => prop_assert!(matches!(happens, Happens::Heard | Happens::NewSession)),
                NodeState::Suspect => prop_assert!(silence_ms >= thresholds.suspect_ms),
                NodeState::Down => prop_assert!(silence_ms >= thresholds.down_ms && !said_off),
                NodeState::Off => prop_assert!(said_off),
                NodeState::Unknown => prop_assert!(false, "nothing makes a known node unknown"),
            }
        }
    }

    #[test]
    fn silence_always_ends_in_down_or_off(story in happenings()) {
        let thresholds = Thresholds::new(2000, 3, 5);
        let mut liveness = Liveness::new(NodeState::Up, 0);
        let mut now_ms = 0;
        for (after_ms, happens) in story {
            now_ms += after_ms;
            match happens {
                Happens::Heard => liveness.heard(now_ms, false),
                Happens::NewSession => liveness.heard(now_ms, true),
                Happens::SaysItGoesOff => liveness.goes_off(),
                Happens::SessionEnds => liveness.session_ended(now_ms),
                Happens::Tick => liveness.tick(now_ms, &thresholds),
            }
        }
        liveness.tick(now_ms + thresholds.grace_ms, &thresholds);
        prop_assert!(matches!(liveness.state(), NodeState::Down | NodeState::Off));
    }

    #[test]
    fn nobody_enrols_without_a_good_invitation(
        guess in "[a-z]{1,3}",
        name in "[a-z-]{0,4}",
        invited in prop_oneof![Just(String::new()), "[a-z]{1,2}"],
        (ends_ms, now_ms) in (0_i64..100, 0_i64..100),
        (uses_left, failures) in (0_u32..2, 0..=MAX_FAILURES),
        (for_user, asks_as_user, taken) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let token = TokenRow {
            id: "aaaaaaaa".parse().unwrap(),
            secret_hash: SecretHash::of("abc"),
            purpose: if for_user { TokenPurpose::User(Role::Admin) } else { TokenPurpose::Node },
            name: invited.clone(),
            labels: Labels::default(),
            ends_ms,
            uses_left,
            failures,
        };
        let kind = if asks_as_user { SubjectKind::User } else { SubjectKind::Node };
        let asked = Asked { secret: &guess, kind, name: &name, fallback_name: "host" };
        if let Ok(subject) = may_enrol(Some(&token), &asked, now_ms, |_| taken) {
            prop_assert!(guess == "abc" && now_ms < ends_ms && uses_left > 0 && failures < MAX_FAILURES);
            prop_assert_eq!(for_user, asks_as_user);
            prop_assert!(for_user || !taken);
            prop_assert!(invited.is_empty() || subject.name() == invited);
        }
    }

    #[test]
    fn a_higher_role_may_all_that_a_lower_one_may(method in 0..METHODS.len()) {
        let (method, requirement) = METHODS[method];
        let may = |role| may_call(&Caller::User("ann".parse().unwrap(), role), method).is_ok();
        for (lower, higher) in Role::ALL.into_iter().zip(Role::ALL.into_iter().skip(1)) {
            prop_assert!(may(higher) || !may(lower), "{method}: {lower} may, {higher} may not");
        }
        let node = may_call(&Caller::Node("pi".parse().unwrap()), method).is_ok();
        prop_assert!(!(node && matches!(requirement, Requirement::AtLeast(_))), "{method} is open to nodes");
    }

    #[test]
    fn any_change_to_an_audit_log_is_found(
        words in proptest::collection::vec("[a-c]{0,2}", 2..8),
        place in any::<prop::sample::Index>(),
        other in "[d-f]{1,2}",
    ) {
        let mut hash = String::new();
        let mut log: Vec<AuditRow> = words.iter().zip(1..).map(|(word, position)| {
            let entry = AuditEntry {
                wall_ms: 0,
                who: word.clone(),
                origin: String::new(),
                action: word.clone(),
                target: String::new(),
                outcome: "ok".to_owned(),
            };
            hash = chain_hash(&hash, &entry);
            AuditRow { position, entry, hash: hash.clone() }
        }).collect();
        prop_assert_eq!(first_break(&log, usize::MAX), None);
        let place = place.index(log.len());
        log[place].entry.target = other;
        prop_assert_eq!(first_break(&log, usize::MAX), Some(log[place].position));
    }

    #[test]
    fn waits_grow_within_their_bounds(jitter in proptest::collection::vec(0.0_f64..1.0, 1..40)) {
        let mut back_off = BackOff::default();
        for (tries, random) in jitter.into_iter().enumerate() {
            let wait_ms = back_off.next_ms(random);
            let full_ms = (250.0 * 1.5_f64.powi(i32::try_from(tries).unwrap())).min(15_000.0);
            prop_assert!(wait_ms as f64 <= full_ms && wait_ms as f64 >= full_ms / 2.0 - 20.0, "{wait_ms} of {full_ms}");
        }
    }
}
