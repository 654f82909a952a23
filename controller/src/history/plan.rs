use super::{Keep, Level, Stretch};

/// Most points of one answer.
pub const MOST_POINTS: u32 = 1500;

/// Rows that a point is made of at least, where there are finer ones: a point is whole rows long, so fewer would leave
/// much of the picture's width unused.
const ROWS_A_POINT: i64 = 4;

/// So long after its end a minute is stored at the latest, seconds.
const STORED_AFTER_S: i64 = 60;

/// A time that is asked for, seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub since_s: i64,
    /// Its end; the beginning or later.
    pub until_s: i64,
}

/// How a window is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The rows that it is made of, finer ones where these are not made yet.
    pub level: Level,
    /// How long each point is, seconds: so many whole rows.
    pub step_s: i64,
}

/// What is told of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The points with data, oldest first; their slots count steps.
    pub points: Vec<Stretch>,
    /// In how many minutes there was a sample.
    pub heard_minutes: u32,
}

impl Plan {
    /// Decides: the coarsest rows of which there are enough for `most_points` (fewer rows, the same picture), among
    /// those that reach back to the beginning. If none do, the ones that reach farthest.
    pub fn new(window: Window, now_s: i64, keep: &Keep, most_points: u32) -> Self {
        let most = i64::from(most_points.clamp(2, MOST_POINTS));
        let span_s = window.until_s.saturating_sub(window.since_s).max(0);
        let ago_s = now_s.saturating_sub(window.since_s);
        let reaching = || Level::ALL.into_iter().filter(|level| keep.reach_s(*level) >= ago_s);
        let fine = |level: &Level| level.seconds().saturating_mul(most * ROWS_A_POINT) <= span_s;
        let level = reaching()
            .rfind(fine)
            .or_else(|| reaching().next())
            .or_else(|| Level::ALL.into_iter().max_by_key(|level| keep.reach_s(*level)))
            .unwrap_or(Level::TwoHours);
        let row_s = level.seconds();
        let rows = span_s / row_s;
        // So many rows a point are enough in any case: a window touches one point more than fit into it.
        let enough = (rows / (most - 1)).saturating_add(1);
        let few = (rows / most).max(1);
        let a_point = [few, few.saturating_add(1)].into_iter().find(|rows| points(window, rows * row_s) <= most);
        Self { level, step_s: a_point.unwrap_or(enough).saturating_mul(row_s) }
    }
}

impl Plan {
    /// The window in whole points, its last second included.
    #[must_use]
    pub fn whole(&self, window: Window) -> Window {
        let begin = |unix_s: i64| unix_s.div_euclid(self.step_s).saturating_mul(self.step_s);
        let until_s = begin(window.until_s).saturating_add(self.step_s).saturating_sub(1);
        Window { since_s: begin(window.since_s), until_s }
    }

    /// Of how many minutes there could be rows in the whole points of a window: from `first_s` on, when there were the
    /// first of the node at all, and until a minute before now, when they are stored.
    pub fn expected_minutes(&self, window: Window, first_s: Option<i64>, now_s: i64) -> u32 {
        let Some(first_s) = first_s else { return 0 };
        let whole = self.whole(window);
        let over_s = whole.until_s.saturating_add(1).min(now_s.saturating_sub(STORED_AFTER_S));
        let minutes = over_s.saturating_sub(whole.since_s.max(first_s)).div_euclid(60);
        u32::try_from(minutes.max(0)).unwrap_or(u32::MAX)
    }
}

/// How many steps a window touches.
fn points(window: Window, step_s: i64) -> i64 {
    window.until_s.div_euclid(step_s).saturating_sub(window.since_s.div_euclid(step_s)).saturating_add(1)
}

