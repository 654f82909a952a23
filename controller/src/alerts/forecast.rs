//! When a disk will be full, by how it fills: a straight line through what was seen, in which what is older counts less.
//! Pure, and of constant size however long it goes on.

/// What was seen so long ago counts a third as much as what is seen now, milliseconds: an hour.
const MEMORY_MS: f64 = HOUR_MS;
/// So long it must have been looked at, milliseconds: an hour.
const LEAST_MS: f64 = HOUR_MS;
/// So much it must have grown in the time that counts, percent of the disk: what is less is no trend.
const LEAST_GROWTH_PERCENT: f64 = 0.25;
/// So well a line must describe it (coefficient of determination): what goes up and down as logs are rotated does not
/// fill up.
const LEAST_FIT: f64 = 0.7;
const HOUR_MS: f64 = 3_600_000.0;

/// The weighted sums of a linear regression, with the time of the last point as origin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trend {
    first_ms: u64,
    last_ms: u64,
    weight: f64,
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
    yy: f64,
}

/// What a trend tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Forecast {
    /// It was not looked at for long enough.
    TooEarly,
    /// It does not fill up.
    Steady,
    /// It is full after so many hours.
    FullInHours(f64),
}

impl Trend {
    /// Points that follow sooner than this, milliseconds, are passed over.
    const PACE_MS: u64 = 60_000;

    /// So much is used at this moment of a clock that does not jump, milliseconds.
    pub fn add(&mut self, now_ms: u64, used_percent: f64) {
        if self.weight > 0.0 && now_ms.saturating_sub(self.last_ms) < Self::PACE_MS {
            return;
        }
        if self.weight == 0.0 {
            self.first_ms = now_ms;
        } else {
            let step = now_ms.saturating_sub(self.last_ms) as f64;
            // The origin moves to the new point.
            self.xx += step * (step * self.weight - 2.0 * self.x);
            self.xy -= step * self.y;
            self.x -= step * self.weight;
            let fades = (-step / MEMORY_MS).exp();
            for sum in [&mut self.weight, &mut self.x, &mut self.xx, &mut self.y, &mut self.xy, &mut self.yy] {
                *sum *= fades;
            }
        }
        self.last_ms = now_ms;
        self.weight += 1.0;
        self.y += used_percent;
        self.yy += used_percent * used_percent;
    }

    /// What follows from it.
    pub fn forecast(&self) -> Forecast {
        let seen_ms = self.last_ms.saturating_sub(self.first_ms) as f64;
        if seen_ms < LEAST_MS {
            return Forecast::TooEarly;
        }
        let of_x = self.weight * self.xx - self.x * self.x;
        let of_y = self.weight * self.yy - self.y * self.y;
        let of_both = self.weight * self.xy - self.x * self.y;
        let slope = of_both / of_x;
        let grown = slope * seen_ms.min(MEMORY_MS);
        let fit = of_both * of_both / (of_x * of_y);
        // A disk that does not change at all has no fit.
        if !(grown >= LEAST_GROWTH_PERCENT && fit >= LEAST_FIT) {
            return Forecast::Steady;
        }
        let now_percent = (self.y - slope * self.x) / self.weight;
        Forecast::FullInHours(((100.0 - now_percent) / slope / HOUR_MS).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Forecast, Trend};

    const MINUTE_MS: u64 = 60_000;

    /// After so many minutes, each with what `used` says of it.
    fn after(minutes: u64, used: impl Fn(u64) -> f64) -> Forecast {
        let mut trend = Trend::default();
        (0..=minutes).for_each(|minute| trend.add(7_000 + minute * MINUTE_MS, used(minute)));
        trend.forecast()
    }

    #[test]
    fn golden() {
        let hours = |forecast| match forecast {
            Forecast::FullInHours(hours) => format!("{hours:.1}"),
            other => format!("{other:?}"),
        };
        let grows = |percent_an_hour: f64| move |minute: u64| 40.0 + percent_an_hour * minute as f64 / 60.0;
        for (what, forecast, expected) in [
            ("too early", after(59, grows(5.0)), "TooEarly"),
            ("an hour", after(60, grows(5.0)), "11.0"),
            ("a day", after(1440, grows(2.0)), "6.0"),
            ("slowly", after(1440, grows(0.1)), "Steady"),
            ("nothing changes", after(600, |_| 40.0), "Steady"),
            ("it is emptied", after(600, grows(-3.0)), "Steady"),
            ("logs are rotated", after(600, |minute| 40.0 + (minute % 60) as f64 / 10.0), "Steady"),
            ("once much, then nothing", after(1440, |minute| if minute < 30 { 40.0 } else { 60.0 }), "Steady"),
            ("it has begun to fill", after(720, |minute| 40.0 + minute.saturating_sub(540) as f64 / 12.0), "11.4"),
            ("full", after(120, |minute| (90.0 + minute as f64 / 10.0).min(100.0)), "0.0"),
        ] {
            assert_eq!(hours(forecast), expected, "{what}");
        }
    }

    proptest! {
        /// However the points lie, the line is that of a regression that remembers all of them.
        #[test]
        fn it_is_the_weighted_regression(points in prop::collection::vec((60_000_u64..7_200_000, 0.0..100.0_f64), 3..200)) {
            let mut trend = Trend::default();
            let mut now_ms = 0;
            let mut all = Vec::new();
            for (step_ms, used) in points {
                now_ms += step_ms;
                trend.add(now_ms, used);
                all.push((now_ms, used));
            }
            let weigh = |at_ms: u64| (-((now_ms - at_ms) as f64) / super::MEMORY_MS).exp();
            let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
                all.iter().map(|(at, used)| weigh(*at) * of(*at as f64 - now_ms as f64, *used)).sum()
            };
            for (kept, expected) in [
                (trend.weight, sum(&|_, _| 1.0)),
                (trend.x, sum(&|x, _| x)),
                (trend.xx, sum(&|x, _| x * x)),
                (trend.xy, sum(&|x, y| x * y)),
                (trend.yy, sum(&|_, y| y * y)),
            ] {
                prop_assert!((kept - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{kept} is not {expected}");
            }
            if let Forecast::FullInHours(hours) = trend.forecast() {
                prop_assert!(hours.is_finite() && hours >= 0.0);
            }
        }
    }
}
