//! How journalctl is called, and what it says. Pure.

use rackhaven_proto::model::LogQuery;
use rackhaven_proto::v1;
use serde::Deserialize;

/// Longest message of a line, bytes; what is longer is cut.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;
/// Longest name, bytes.
const MAX_NAME_BYTES: usize = 256;

/// The command line (journalctl(1)). `wall_unix_ms`: now.
pub(super) fn argv(journalctl: &str, query: &LogQuery, wall_unix_ms: i64) -> Vec<String> {
    let fields = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_COMM,_SYSTEMD_UNIT,UNIT,_PID";
    let mut argv: Vec<String> =
        [journalctl, "--quiet", "--no-pager", "--all", "--output=json"].map(str::to_owned).into();
    argv.push(format!("--output-fields={fields}"));
    argv.extend(query.units.iter().map(|unit| format!("--unit={unit}")));
    if let Some(since_ms) = query.since_ms {
        let since_ms = i64::try_from(since_ms).unwrap_or(i64::MAX);
        argv.push(format!("--since=@{}", wall_unix_ms.saturating_sub(since_ms).max(0).div_euclid(1000)));
    }
    if let Some(priority) = query.priority {
        argv.push(format!("--priority=0..{priority}"));
    }
    match query.limit {
        Some(limit) => argv.push(format!("--lines={limit}")),
        None if query.follow => argv.push("--no-tail".to_owned()),
        None => {}
    }
    if query.follow {
        argv.push("--follow".to_owned());
    }
    argv
}

/// One entry, as far as it is shown (systemd.journal-fields(7)).
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    realtime: Option<Field>,
    #[serde(rename = "MESSAGE")]
    message: Option<Field>,
    #[serde(rename = "PRIORITY")]
    priority: Option<Field>,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    identifier: Option<Field>,
    #[serde(rename = "_COMM")]
    comm: Option<Field>,
    #[serde(rename = "_SYSTEMD_UNIT")]
    by_unit: Option<Field>,
    #[serde(rename = "UNIT")]
    about_unit: Option<Field>,
    #[serde(rename = "_PID")]
    pid: Option<Field>,
}

/// A field's value: text, bytes that are none, or several of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Several(Vec<Field>),
}

impl Field {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Self::Several(fields) => fields.into_iter().next_back()?.text(),
        }
    }
}

/// A line of journalctl's JSON; none if it is something else, such as an error.
pub(super) fn parse(line: &[u8]) -> Option<v1::LogLine> {
    let entry: Entry = serde_json::from_slice(line).ok()?;
    let text = |field: Option<Field>, limit: usize| cut(field.and_then(Field::text).unwrap_or_default(), limit);
    let name = |field: Option<Field>| text(field, MAX_NAME_BYTES);
    let first = |one: String, other: Option<Field>| if one.is_empty() { name(other) } else { one };
    let micros: i64 = name(entry.realtime).parse().ok()?;
    Some(v1::LogLine {
        wall_unix_ms: micros.div_euclid(1000),
        // What systemd itself says of a unit.
        unit: first(name(entry.about_unit), entry.by_unit),
        identifier: first(name(entry.identifier), entry.comm),
        pid: name(entry.pid).parse().unwrap_or(0),
        priority: name(entry.priority).parse().ok(),
        message: text(entry.message, MAX_MESSAGE_BYTES),
    })
}

/// What is no entry, fit to tell.
pub(super) fn words(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    cut(text.chars().filter(|c| !c.is_control()).collect(), MAX_NAME_BYTES)
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::v1;

    use super::{LogQuery, argv, parse};

    #[test]
    fn command_lines_golden() {
        let query = |wire: v1::LogQuery| LogQuery::try_from(wire).unwrap();
        let units = vec!["k3s".to_owned(), "ssh*".to_owned()];
        for (wire, expected) in [
            (v1::LogQuery::default(), ""),
            (v1::LogQuery { limit: 20, follow: true, ..v1::LogQuery::default() }, "--lines=20 --follow"),
            (
                v1::LogQuery { units, since_ms: Some(90_500), follow: true, ..v1::LogQuery::default() },
                "--unit=k3s --unit=ssh* --since=@9 --no-tail --follow",
            ),
            // A board whose clock begins in 1970.
            (v1::LogQuery { since_ms: Some(u64::MAX), ..v1::LogQuery::default() }, "--since=@0"),
            (v1::LogQuery { priority: Some(3), ..v1::LogQuery::default() }, "--priority=0..3"),
        ] {
            assert_eq!(argv("journalctl", &query(wire), 100_000)[6..].join(" "), expected);
        }
    }

    #[test]
    fn entries_golden() {
        let line = |message: &str, unit: &str, identifier: &str| v1::LogLine {
            wall_unix_ms: 1_795_292_097_250,
            unit: unit.to_owned(),
            identifier: identifier.to_owned(),
            pid: 77,
            priority: Some(6),
            message: message.to_owned(),
        };
        let entry =
            |rest: &str| format!(r#"{{"__REALTIME_TIMESTAMP":"1795292097250999","PRIORITY":"6","_PID":"77",{rest}}}"#);
        for (rest, expected) in [
            (
                r#""MESSAGE":"up","_SYSTEMD_UNIT":"k3s.service","SYSLOG_IDENTIFIER":"k3s","_COMM":"k3s-server""#,
                line("up", "k3s.service", "k3s"),
            ),
            (r#""MESSAGE":[104,105,255],"_COMM":"sh""#, line("hi\u{fffd}", "", "sh")),
            // systemd speaks of a unit.
            (
                r#""MESSAGE":"Started","UNIT":"a.service","_SYSTEMD_UNIT":"init.scope","SYSLOG_IDENTIFIER":"systemd""#,
                line("Started", "a.service", "systemd"),
            ),
            (r#""MESSAGE":["one","two"],"SYSLOG_IDENTIFIER":null"#, line("two", "", "")),
            (r#""_COMM":"x""#, line("", "", "x")),
        ] {
            assert_eq!(parse(entry(rest).as_bytes()), Some(expected), "{rest}");
        }
        let long = entry(&format!(r#""MESSAGE":"{}""#, "ä".repeat(5000)));
        assert_eq!(parse(long.as_bytes()).map(|line| line.message.len()), Some(8192 + '…'.len_utf8()));
        for other in ["Failed to open journal", "", "{", "{}", r#"{"__REALTIME_TIMESTAMP":"x"}"#] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }
}