/// Puts rows, which are oldest first, together as planned.
pub fn view(rows: &[(Level, Stretch)], plan: Plan) -> View {
    let step = |(level, row): &(Level, Stretch)| row.slot.saturating_mul(level.seconds()).div_euclid(plan.step_s);
    let together = |group: &[(Level, Stretch)]| {
        let parts: Vec<_> = group.iter().map(|(_, row)| *row).collect();
        Stretch::of(group.first().map_or(0, step), &parts)
    };
    let points: Vec<_> = rows.chunk_by(|one, other| step(one) == step(other)).filter_map(together).collect();
    let heard_minutes = points.iter().fold(0_u32, |sum, point| sum.saturating_add(point.minutes));
    View { points, heard_minutes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Keep, Level, MOST_POINTS, Plan, Stretch, Window, points, view};
    use crate::config::HistoryConfig;

    /// 2026-11-21 20:14:57 UTC.
    const NOW_S: i64 = 1_795_292_097;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn keep(hours: u32, ten_minutes_days: u32, two_hours_days: u32) -> Keep {
        Keep::new(&HistoryConfig {
            enabled: true,
            recent_points: 60,
            minutes_keep_hours: hours,
            ten_minutes_keep_days: ten_minutes_days,
            two_hours_keep_days: two_hours_days,
        })
    }

    #[test]
    fn the_choice() {
        use Level::{Minute, TenMinutes, TwoHours};
        let shipped = keep(48, 90, 1100);
        // Since and until ago, how many points; which rows, how many seconds a point.
        let table = [
            // As a program asks.
            (90 * 60, 0, 1500, Minute, 60),
            (24 * HOUR, 0, 1500, Minute, 60),
            (48 * HOUR, 0, 1500, Minute, 120),
            (49 * HOUR, 0, 1500, TenMinutes, 600),
            (7 * DAY, 0, 1500, TenMinutes, 600),
            (30 * DAY, 0, 1500, TenMinutes, 1800),
            (90 * DAY, 0, 1500, TenMinutes, 5400),
            (91 * DAY, 0, 1500, TwoHours, 7200),
            (365 * DAY, 0, 1500, TwoHours, 6 * HOUR),
            // As a terminal of 80 columns asks.
            (0, 0, 73, Minute, 60),
            (30 * 60, 0, 73, Minute, 60),
            (90 * 60, 0, 73, Minute, 120),
            (24 * HOUR, 0, 73, Minute, 1200),
            (7 * DAY, 0, 73, TenMinutes, 8400),
            (365 * DAY, 0, 73, TwoHours, 122 * HOUR),
            // An hour of some days ago.
            (5 * DAY, 5 * DAY - HOUR, 73, TenMinutes, 600),
            (200 * DAY, 200 * DAY - HOUR, 73, TwoHours, 7200),
            // Farther back than anything.
            (4000 * DAY, 0, 1500, TwoHours, 66 * HOUR),
            // More than may be asked for, and none.
            (24 * HOUR, 0, 9999, Minute, 60),
            (24 * HOUR, 0, 0, TwoHours, 14 * HOUR),
        ];
        for (since, until, most_points, level, step_s) in table {
            let window = Window { since_s: NOW_S - since, until_s: NOW_S - until };
            let plan = Plan::new(window, NOW_S, &shipped, most_points);
            assert_eq!(plan, Plan { level, step_s }, "since {since}, until {until}, {most_points} points");
        }
        // One who keeps minutes for a year and little else.
        let minutes = keep(8784, 1, 1);
        let window = Window { since_s: NOW_S - 300 * DAY, until_s: NOW_S };
        assert_eq!(Plan::new(window, NOW_S, &minutes, 1500).level, Minute);
        let window = Window { since_s: NOW_S - 500 * DAY, until_s: NOW_S };
        assert_eq!(Plan::new(window, NOW_S, &minutes, 1500).level, Minute);
    }

    #[test]
    fn the_minutes_that_there_could_be() {
        let last_hour = Window { since_s: NOW_S - HOUR, until_s: NOW_S };
        let minutes = Plan { level: Level::Minute, step_s: 60 };
        assert_eq!(minutes.expected_minutes(last_hour, None, NOW_S), 0);
        assert_eq!(minutes.expected_minutes(last_hour, Some(0), NOW_S), 59);
        assert_eq!(minutes.expected_minutes(last_hour, Some(NOW_S - 600), NOW_S), 9);
        assert_eq!(minutes.expected_minutes(last_hour, Some(NOW_S - 5), NOW_S), 0);
        assert_eq!(minutes.expected_minutes(last_hour, Some(NOW_S + 5), NOW_S), 0);
        // An hour of the past is told in the whole points that it touches.
        let past = Window { since_s: NOW_S - 9 * DAY, until_s: NOW_S - 9 * DAY + HOUR };
        assert_eq!(minutes.expected_minutes(past, Some(0), NOW_S), 61);
        assert_eq!(Plan { level: Level::TenMinutes, step_s: 1200 }.expected_minutes(past, Some(0), NOW_S), 80);
    }

    proptest! {
        #[test]
        fn points_are_bounded_and_lose_nothing(
            since in 0..5000 * DAY, span in 0..5000 * DAY, most_points in 0..3000_u32,
            keeps in (1..9000_u32, 1..4000_u32, 1..9000_u32), there in prop::collection::vec(any::<bool>(), 300)
        ) {
            let window = Window { since_s: NOW_S - since, until_s: NOW_S - since + span };
            let plan = Plan::new(window, NOW_S, &keep(keeps.0, keeps.1, keeps.2), most_points);
            let most = i64::from(most_points.clamp(2, MOST_POINTS));
            prop_assert!(points(window, plan.step_s) <= most);
            prop_assert_eq!(plan.step_s % plan.level.seconds(), 0);
            let first = plan.level.slot(window.since_s);
            let rows: Vec<_> = (first..)
                .zip(there)
                .filter(|(slot, there)| *there && *slot <= plan.level.slot(window.until_s))
                .map(|(slot, _)| (plan.level, Stretch { slot, minutes: 3, figures: [None; 5] }))
                .collect();
            let view = view(&rows, plan);
            prop_assert!(view.points.len() as i64 <= most);
            prop_assert!(view.points.is_sorted_by(|a, b| a.slot < b.slot));
            prop_assert_eq!(view.heard_minutes as usize, rows.len() * 3);
        }
    }
}
