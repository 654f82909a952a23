use std::str::FromStr;

use rackhaven_proto::model::Severity;

const DAY_MINUTES: u16 = 24 * 60;

/// Hours of the local day in which a channel keeps still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quiet {
    /// The first quiet minute of the day.
    from: u16,
    /// The first minute that is not quiet any more.
    until: u16,
    /// Whether critical alerts are kept back too.
    pub(super) critical: bool,
}

impl Quiet {
    /// For how many more minutes an alert is kept back; none if it goes out at once.
    pub(super) fn minutes_left(self, severity: Severity, minute_of_day: u16) -> Option<u16> {
        if severity == Severity::Critical && !self.critical {
            return None;
        }
        let length = (DAY_MINUTES + self.until - self.from) % DAY_MINUTES;
        let into = (DAY_MINUTES + minute_of_day % DAY_MINUTES - self.from) % DAY_MINUTES;
        (into < length).then(|| length - into)
    }
}

impl FromStr for Quiet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HH:MM-HH:MM, such as 22:00-07:00");
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let number = |text: &str, most: u16| {
                let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u16>().ok().filter(|number| digits && *number <= most)
            };
            Some(number(hours, 23)? * 60 + number(minutes, 59)?)
        };
        let (from, until) = text.split_once('-').ok_or_else(wrong)?;
        let (from, until) = (minute(from).ok_or_else(wrong)?, minute(until).ok_or_else(wrong)?);
        if from == until {
            return Err(format!("{text:?} begins and ends at the same minute"));
        }
        Ok(Self { from, until, critical: false })
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::Severity;

    use super::Quiet;

    #[test]
    fn hours() {
        let night: Quiet = "22:00-07:30".parse().unwrap();
        let noon: Quiet = "12:00-13:00".parse().unwrap();
        for (quiet, minute, left) in [
            (night, 21 * 60 + 59, None),
            (night, 22 * 60, Some(570)),
            (night, 23 * 60 + 59, Some(451)),
            (night, 0, Some(450)),
            (night, 7 * 60 + 29, Some(1)),
            (night, 7 * 60 + 30, None),
            (noon, 11 * 60 + 59, None),
            (noon, 12 * 60, Some(60)),
            (noon, 13 * 60, None),
        ] {
            assert_eq!(quiet.minutes_left(Severity::Warning, minute), left, "{quiet:?} at {minute}");
            assert_eq!(quiet.minutes_left(Severity::Critical, minute), None);
            assert_eq!(Quiet { critical: true, ..quiet }.minutes_left(Severity::Critical, minute), left);
        }
    }

    #[test]
    fn mistakes() {
        for wrong in ["", "22-7", "22:00", "24:00-07:00", "22:60-07:00", "+1:00-07:00", "22:00-22:00", "22:00-07:00 "] {
            wrong.parse::<Quiet>().unwrap_err();
        }
    }
}
