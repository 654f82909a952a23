//! The jobs of a node, and when each is to run next: what the agent asks for, so that it need not know the calendar.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rackhaven_proto::daemon::read_toml;
use rackhaven_proto::model::JobName;
use rackhaven_proto::model::backup::{Civil, Job, JobLine, RawJob, Schedule};
use serde::Deserialize;

/// When a job was last begun by its schedule, milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Last {
    /// To save.
    pub save: Option<i64>,
    /// To verify.
    pub verify: Option<i64>,
}

/// The jobs in these folders, by name. Of several of one name that of the first folder counts. A folder that is not there
/// holds none.
///
/// # Errors
/// When a folder cannot be read.
pub fn list(
    folders: &[PathBuf],
    last: &BTreeMap<String, Last>,
    now_unix_ms: i64,
    zone: &TimeZone,
) -> anyhow::Result<Vec<JobLine>> {
    let mut jobs: BTreeMap<JobName, JobLine> = BTreeMap::new();
    for (index, folder) in folders.iter().enumerate() {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => anyhow::bail!("reading {}: {error}", folder.display()),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else { continue };
            // What cannot be a job's name is an editor's, or nobody's.
            let Ok(name) = name.parse::<JobName>() else { continue };
            let last = last.get(name.as_str()).copied().unwrap_or_default();
            let line = || line(name.clone(), &path, index > 0, last, now_unix_ms, zone);
            jobs.entry(name.clone()).or_insert_with(line);
        }
    }
    Ok(jobs.into_values().collect())
}

fn line(name: JobName, file: &Path, given: bool, last: Last, now_unix_ms: i64, zone: &TimeZone) -> JobLine {
    let file = file.to_owned();
    let job = match read_toml::<RawJob, Job>(&file, false) {
        Ok(job) => job,
        Err(error) => {
            return JobLine::unusable(name, file, given, error.to_string());
        }
    };
    let next = |schedule: &Option<Schedule>, last: Option<i64>| {
        let schedule = schedule.as_ref()?;
        // A moment is missed only after a first run, and only if it is to be made up for.
        let after = last.filter(|last_ms| job.catch_up && *last_ms <= now_unix_ms).unwrap_or(now_unix_ms);
        next_after(schedule, after, zone)
    };
    JobLine {
        name,
        file,
        given,
        engine: job.engine.to_string(),
        sources: job.selection.sources.iter().map(|path| path.display().to_string()).collect(),
        repository: job.repository.to_string(),
        schedule: job.schedule.as_ref().map_or_else(String::new, ToString::to_string),
        next_unix_ms: next(&job.schedule, last.save),
        verify_next_unix_ms: next(&job.verify_schedule, last.verify),
        verify_percent: job.verify_percent,
        random_delay_seconds: job.random_delay_s,
        on_battery: job.on_battery,
        nice: job.limits.nice,
        memory_mib: job.limits.memory_mib,
        problem: String::new(),
    }
}

/// The first moment of a schedule after another, both milliseconds since 1970-01-01 UTC. A local time that a change of
/// the clocks leaves out falls on the moment right after the gap; one that comes twice, on the first.
fn next_after(schedule: &Schedule, after_unix_ms: i64, zone: &TimeZone) -> Option<i64> {
    let zone = if schedule.is_utc() { &TimeZone::UTC } else { zone };
    let after = Timestamp::from_millisecond(after_unix_ms).ok()?;
    let mut from = civil(after.to_zoned(zone.clone()).datetime())?;
    // The second one of an hour that comes twice may have begun already.
    for _ in 0..3 {
        let next = schedule.next_after(from)?;
        let moment = datetime(next)?.to_zoned(zone.clone()).ok()?.timestamp();
        if moment > after {
            return Some(moment.as_millisecond());
        }
        from = next;
    }
    None
}

fn civil(at: DateTime) -> Option<Civil> {
    Some(Civil {
        year: at.year().try_into().ok()?,
        month: at.month().try_into().ok()?,
        day: at.day().try_into().ok()?,
        hour: at.hour().try_into().ok()?,
        minute: at.minute().try_into().ok()?,
        second: at.second().try_into().ok()?,
    })
}

fn datetime(at: Civil) -> Option<DateTime> {
    let [month, day, hour, minute, second] =
        [at.month, at.day, at.hour, at.minute, at.second].map(|part| i8::try_from(part).unwrap_or(i8::MAX));
    DateTime::new(at.year.try_into().ok()?, month, day, hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;

    use super::{Last, list, next_after};

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_schedule_is_in_the_nodes_zone_and_survives_a_change_of_the_clocks() {
        // Central Europe's rule, as POSIX writes it, so that no database of zones is needed.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (schedule, after, next) in [
            ("*-*-* 02:30", "2026-11-22T03:00:00Z", "2026-11-23T01:30:00Z"),
            ("*-*-* 02:30 UTC", "2026-11-22T03:00:00Z", "2026-11-23T02:30:00Z"),
            // Left out on 2026-03-29.
            ("*-*-* 02:30", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
            // Twice on 2026-10-25: once, and not again an hour later.
            ("*-*-* 02:30", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("*-*-* 02:30", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("*-*-* 02:30", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
        ] {
            let found = next_after(&schedule.parse().unwrap(), ms(after), &zone);
            assert_eq!(found, Some(ms(next)), "{schedule} after {after}");
        }
    }

    #[test]
    fn jobs_are_listed_with_their_times_and_what_is_wrong() {
        let temp = tempfile::tempdir().unwrap();
        let [local, given] = ["local", "given"].map(|name| temp.path().join(name));
        for folder in [&local, &given] {
            std::fs::create_dir(folder).unwrap();
        }
        let job = |more: &str| format!("sources = ['/etc']\nrepository = '/mnt/nas'\nschedule = 'daily'\n{more}");
        for (path, text) in [
            (local.join("etc.toml"), job("limits.nice = 3")),
            (given.join("etc.toml"), job("limits.nice = 4")),
            (given.join("late.toml"), job("")),
            (given.join("lazy.toml"), job("catch_up = false")),
            (given.join("bad.toml"), job("shedule = 'x'")),
            (given.join("Not-A-Job.toml"), String::new()),
            (given.join("etc.toml~"), String::new()),
        ] {
            std::fs::write(path, text).unwrap();
        }
        let now = ms("2026-11-22T03:00:00Z");
        let before = Last { save: Some(ms("2026-11-20T00:00:10Z")), verify: None };
        let last: BTreeMap<String, Last> = [("late".to_owned(), before), ("lazy".to_owned(), before)].into();
        let folders = [local, given, temp.path().join("missing")];
        let lines = list(&folders, &last, now, &TimeZone::UTC).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.given, line.next_unix_ms)).collect();
        let tomorrow = Some(ms("2026-11-23T00:00:00Z"));
        assert_eq!(
            told,
            [
                ("bad", true, None),
                ("etc", false, tomorrow),
                ("late", true, Some(ms("2026-11-21T00:00:00Z"))),
                ("lazy", true, tomorrow)
            ]
        );
        assert_eq!(lines[1].nice, 3);
        assert!(lines[0].problem.contains("did you mean `schedule`?"), "{}", lines[0].problem);
    }
}
