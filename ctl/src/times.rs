//! Moments: UTC for programs, local time for people.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A moment for programs: RFC 3339 in UTC; none for what no calendar holds.
pub(crate) fn rfc3339(unix_ms: i64) -> Option<String> {
    Timestamp::from_millisecond(unix_ms).ok().map(|moment| moment.to_string())
}

/// The same for a field in which zero means that there is none.
pub(crate) fn rfc3339_given(unix_ms: i64) -> Option<String> {
    if unix_ms == 0 { None } else { rfc3339(unix_ms) }
}

/// How many seconds lie between two moments that [`rfc3339`] made; none if the second is not the later one.
pub(crate) fn seconds_between(from: &str, to: &str) -> Option<u64> {
    let moment = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    u64::try_from(moment(to)?.checked_sub(moment(from)?)?).ok()
}

/// In which zone people are told the time.
#[derive(Debug, Clone)]
pub(crate) struct Zone(Option<TimeZone>);

impl Zone {
    /// The given one, or the system's, which is looked up at first use.
    pub(crate) fn new(given: Option<TimeZone>) -> Self {
        Self(given)
    }

    /// A moment there; none for what no calendar holds.
    pub(crate) fn at(&self, unix_ms: i64) -> Option<Zoned> {
        let zone = self.0.clone().unwrap_or_else(TimeZone::system);
        Timestamp::from_millisecond(unix_ms).ok().map(|moment| moment.to_zoned(zone))
    }

    /// Date and time to the second: `2026-11-21 20:14:57`.
    pub(crate) fn full(&self, moment: &str) -> String {
        self.format(moment, "%Y-%m-%d %H:%M:%S")
    }

    /// Date and time to the minute: `2026-11-21 20:14`.
    pub(crate) fn minute(&self, moment: &str) -> String {
        self.format(moment, "%Y-%m-%d %H:%M")
    }

    /// Date and time without the year: `11-21 20:14:57`.
    pub(crate) fn brief(&self, moment: &str) -> String {
        self.format(moment, "%m-%d %H:%M:%S")
    }

    /// The time of day: `20:14:57`.
    pub(crate) fn clock(&self, moment: &str) -> String {
        self.format(moment, "%H:%M:%S")
    }

    /// The date alone: `2026-11-21`.
    pub(crate) fn date(&self, moment: &str) -> String {
        self.format(moment, "%Y-%m-%d")
    }

    /// `moment` is what [`rfc3339`] made; anything else is shown as it is.
    fn format(&self, moment: &str, form: &str) -> String {
        let zone = self.0.clone().unwrap_or_else(TimeZone::system);
        match moment.parse::<Timestamp>() {
            Ok(timestamp) => timestamp.to_zoned(zone).strftime(form).to_string(),
            Err(_) => moment.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::{Zone, rfc3339};

    #[test]
    fn utc_for_programs_and_local_for_people() {
        let zone = Zone::new(Some(TimeZone::fixed(Offset::constant(2))));
        let moment = rfc3339(1_795_292_097_250).unwrap();
        assert_eq!(moment, "2026-11-21T20:14:57.25Z");
        assert_eq!(zone.full(&moment), "2026-11-21 22:14:57");
        assert_eq!(zone.brief(&moment), "11-21 22:14:57");
        assert_eq!(zone.clock(&moment), "22:14:57");
        assert_eq!(zone.date(&moment), "2026-11-21");
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
