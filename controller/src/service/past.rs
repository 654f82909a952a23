//! The past of a node, from the store to the wire.

use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use tonic::Status;

use super::store_failed;
use super::summary::{judge, summary};
use crate::core::Core;
use crate::history::{Keep, MOST_POINTS, Plan, Stretch, Window, view};

/// How far back may be asked, seconds: a hundred years.
const MOST_AGO_S: u64 = 36_525 * 24 * 3600;

/// Answers `GetHistory`.
pub(super) async fn history(
    core: &Core,
    name: NodeName,
    request: &v1::GetHistoryRequest,
) -> Result<v1::NodeHistory, Status> {
    let (now_ms, wall_ms) = (core.clock.monotonic_ms(), core.clock.wall_ms());
    let gone = || Status::not_found(format!("there is no node {name}"));
    let view_now = core.registry.view(&name, now_ms, wall_ms).ok_or_else(gone)?;
    let Some(history) = &core.history else {
        return Err(Status::failed_precondition("no history is kept: history.enabled is false in controller.toml"));
    };
    let (since_ago, until_ago) = (request.since_seconds_ago, request.until_seconds_ago);
    if since_ago <= until_ago || since_ago > MOST_AGO_S {
        return Err(Status::invalid_argument(format!(
            "since_seconds_ago: {since_ago} is not between {until_ago} and {MOST_AGO_S}"
        )));
    }
    let now_s = wall_ms.div_euclid(1000);
    let window =
        Window { since_s: now_s.saturating_sub_unsigned(since_ago), until_s: now_s.saturating_sub_unsigned(until_ago) };
    let most_points = if request.max_points == 0 { MOST_POINTS } else { request.max_points };
    let plan = Plan::new(window, now_s, &Keep::new(&core.config.load().history), most_points);
    let past = history.past(name.to_string(), plan.whole(window), plan).await.map_err(store_failed)?;
    let told = view(&past.rows, plan);
    let expected_minutes = plan.expected_minutes(window, past.first_s, now_s);
    Ok(v1::NodeHistory {
        summary: Some(summary(&judge(view_now, &core.directory.node_certificate_ends(), wall_ms))),
        since_unix_ms: window.since_s.saturating_mul(1000),
        until_unix_ms: window.until_s.saturating_mul(1000),
        step_seconds: u32::try_from(plan.step_s).unwrap_or(u32::MAX),
        points: told.points.iter().map(|stretch| point(stretch, plan)).collect(),
        first_unix_ms: past.first_s.map(|first_s| first_s.saturating_mul(1000)),
        expected_minutes,
        heard_minutes: told.heard_minutes.min(expected_minutes),
    })
}

fn point(stretch: &Stretch, plan: Plan) -> v1::HistoryPoint {
    v1::HistoryPoint {
        wall_unix_ms: stretch.slot.saturating_mul(plan.step_s).saturating_mul(1000),
        heard_minutes: stretch.minutes,
        cpu_percent: stretch.told(0),
        memory_used_percent: stretch.told(1),
        temperature_celsius: stretch.told(2),
        load_one: stretch.told(3),
        disk_used_percent: stretch.told(4),
    }
}
