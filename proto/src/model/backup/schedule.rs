use std::fmt;
use std::str::FromStr;

use crate::model::Invalid;

/// How far ahead a moment is looked for, days: 29 February on a Sunday comes once in 40 years.
const HORIZON_DAYS: u32 = 41 * 366;
const FIRST_YEAR: u16 = 1970;
const LAST_YEAR: u16 = 2199;

/// When something is due, in a systemd calendar event's form (systemd.time(7)) or a cron line's (crontab(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    years: Vec<u16>,
    months: u64,
    days: u64,
    /// Counted from the end of the month: the last day is 1.
    days_from_end: u64,
    /// Monday is bit 0.
    weekdays: u64,
    hours: u64,
    minutes: u64,
    seconds: u64,
    /// As cron has it: where both the day and the weekday are restricted, either will do.
    either_day: bool,
    utc: bool,
}

/// A moment on the calendar, of no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// 1970 to 2199.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Schedule {
    /// Whether it is meant in UTC; in the node's own time zone otherwise.
    pub fn is_utc(&self) -> bool {
        self.utc
    }

    /// The first moment after `after` that fits; none if there is none in the next decades.
    pub fn next_after(&self, after: Civil) -> Option<Civil> {
        let mut day = Civil { hour: 0, minute: 0, second: 0, ..after };
        for _ in 0..HORIZON_DAYS {
            if self.has_day(day) {
                let from = if (day.year, day.month, day.day) == (after.year, after.month, after.day) {
                    seconds_of(after) + 1
                } else {
                    0
                };
                if let Some((hour, minute, second)) = self.time_from(from) {
                    return Some(Civil { hour, minute, second, ..day });
                }
            }
            day = tomorrow(day)?;
        }
        None
    }

    fn has_day(&self, day: Civil) -> bool {
        let from_end = days_in(day.year, day.month) - day.day + 1;
        let in_month = has(self.days, day.day) || has(self.days_from_end, from_end);
        let in_week = has(self.weekdays, weekday(day));
        let fits = if self.either_day { in_month || in_week } else { in_month && in_week };
        fits && has(self.months, day.month) && (self.years.is_empty() || self.years.contains(&day.year))
    }

    /// The first time of a day that is not before this second of it.
    fn time_from(&self, from: u32) -> Option<(u8, u8, u8)> {
        let (hour, minute, second) = ((from / 3600) as u8, (from / 60 % 60) as u8, (from % 60) as u8);
        if from < 86_400 && has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first(self.seconds, second)
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                return Some((hour, minute, first(self.seconds, 0)?));
            }
        }
        let hour = if from == 0 { first(self.hours, 0)? } else { first(self.hours, hour + 1)? };
        Some((hour, first(self.minutes, 0)?, first(self.seconds, 0)?))
    }
}

fn has(set: u64, value: u8) -> bool {
    set >> value & 1 == 1
}

/// The first of a set that is not below `from`.
fn first(set: u64, from: u8) -> Option<u8> {
    let rest = set.checked_shr(from.into()).unwrap_or(0);
    (rest != 0).then(|| from + rest.trailing_zeros() as u8)
}

