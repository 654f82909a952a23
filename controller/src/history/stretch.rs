use rackhaven_proto::v1;

/// How many figures are kept.
pub const FIGURES: usize = 5;

/// Each figure is kept as a whole number: so many of its units make one percent, one degree, one of load.
const SCALES: [f64; FIGURES] = [10.0, 10.0, 10.0, 100.0, 10.0];

/// What is beyond this, in units, is kept as this: no sensible figure is, and sums of it stay far from overflow.
const MOST_UNITS: f64 = 1e8;

/// One figure over some time, in its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// On average.
    pub mean: i64,
    /// At least.
    pub low: i64,
    /// At most.
    pub high: i64,
}

/// All figures of one node over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Which one, counted in its own length since 1970-01-01 UTC.
    pub slot: i64,
    /// In how many minutes of it there was a sample.
    pub minutes: u32,
    /// CPU, memory, temperature, load, disk; each absent where none was measured.
    pub figures: [Option<Spread>; FIGURES],
}

impl Spread {
    /// From what was measured. `figure` counts as in [`Stretch::figures`].
    pub fn measured(figure: usize, mean: f64, low: f32, high: f32) -> Self {
        let scale = SCALES.get(figure).copied().unwrap_or(1.0);
        let units = |value: f64| (value * scale).round().clamp(-MOST_UNITS, MOST_UNITS) as i64;
        let (low, high) = (units(low.into()), units(high.into()));
        Self { mean: units(mean).clamp(low, high.max(low)), low, high: high.max(low) }
    }

    fn wire(self, figure: usize) -> v1::Spread {
        let scale = SCALES.get(figure).copied().unwrap_or(1.0);
        let value = |units: i64| (units as f64 / scale) as f32;
        v1::Spread { mean: value(self.mean), low: value(self.low), high: value(self.high) }
    }
}

impl Stretch {
    /// The stretch `slot` that parts make together, each weighed by its minutes; none of no parts.
    pub fn of(slot: i64, parts: &[Self]) -> Option<Self> {
        if parts.is_empty() {
            return None;
        }
        let mut figures = [None; FIGURES];
        for (number, whole) in figures.iter_mut().enumerate() {
            let known =
                || parts.iter().filter_map(|part| part.figures[number].map(|spread| (i64::from(part.minutes), spread)));
            let weight: i64 = known().map(|(minutes, _)| minutes).sum();
            let sum: i64 = known().map(|(minutes, spread)| minutes.saturating_mul(spread.mean)).sum();
            let low = known().map(|(_, spread)| spread.low).min();
            let high = known().map(|(_, spread)| spread.high).max();
            *whole = low.zip(high).map(|(low, high)| {
                let mean = if weight > 0 { (sum as f64 / weight as f64).round() as i64 } else { low };
                Spread { mean: mean.clamp(low, high), low, high }
            });
        }
        let minutes = parts.iter().fold(0_u32, |sum, part| sum.saturating_add(part.minutes));
        Some(Self { slot, minutes, figures })
    }

    /// Takes in what came of the same minute another time: before a restart, or before the clock was set back.
    #[must_use]
    pub fn again(self, other: Self) -> Self {
        Self::of(self.slot, &[self, other]).map_or(self, |both| Self { minutes: self.minutes, ..both })
    }

    /// One figure as it is told.
    pub fn told(&self, figure: usize) -> Option<v1::Spread> {
        self.figures.get(figure).copied().flatten().map(|spread| spread.wire(figure))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FIGURES, Spread, Stretch};

    /// Whether there was a sample, and each figure with what is below and above it.
    type Measured = (bool, [(i64, i64, i64); FIGURES]);

    /// Minutes of which each node measures some figures always, the others never.
    fn minutes() -> impl Strategy<Value = Vec<Stretch>> {
        let figure = (-1000_i64..10_000, 0_i64..500, 0_i64..500);
        let measured = prop::array::uniform5(any::<bool>());
        let minute = (any::<bool>(), prop::array::uniform5(figure));
        (measured, prop::collection::vec(minute, 120)).prop_map(|(measured, minutes)| {
            let stretch = |(slot, (there, figures)): (i64, Measured)| {
                let figures = std::array::from_fn(|number| {
                    let (mean, below, above) = figures[number];
                    measured[number].then_some(Spread { mean, low: mean - below, high: mean + above })
                });
                there.then_some(Stretch { slot, minutes: 1, figures })
            };
            (0..).zip(minutes).filter_map(stretch).collect()
        })
    }

