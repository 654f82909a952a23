//! `ctl node show --since`: how a node was.

mod render;
mod report;

use std::time::Duration;

use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::GetHistoryRequest;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::Format;
use crate::screen;
use crate::units::parse_duration;

use render::Room;
use report::PastReport;

/// The shortest time that there are figures of.
const LEAST: Duration = Duration::from_secs(60);
/// The longest that can be asked for: a hundred years.
const MOST: Duration = Duration::from_secs(36_525 * 86_400);

/// Reads how long ago: `90m`, `24h`, `7d`.
pub(super) fn parse_ago(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Err(_) => Err(format!("{text:?} is not a time such as 90m, 24h, 7d or 365d (units: s, m, h, d; also 1d12h)")),
        Ok(short) if short < LEAST => Err(format!("{text:?} is less than a minute (1m), the finest that is kept")),
        Ok(long) if long > MOST => Err(format!("{text:?} is more than a hundred years (36525d)")),
        Ok(ago) => Ok(ago),
    }
}

/// Shows how a node was.
pub(super) async fn run(
    name: &NodeName,
    since: Duration,
    until: Option<Duration>,
    invocation: &mut Invocation,
) -> Result<ExitStatus, CtlError> {
    let until = until.unwrap_or_default();
    if until >= since {
        return Err(CtlError::usage("--until must be less long ago than --since")
            .hint("an hour of yesterday: --since 25h --until 24h"));
    }
    let room = Room::of(&screen::page(invocation));
    let max_points = match invocation.global.output {
        Format::Table | Format::Wide => room.columns,
        Format::Json | Format::Yaml | Format::Csv => 0,
    };
    let connection = invocation.connect().await?;
    let request = GetHistoryRequest {
        name: name.to_string(),
        since_seconds_ago: since.as_secs(),
        until_seconds_ago: until.as_secs(),
        max_points: u32::try_from(max_points).unwrap_or(u32::MAX),
    };
    let history = connection.answer(connection.fleet().get_history(request)).await?;
    let report = PastReport::new(history, room).map_err(|invalid| CtlError::strange_answer(&invalid))?;
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

#[cfg(test)]
mod tests {
    use super::parse_ago;

    #[test]
    fn what_is_no_time_is_told_what_is() {
        assert!(["1m", "90m", "24h", "7d", "365d", "1d12h", "120s"].iter().all(|text| parse_ago(text).is_ok()));
        for (text, said) in [
            ("yesterday", "\"yesterday\" is not a time such as 90m, 24h, 7d or 365d (units: s, m, h, d; also 1d12h)"),
            ("24", "\"24\" is not a time such as 90m, 24h, 7d or 365d (units: s, m, h, d; also 1d12h)"),
            ("1y", "\"1y\" is not a time such as 90m, 24h, 7d or 365d (units: s, m, h, d; also 1d12h)"),
            ("30s", "\"30s\" is less than a minute (1m), the finest that is kept"),
            ("99999d", "\"99999d\" is more than a hundred years (36525d)"),
        ] {
            assert_eq!(parse_ago(text), Err(said.to_owned()));
        }
    }
}
