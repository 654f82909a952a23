//! The times under a drawing: round ones of the place where it is looked at.

use jiff::civil::Date;
use jiff::{ToSpan, Unit, Zoned};

use crate::times::Zone;

/// What stands between two labels at least.
const GAP: usize = 2;

/// Between two labels, from the closest on.
const PERIODS: [Period; 18] = [
    Period::Minutes(1),
    Period::Minutes(2),
    Period::Minutes(5),
    Period::Minutes(10),
    Period::Minutes(15),
    Period::Minutes(30),
    Period::Minutes(60),
    Period::Minutes(120),
    Period::Minutes(180),
    Period::Minutes(360),
    Period::Minutes(720),
    Period::Days(1),
    Period::Days(2),
    Period::Days(7),
    Period::Months(1),
    Period::Months(2),
    Period::Months(3),
    Period::Months(12),
];

#[derive(Debug, Clone, Copy)]
enum Period {
    /// Counted from midnight.
    Minutes(i64),
    Days(i64),
    /// Counted from January.
    Months(i64),
}

/// What is drawn: so many columns from a moment on, each so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// When the first column begins, milliseconds since 1970-01-01 UTC.
    pub(crate) begin_ms: i64,
    /// How long one is, milliseconds.
    pub(crate) column_ms: i64,
    /// How many there are.
    pub(crate) columns: usize,
}

/// The line under the drawing, with a mark at each label, and the labels under it.
pub(crate) fn axis(span: Span, zone: &Zone) -> (String, String) {
    let fits = |period: &&Period| {
        let (form, seconds) = period.form();
        seconds.saturating_mul(1000) >= span.column_ms.saturating_mul((form.2 + GAP) as i64)
    };
    let period = PERIODS.iter().find(fits).unwrap_or(&PERIODS[PERIODS.len() - 1]);
    let mut line = vec!['─'; span.columns];
    let mut labels = String::new();
    for moment in period.moments(span, zone) {
        let after_ms = moment.timestamp().as_millisecond().saturating_sub(span.begin_ms);
        let Some(column) = usize::try_from(after_ms.div_euclid(span.column_ms.max(1))).ok() else { continue };
        let (usual, midnight, length) = period.form().0;
        let midnight = if moment.hour() == 0 && moment.minute() == 0 { midnight } else { usual };
        let label = moment.strftime(midnight).to_string();
        let place = column.saturating_sub(length / 2).min(span.columns.saturating_sub(length));
        let used = labels.chars().count();
        if column >= span.columns || (used > 0 && place < used + GAP) || length > span.columns {
            continue;
        }
        if let Some(sign) = line.get_mut(column) {
            *sign = '┬';
        }
        labels.extend(std::iter::repeat_n(' ', place - used));
        labels.push_str(&label);
    }
    (line.into_iter().collect(), labels)
}

impl Period {
    /// How a moment is labelled, how at midnight, how wide that is; and how long the period is at least, seconds.
    const fn form(self) -> ((&'static str, &'static str, usize), i64) {
        match self {
            Self::Minutes(minutes) => (("%H:%M", "%m-%d", 5), minutes * 60),
            Self::Days(days) => (("%m-%d", "%m-%d", 5), days * 86_400),
            Self::Months(months) => (("%Y-%m", "%Y-%m", 7), months * 28 * 86_400),
        }
    }