    proptest! {
        #[test]
        fn a_rollup_of_rollups_is_the_rollup_of_the_minutes(minutes in minutes()) {
            let tens: Vec<_> = (0..12)
                .filter_map(|ten| {
                    let of: Vec<_> = minutes.iter().copied().filter(|minute| minute.slot / 10 == ten).collect();
                    Stretch::of(ten, &of)
                })
                .collect();
            let (by_tens, by_minutes) = (Stretch::of(7, &tens), Stretch::of(7, &minutes));
            prop_assert_eq!(by_tens.is_some(), by_minutes.is_some());
            if let (Some(by_tens), Some(by_minutes)) = (by_tens, by_minutes) {
                prop_assert_eq!(by_tens.minutes, by_minutes.minutes);
                prop_assert_eq!(by_tens.minutes as usize, minutes.len());
                for (one, other) in by_tens.figures.iter().zip(by_minutes.figures) {
                    prop_assert_eq!(one.is_some(), other.is_some());
                    let (Some(one), Some(other)) = (one, other) else { continue };
                    // What is rounded twice may be off by one unit.
                    prop_assert!((one.mean - other.mean).abs() <= 1, "{one:?} {other:?}");
                    prop_assert_eq!((one.low, one.high), (other.low, other.high));
                }
            }
        }

        #[test]
        fn extremes_survive_and_hold_the_mean(minutes in minutes()) {
            let Some(whole) = Stretch::of(0, &minutes) else { return Ok(()) };
            for (number, figure) in whole.figures.iter().enumerate() {
                let parts: Vec<_> = minutes.iter().filter_map(|minute| minute.figures[number]).collect();
                prop_assert_eq!(figure.map(|it| it.low), parts.iter().map(|it| it.low).min());
                prop_assert_eq!(figure.map(|it| it.high), parts.iter().map(|it| it.high).max());
                prop_assert!(figure.is_none_or(|it| it.low <= it.mean && it.mean <= it.high));
            }
        }

        #[test]
        fn what_comes_twice_counts_once(minutes in minutes()) {
            for minute in minutes {
                prop_assert_eq!(minute.again(minute), minute);
            }
        }

        #[test]
        fn whatever_is_measured_is_kept_in_order(
            mean in any::<f64>(), low in any::<f32>(), high in any::<f32>(), number in 0..FIGURES + 2
        ) {
            let spread = Spread::measured(number, mean, low, high);
            prop_assert!(spread.low <= spread.mean && spread.mean <= spread.high);
        }
    }

    #[test]
    fn a_rollup_by_hand() {
        let minute = |slot, mean, low, high| {
            let mut figures = [None; FIGURES];
            figures[0] = Some(Spread { mean, low, high });
            Stretch { slot, minutes: 1, figures }
        };
        let ten = Stretch::of(4, &[minute(40, 100, 50, 150), minute(43, 200, 180, 999), minute(49, 201, 1, 205)]);
        let ten = ten.unwrap();
        assert_eq!((ten.slot, ten.minutes), (4, 3));
        assert_eq!(ten.figures[0], Some(Spread { mean: 167, low: 1, high: 999 }));
        assert_eq!(ten.figures[1], None);
        // Weighed by minutes: three of the one against one of the other.
        let more = Stretch::of(0, &[ten, minute(50, 0, 0, 0)]).unwrap();
        assert_eq!(more.figures[0].map(|it| it.mean), Some(125));
        assert_eq!(Stretch::of(0, &[]), None);
        let told = Stretch { figures: [Some(Spread::measured(0, 12.34, 1.0, 99.96)); FIGURES], ..more }.told(0);
        assert_eq!(told.map(|it| (it.mean, it.low, it.high)), Some((12.3, 1.0, 100.0)));
    }
}
