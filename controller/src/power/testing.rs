//! A policy and a fleet for tests.

use std::collections::BTreeMap;

use rackhaven_proto::model::NodeName;

use super::policy::{Member, Policy, Roster, Stage, Wake};

/// One UPS, a charge level of 20 %, and the times as shipped.
pub(crate) fn policy() -> Policy {
    Policy {
        ups_count: 1,
        minimum_supplies: 1,
        hold_ms: 2000,
        charge_percent: Some(20.0),
        time_ms: None,
        assumed_runtime_ms: 300_000,
        margin_ms: 60_000,
        mains_hold_ms: 3000,
        mains_stable_ms: 30_000,
        restore_charge_percent: Some(30.0),
        restore_wait_ms: 1_800_000,
        steps: Policy::steps(&Policy::STEP_TIMEOUTS_MS).unwrap(),
        off_grace_ms: 60_000,
        expected_ms: 20_000,
        return_wait_ms: 180_000,
        witness_hold_ms: 10_000,
        cut: true,
    }
}

/// Stages `workers` (pi-1, pi-2) and `storage` (nas), the master `rack` last.
pub(crate) fn roster(wake: Wake) -> Roster {
    let stage =
        |name: &str| Stage { name: name.to_owned(), cap_ms: None, shed: None, needs: Vec::new(), clients_ms: None };
    let member = |stage, master| Member { stage, wake, master, mounts_ready: true };
    let node = |name: &str| name.parse::<NodeName>().unwrap();
    Roster {
        stages: ["workers", "storage", "master"].map(stage).into(),
        members: BTreeMap::from([
            (node("pi-1"), member(0, false)),
            (node("pi-2"), member(0, false)),
            (node("nas"), member(1, false)),
            (node("rack"), member(2, true)),
        ]),
        host_safe: true,
    }
}