    /// The moments at which it begins, around the span; as many as there can be labels, and some before.
    fn moments(self, span: Span, zone: &Zone) -> Vec<Zoned> {
        let end_ms = span.begin_ms.saturating_add(span.column_ms.saturating_mul(span.columns as i64));
        let Some(begin) = zone.at(span.begin_ms) else { return Vec::new() };
        let first = match self {
            Self::Minutes(_) | Self::Days(_) => Some(begin.date()),
            Self::Months(months) => {
                let month = i64::from(begin.month()).saturating_sub(1) / months * months + 1;
                i8::try_from(month).ok().and_then(|month| Date::new(begin.year(), month, 1).ok())
            }
        };
        let Some(first) = first else { return Vec::new() };
        let midnight = first.at(0, 0, 0, 0);
        let after = |number: i64| match self {
            Self::Minutes(minutes) => midnight.checked_add(number.saturating_mul(minutes).minutes()),
            Self::Days(days) => midnight.checked_add(number.saturating_mul(days).days()),
            Self::Months(months) => midnight.checked_add(number.saturating_mul(months).months()),
        };
        // A day before the beginning, and a label each two columns: more there are not.
        let most = span.columns as i64 / 2 + 1441;
        (0..most)
            .map_while(|number| after(number).ok()?.to_zoned(begin.time_zone().clone()).ok())
            .take_while(|moment| moment.timestamp().as_millisecond() < end_ms)
            .filter(|moment| moment.timestamp().as_millisecond() >= span.begin_ms)
            .filter_map(|moment| moment.round(Unit::Minute).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::{Span, axis};
    use crate::times::Zone;

    const HOUR_MS: i64 = 3_600_000;
    /// 2026-11-21 20:14:57 UTC.
    const NOW_MS: i64 = 1_795_292_097_000;

    /// As many columns, until now.
    fn until_now(hours: i64, columns: usize) -> Span {
        let column_ms = hours * HOUR_MS / columns as i64;
        Span { begin_ms: NOW_MS - hours * HOUR_MS, column_ms, columns }
    }

    #[test]
    fn golden() {
        let zone = Zone::new(Some(TimeZone::fixed(Offset::constant(2))));
        for (hours, line, labels) in [
            (
                1,
                "─────┬─────────┬─────────┬─────────┬─────────┬─────────┬────",
                "   21:20     21:30     21:40     21:50     22:00     22:10",
            ),
            (
                24,
                "────┬──────┬───────┬──────┬───────┬──────┬───────┬──────┬───",
                "  11-21  03:00   06:00  09:00   12:00  15:00   18:00  21:00",
            ),
            (
                24 * 7,
                "┬────────┬───────┬────────┬───────┬────────┬────────┬───────",
                "11-15  11-16   11-17    11-18   11-19    11-20    11-21",
            ),
            (
                24 * 60,
                "──────┬──────┬──────┬──────┬──────┬──────┬──────┬──────┬────",
                "    09-29  10-06  10-13  10-20  10-27  11-03  11-10  11-17",
            ),
            (
                24 * 365,
                "──────┬─────────┬─────────┬─────────┬─────────┬─────────┬───",
                "   2026-01   2026-03   2026-05   2026-07   2026-09   2026-11",
            ),
        ] {
            assert_eq!(axis(until_now(hours, 60), &zone), (line.to_owned(), labels.to_owned()), "{hours} hours");
        }
    }

    #[test]
    fn a_day_of_25_hours_has_all_its_labels_once() {
        // In Europe/Berlin clocks go back on 2026-10-25.
        let zone = Zone::new(Some(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()));
        let begin_ms = 1_792_879_200_000;
        let (_, labels) = axis(Span { begin_ms, column_ms: HOUR_MS / 4, columns: 100 }, &zone);
        // The night has an hour more between midnight and four.
        assert_eq!(
            labels,
            "10-25             04:00   06:00   08:00   10:00   12:00   14:00   16:00   18:00   20:00   22:00"
        );
    }

    #[test]
    fn nothing_is_wider_than_the_drawing() {
        let zone = Zone::new(Some(TimeZone::fixed(Offset::constant(-5))));
        for columns in 0..200 {
            for column_ms in [1, 60_000, HOUR_MS, 50 * HOUR_MS, i64::MAX] {
                for begin_ms in [NOW_MS, 0, i64::MIN, i64::MAX] {
                    let (line, labels) = axis(Span { begin_ms, column_ms, columns }, &zone);
                    assert_eq!(line.chars().count(), columns);
                    assert!(labels.chars().count() <= columns);
                }
            }
        }
    }
}
