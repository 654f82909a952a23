//! Quantities as people write and read them.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// A duration in two units at most, the finer one only while it matters: `45s`, `12m`, `3d4h`.
pub(crate) fn short_duration(seconds: u64) -> String {
    let (big, big_unit, small_unit, exact) = match seconds {
        0..120 => return format!("{seconds}s"),
        120..600 => (MINUTE, "m", ("s", 1), true),
        600..10_800 => (MINUTE, "m", ("s", 1), false),
        10_800..28_800 => (HOUR, "h", ("m", MINUTE), true),
        28_800..172_800 => (HOUR, "h", ("m", MINUTE), false),
        172_800..691_200 => (DAY, "d", ("h", HOUR), true),
        691_200..63_072_000 => (DAY, "d", ("h", HOUR), false),
        _ => (YEAR, "y", ("d", DAY), true),
    };
    let rest = seconds % big / small_unit.1;
    match exact && rest > 0 {
        true => format!("{}{big_unit}{rest}{}", seconds / big, small_unit.0),
        false => format!("{}{big_unit}", seconds / big),
    }
}

/// The same for milliseconds.
pub(crate) fn short_ms(ms: u64) -> String {
    short_duration(ms / 1000)
}

/// A duration for a sentence, the finer unit only while it matters: `45 s`, `2 min 10 s`, `41 min`, `3 h 5 min`.
pub(crate) fn spoken(seconds: u64) -> String {
    let (big, big_unit, small, small_unit) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..600 => (MINUTE, "min", 1, "s"),
        600..HOUR => return format!("{} min", seconds / MINUTE),
        HOUR..172_800 => (HOUR, "h", MINUTE, "min"),
        _ => (DAY, "d", HOUR, "h"),
    };
    match seconds % big / small {
        0 => format!("{} {big_unit}", seconds / big),
        rest => format!("{} {big_unit} {rest} {small_unit}", seconds / big),
    }
}

/// The same for milliseconds, with tenths while they matter: `0.4 s`, `12 s`.
pub(crate) fn spoken_ms(ms: u64) -> String {
    match ms {
        // 9.95 s would be shown as 10.0 s.
        0..9_950 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => spoken(ms.saturating_add(500) / 1000),
    }
}

/// A difference of clocks with its sign: `+12ms`, `-3.4s`, `+40d`.
pub(crate) fn signed_ms(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    match ms.unsigned_abs() {
        small @ 0..1000 => format!("{sign}{small}ms"),
        some @ 1000..60_000 => format!("{sign}{:.1}s", some as f64 / 1000.0),
        large => format!("{sign}{}", short_ms(large)),
    }
}

/// Bytes in powers of 1024: `512B`, `3.7GiB`, `238GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count}B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 would be shown as 1024.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value < 9.95 {
        true => format!("{value:.1}{}", UNITS[unit]),
        false => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// A share: `7%`.
pub(crate) fn percent(value: f32) -> String {
    format!("{value:.0}%")
}

/// A temperature: `52°C`.
pub(crate) fn celsius(value: f32) -> String {
    format!("{value:.0}°C")
}

/// How many of what, with the plural's `s`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Reads `500ms`, `10s`, `1h30m`, `2d`: numbers with their units, largest first or not.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration such as 500ms, 10s, 1h30m or 2d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 1000 * MINUTE,
            "h" => 1000 * HOUR,
            "d" => 1000 * DAY,
            _ => return Err(refuse()),
        };
        rest = &rest[letters..];
        let part = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refuse)?;
        total = total.checked_add(part).ok_or_else(refuse)?;
    }
    match total.is_zero() {
        true => Err(format!("{text:?} is no time at all")),
        false => Ok(total),
    }
}

/// Whole seconds of a duration for the wire, at least one.
///
/// # Errors
/// When it is too long for the wire.
pub(crate) fn whole_seconds(text: &str) -> Result<u32, String> {
    let duration = parse_duration(text)?;
    u32::try_from(duration.as_secs().max(1)).map_err(|_| format!("{text:?} is too long"))
}

/// Milliseconds of a duration for the wire.
pub(crate) fn whole_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, parse_duration, short_duration, signed_ms, spoken, spoken_ms};

    #[test]
    fn durations_stay_short() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (12_060, "3h21m"),
            (86_400, "24h"),
            (273_600, "3d4h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
        ] {
            assert_eq!(short_duration(seconds), shown);
        }
        assert!((0..64).all(|power| short_duration(1 << power).len() <= 18));
        assert_eq!(
            [-5, 12, -3400, 90_000, i64::MIN].map(signed_ms),
            ["-5ms", "+12ms", "-3.4s", "+90s", "-292471208y247d"]
        );
    }

    #[test]
    fn durations_are_spoken() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (130, "2 min 10 s"),
            (599, "9 min 59 s"),
            (2_479, "41 min"),
            (3_600, "1 h"),
            (11_100, "3 h 5 min"),
            (273_700, "3 d 4 h"),
        ] {
            assert_eq!(spoken(seconds), shown);
        }
        assert_eq!([0, 1_249, 9_949, 9_950, 59_600].map(spoken_ms), ["0.0 s", "1.2 s", "9.9 s", "10 s", "1 min"]);
        assert!(spoken(u64::MAX).len() < 30 && spoken_ms(u64::MAX / 2).len() < 30);
    }

    #[test]
    fn bytes_stay_short() {
        for (count, shown) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1_048_064, "1.0MiB"),
            (3_972_844_748, "3.7GiB"),
            (255_550_554_112, "238GiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, ms) in
            [("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("5min", 300_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)));
        }
        for bad in
            ["", "10", "s", "1 h", "-1s", "1.5h", "0s", "1y", "99999999999999999999s", "99999999999999999d", "1ü"]
        {
            assert!(parse_duration(bad).is_err(), "{bad:?} was taken");
        }
    }
}
