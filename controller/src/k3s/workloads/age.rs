//! Times as kubectl tells them.

use jiff::Timestamp;

/// Milliseconds since 1970 of a time as the API writes it.
pub(super) fn unix_ms(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// How long ago that was: `<unknown>` where it is not told.
pub(super) fn age(time: &str, now_ms: i64) -> String {
    unix_ms(time).map_or_else(|| "<unknown>".to_owned(), |then| duration((now_ms - then).max(0) / 1000))
}

/// Two figures at most, and only one where the second says little.
fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |whole: i64, unit: &str, rest: i64, small: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{small}"),
    };
    match seconds {
        i64::MIN..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::{age, duration};

    #[test]
    fn ages_golden() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (183_600, "2d3h"),
            (691_200, "8d"),
            (63_072_000 + 86_400, "2y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
        assert_eq!(age("2026-01-01T00:00:00Z", 1_767_225_605_000), "5s");
        // A clock that is behind.
        assert_eq!(age("2026-01-01T00:00:00Z", 0), "0s");
        assert_eq!(age("", 0), "<unknown>");
    }
}
