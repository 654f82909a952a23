//! An event in a row: what the cluster has to say about an object.

use serde_json::Value;

use super::age::{age, unix_ms};
use super::rows::{Columns, State};
use super::{number, text};

pub(super) const EVENT: Columns =
    &[("LAST SEEN", false), ("TYPE", false), ("REASON", false), ("OBJECT", false), ("MESSAGE", false), ("NAME", true)];

/// The cells of an event.
pub(super) fn event(event: &Value, now_ms: i64) -> (Vec<String>, State) {
    let kind = text(event, "/type");
    let about =
        format!("{}/{}", text(event, "/involvedObject/kind").to_lowercase(), text(event, "/involvedObject/name"));
    let first = first_seen(event);
    let count = number(event, "/series/count").max(number(event, "/count"));
    let seen = match count {
        0 | 1 => age(last_seen(event), now_ms),
        count => format!("{} (x{count} over {})", age(last_seen(event), now_ms), age(first, now_ms)),
    };
    let cells = vec![
        seen,
        kind.to_owned(),
        text(event, "/reason").to_owned(),
        about,
        text(event, "/message").trim().to_owned(),
        text(event, "/metadata/name").to_owned(),
    ];
    (cells, if kind == "Normal" { State::Plain } else { State::Warning })
}

/// When it was seen last, milliseconds since 1970: the newest are what one looks for, and come last.
pub(super) fn seen_ms(event: &Value) -> i64 {
    unix_ms(last_seen(event)).unwrap_or_default()
}

fn last_seen(event: &Value) -> &str {
    let series = ["/series/lastObservedTime", "/lastTimestamp"].map(|at| text(event, at));
    series.into_iter().find(|time| !time.is_empty()).unwrap_or_else(|| first_seen(event))
}

fn first_seen(event: &Value) -> &str {
    let times = ["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"].map(|at| text(event, at));
    times.into_iter().find(|time| !time.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{State, event, seen_ms};

    #[test]
    fn events_golden() {
        let now_ms = 1_800_000_000_000;
        let at = |seconds: i64| {
            jiff::Timestamp::from_millisecond(now_ms - seconds * 1000).map(|time| time.to_string()).unwrap()
        };
        let about = json!({ "kind": "Pod", "name": "web-1" });
        for (object, cells, state, seconds) in [
            (
                json!({ "metadata": { "name": "a" }, "type": "Warning", "reason": "FailedMount", "message": "no such\n",
                    "involvedObject": about, "firstTimestamp": at(600), "lastTimestamp": at(30), "count": 5 }),
                ["30s (x5 over 10m)", "Warning", "FailedMount", "pod/web-1", "no such", "a"],
                State::Warning,
                30,
            ),
            (
                json!({ "metadata": { "name": "b" }, "type": "Normal", "reason": "Pulled", "message": "got it",
                    "involvedObject": about, "eventTime": at(90), "firstTimestamp": null }),
                ["90s", "Normal", "Pulled", "pod/web-1", "got it", "b"],
                State::Plain,
                90,
            ),
            (
                json!({ "metadata": { "name": "c" }, "type": "Normal", "reason": "Scaled", "involvedObject": about,
                    "eventTime": at(300), "series": { "count": 2, "lastObservedTime": at(7) } }),
                ["7s (x2 over 5m)", "Normal", "Scaled", "pod/web-1", "", "c"],
                State::Plain,
                7,
            ),
        ] {
            assert_eq!(event(&object, now_ms), (cells.map(str::to_owned).to_vec(), state));
            assert_eq!(seen_ms(&object), now_ms - seconds * 1000);
        }
    }
}