fn seconds_of(time: Civil) -> u32 {
    u32::from(time.hour) * 3600 + u32::from(time.minute) * 60 + u32::from(time.second)
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Monday is 0 (Sakamoto's method).
fn weekday(day: Civil) -> u8 {
    const SHIFT: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let year = u32::from(day.year) - u32::from(day.month < 3);
    let shift = SHIFT.get(usize::from(day.month).wrapping_sub(1)).copied().unwrap_or(0);
    let sunday_first = (year + year / 4 - year / 100 + year / 400 + shift + u32::from(day.day)) % 7;
    ((sunday_first + 6) % 7) as u8
}

fn tomorrow(day: Civil) -> Option<Civil> {
    Some(if day.day < days_in(day.year, day.month) {
        Civil { day: day.day + 1, ..day }
    } else if day.month < 12 {
        Civil { month: day.month + 1, day: 1, ..day }
    } else if day.year < LAST_YEAR {
        Civil { year: day.year + 1, month: 1, day: 1, ..day }
    } else {
        return None;
    })
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WEEKDAYS_IN_FULL: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Short forms of systemd's; cron's begin with @.
const SHORT: [(&str, &str); 10] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("midnight", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

impl FromStr for Schedule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = |reason: String| Invalid::new("schedule", format!("{text:?}: {reason}"));
        crate::model::plain_text("schedule", text, 256)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let parsed = match words.as_slice() {
            [short] if short.starts_with('@') => match short.get(1..) {
                Some("weekly") => cron(&["0", "0", "*", "*", "0"]),
                Some(name) => calendar(&[name]),
                None => Err("names nothing".to_owned()),
            },
            words @ [_, _, _, _, _] => cron(words),
            [] => Err("is empty".to_owned()),
            words => calendar(words),
        };
        let schedule = parsed.map(|schedule| Self { text: words.join(" "), ..schedule }).map_err(refused)?;
        let start = Civil { year: FIRST_YEAR + 30, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        if schedule.years.is_empty() && schedule.next_after(start).is_none() {
            return Err(refused("there is no such day".to_owned()));
        }
        Ok(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Everything fits.
fn always() -> Schedule {
    Schedule {
        text: String::new(),
        years: Vec::new(),
        months: u64::MAX,
        days: u64::MAX,
        days_from_end: 0,
        weekdays: u64::MAX,
        hours: (1 << 24) - 1,
        minutes: (1 << 60) - 1,
        seconds: 1,
        either_day: false,
        utc: false,
    }
}

fn calendar(words: &[&str]) -> Result<Schedule, String> {
    if let [name] = words
        && let Some((_, form)) = SHORT.iter().find(|(short, _)| name.eq_ignore_ascii_case(short))
    {
        return calendar(&form.split(' ').collect::<Vec<_>>());
    }
    let mut schedule = Schedule { hours: 1, minutes: 1, ..always() };
    let mut rest = words;
    if let [head @ .., "UTC"] = rest {
        (schedule.utc, rest) = (true, head);
    }
    if let [head, tail @ ..] = rest
        && head.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        schedule.weekdays = set(&head.to_ascii_lowercase().replace("..", "-"), (0, 6), &names_of_weekdays(), '-')?;
        rest = tail;
    }
    if let [head, tail @ ..] = rest
        && !head.contains(':')
    {
        date(&mut schedule, head)?;
        rest = tail;
    }
    if let [head, tail @ ..] = rest
        && head.contains(':')
    {
        time(&mut schedule, head)?;
        rest = tail;
    }
    match rest {
        [] if words.len() > usize::from(schedule.utc) => Ok(schedule),
        [] => Err("names no moment".to_owned()),
        [first, ..] => Err(format!("{first:?} is not understood")),
    }
}

fn date(schedule: &mut Schedule, text: &str) -> Result<(), String> {
    let (front, from_end) = match text.rsplit_once('~') {
        Some((front, day)) => (front.to_owned(), Some(day)),
        None => (text.to_owned(), None),
    };
    let mut parts: Vec<&str> = front.split('-').collect();
    match from_end {
        Some(day) => (schedule.days, schedule.days_from_end) = (0, set(day, (1, 31), &[], '.')?),
        None => schedule.days = set(parts.pop().unwrap_or("*"), (1, 31), &[], '.')?,
    }
    schedule.months = set(parts.pop().ok_or_else(|| format!("{text:?} is no date"))?, (1, 12), &[], '.')?;
    match parts.as_slice() {
        [] | ["*"] => {}
        [years] => schedule.years = self::years(years)?,
        _ => return Err(format!("{text:?} is no date")),
    }
    Ok(())
}

fn years(text: &str) -> Result<Vec<u16>, String> {
    let year = |word: &str| {
        let year = word.parse::<u16>().ok().filter(|year| (FIRST_YEAR..=LAST_YEAR).contains(year));
        year.ok_or_else(|| format!("{word:?} is no year from {FIRST_YEAR} to {LAST_YEAR}"))
    };
    let mut years = Vec::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step = step.map_or(Ok(1), |step| step.parse::<usize>().map_err(|_| format!("{step:?} is no step")))?;
        let (from, to) = match range.split_once("..") {
            Some((from, to)) => (year(from)?, year(to)?),
            None if part.contains('/') => (year(range)?, LAST_YEAR),
            None => (year(range)?, year(range)?),
        };
        years.extend((from..=to).step_by(step.max(1)));
    }
    Ok(years)
}

fn time(schedule: &mut Schedule, text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let ([hours, minutes] | [hours, minutes, _]) = parts.as_slice() else {
        return Err(format!("{text:?} is no time"));
    };
    schedule.hours = set(hours, (0, 23), &[], '.')?;
    schedule.minutes = set(minutes, (0, 59), &[], '.')?;
    if let [_, _, seconds] = parts.as_slice() {
        schedule.seconds = set(seconds, (0, 59), &[], '.')?;
    }
    Ok(())
}

fn names_of_weekdays() -> Vec<(&'static str, u8)> {
    let both = WEEKDAYS.into_iter().zip(0..).chain(WEEKDAYS_IN_FULL.into_iter().zip(0..));
    both.collect()
}

fn cron(words: &[&str]) -> Result<Schedule, String> {
    let [minutes, hours, days, months, weekdays] = words else {
        return Err("a cron line has five fields".to_owned());
    };
    let months_by_name: Vec<(&str, u8)> = MONTHS.into_iter().zip(1..).collect();
    // Sunday is 0 and 7.
    let by_name: Vec<(&str, u8)> = WEEKDAYS.into_iter().zip(1..).collect();
    let sunday_first = set(&weekdays.to_ascii_lowercase(), (0, 7), &by_name, '-')?;
    let sunday = sunday_first & 1 | sunday_first >> 7 & 1;
    Ok(Schedule {
        minutes: set(minutes, (0, 59), &[], '-')?,
        hours: set(hours, (0, 23), &[], '-')?,
        days: set(days, (1, 31), &[], '-')?,
        months: set(&months.to_ascii_lowercase(), (1, 12), &months_by_name, '-')?,
        weekdays: sunday_first >> 1 & 0x3f | sunday << 6,
        either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        ..always()
    })
}

/// A list of numbers, ranges and steps as bits. Ranges are joined by `-`, or by `..` if `joint` is a dot.
fn set(text: &str, (min, max): (u8, u8), names: &[(&str, u8)], joint: char) -> Result<u64, String> {
    let value = |word: &str| {
        let named = names.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
        let value = named.or_else(|| word.parse::<u8>().ok()).filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| format!("{word:?} is not from {min} to {max}"))
    };
    let joint = if joint == '.' { ".." } else { "-" };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step = step.map(|step| match step.parse::<u8>() {
            Ok(step @ 1..) => Ok(step),
            _ => Err(format!("{step:?} is no step")),
        });
        let step = step.transpose()?;
        let (from, to) = match range.split_once(joint) {
            Some((from, to)) => (value(from)?, value(to)?),
            None if range == "*" => (min, max),
            None if step.is_some() => (value(range)?, max),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return Err(format!("{range:?} runs backwards"));
        }
        (from..=to).step_by(step.unwrap_or(1).into()).for_each(|value| bits |= 1 << value);
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::{Civil, Schedule};

    fn civil(text: &str) -> Civil {
        let numbers: Vec<u16> = text.split(['-', ' ', ':']).map(|word| word.parse().unwrap()).collect();
        let [year, month, day, hour, minute, second] = numbers[..] else { panic!("{text}") };
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|n| n as u8);
        Civil { year, month, day, hour, minute, second }
    }

    fn shown(at: Civil) -> String {
        let Civil { year, month, day, hour, minute, second } = at;
        format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    /// Each with its next two moments after Sunday, 2026-11-22 03:04:05, as `systemd-analyze calendar` has them.
    const CALENDAR: [(&str, &str, &str); 18] = [
        ("minutely", "2026-11-22 03:05:00", "2026-11-22 03:06:00"),
        ("hourly", "2026-11-22 04:00:00", "2026-11-22 05:00:00"),
        ("daily", "2026-11-23 00:00:00", "2026-11-24 00:00:00"),
        ("weekly", "2026-11-23 00:00:00", "2026-11-30 00:00:00"),
        ("monthly", "2026-12-01 00:00:00", "2027-01-01 00:00:00"),
        ("quarterly", "2027-01-01 00:00:00", "2027-04-01 00:00:00"),
        ("yearly", "2027-01-01 00:00:00", "2028-01-01 00:00:00"),
        ("*-*-* 02:30:00", "2026-11-23 02:30:00", "2026-11-24 02:30:00"),
        ("03:04:06", "2026-11-22 03:04:06", "2026-11-23 03:04:06"),
        ("Mon..Fri 22:15", "2026-11-23 22:15:00", "2026-11-24 22:15:00"),
        ("Sat,Sun *-*-* 3:00/20", "2026-11-22 03:20:00", "2026-11-22 03:40:00"),
        ("*-*-1,15 1..2:00", "2026-12-01 01:00:00", "2026-12-01 02:00:00"),
        ("*-*~01 12:00", "2026-11-30 12:00:00", "2026-12-31 12:00:00"),
        ("*-02-29", "2028-02-29 00:00:00", "2032-02-29 00:00:00"),
        ("2030-*-01 06:00", "2030-01-01 06:00:00", "2030-02-01 06:00:00"),
        ("12-24 18:00", "2026-12-24 18:00:00", "2027-12-24 18:00:00"),
        ("Fri *-*-13", "2027-08-13 00:00:00", "2028-10-13 00:00:00"),
        ("Wednesday 04:05:06 UTC", "2026-11-25 04:05:06", "2026-12-02 04:05:06"),
    ];

    /// The same by crontab(5).
    const CRON: [(&str, &str, &str); 8] = [
        ("0 2 * * *", "2026-11-23 02:00:00", "2026-11-24 02:00:00"),
        ("*/15 3 * * *", "2026-11-22 03:15:00", "2026-11-22 03:30:00"),
        ("30 4 1,15 * 5", "2026-11-27 04:30:00", "2026-12-01 04:30:00"),
        ("0 0 * * 7", "2026-11-29 00:00:00", "2026-12-06 00:00:00"),
        ("0 0 * * 0", "2026-11-29 00:00:00", "2026-12-06 00:00:00"),
        ("5 5 * dec mon-fri", "2026-12-01 05:05:00", "2026-12-02 05:05:00"),
        ("@daily", "2026-11-23 00:00:00", "2026-11-24 00:00:00"),
        ("@weekly", "2026-11-29 00:00:00", "2026-12-06 00:00:00"),
    ];

    #[test]
    fn the_next_moments() {
        for (text, first, second) in CALENDAR.into_iter().chain(CRON) {
            let schedule: Schedule = text.parse().unwrap_or_else(|invalid| panic!("{invalid}"));
            let next = schedule.next_after(civil("2026-11-22 03:04:05")).unwrap();
            assert_eq!(
                (shown(next).as_str(), shown(schedule.next_after(next).unwrap()).as_str()),
                (first, second),
                "{text}"
            );
        }
        let over: Schedule = "2020-*-*".parse().unwrap();
        assert_eq!(over.next_after(civil("2026-11-22 03:04:05")), None);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (bad, reason) in [
            ("", "\"\": is empty"),
            ("dayly", "\"dayly\": \"dayly\" is not from 0 to 6"),
            ("25:00", "\"25:00\": \"25\" is not from 0 to 23"),
            ("*-13-01", "\"*-13-01\": \"13\" is not from 1 to 12"),
            ("*-02-30", "\"*-02-30\": there is no such day"),
            ("60 * * * *", "\"60 * * * *\": \"60\" is not from 0 to 59"),
            ("* * * * mon-", "\"* * * * mon-\": \"\" is not from 0 to 7"),
            ("*/0 * * * *", "\"*/0 * * * *\": \"0\" is no step"),
            ("daily 02:00 x", "\"daily 02:00 x\": \"daily\" is not from 0 to 6"),
            ("5..1:00", "\"5..1:00\": \"5..1\" runs backwards"),
        ] {
            assert_eq!(bad.parse::<Schedule>().map_err(|invalid| invalid.reason), Err(reason.to_owned()));
        }
    }
}
