//! `ctl node logs`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use rackhaven_proto::model::{NodeName, UnitPattern};
use rackhaven_proto::v1::{LogLine, LogQuery, ReadLogsRequest};
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page, Report};
use crate::style::Style;
use crate::text::Text;
use crate::times::rfc3339;
use crate::units::parse_duration;

/// So many lines are shown if nothing else is asked for.
const USUAL_LINES: u32 = 100;
/// And before what is followed.
const LINES_BEFORE: u32 = 10;

/// Options of `ctl node logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The node
    name: NodeName,
    /// Only of this unit, such as k3s or 'ssh*'; may be given more than once
    #[arg(short, long = "unit", value_name = "UNIT")]
    units: Vec<UnitPattern>,
    /// Go on with what is written until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Not older than this, such as 10m, 2h or 1d; all of it, unless --lines says less
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Only the newest so many [default: 100; 10 with --follow; all with --since]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    lines: Option<u32>,
    /// Only what is as bad as this or worse
    #[arg(short, long, value_name = "LEVEL")]
    priority: Option<Priority>,
}

/// The levels of syslog(3), worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Priority {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Priority {
    const ALL: [Self; 8] =
        [Self::Emerg, Self::Alert, Self::Crit, Self::Err, Self::Warning, Self::Notice, Self::Info, Self::Debug];

    fn word(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Emerg | Self::Alert | Self::Crit | Self::Err => Style::Bad,
            Self::Warning => Style::Warn,
            Self::Notice | Self::Info => Style::Plain,
            Self::Debug => Style::Dim,
        }
    }
}

/// One line; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct LineReport {
    time: Option<String>,
    priority: Option<&'static str>,
    unit: Option<Text>,
    identifier: Option<Text>,
    pid: Option<u32>,
    message: Text,
    #[serde(skip)]
    style: Style,
}

impl LineReport {
    fn new(line: LogLine) -> Self {
        let level = line.priority.and_then(|number| Priority::ALL.get(usize::try_from(number).ok()?).copied());
        Self {
            time: rfc3339(line.wall_unix_ms),
            priority: level.map(Priority::word),
            unit: Text::given(&line.unit),
            identifier: Text::given(&line.identifier),
            pid: (line.pid > 0).then_some(line.pid),
            message: Text::new(&line.message),
            style: level.map_or(Style::Plain, Priority::style),
        }
    }
}

impl Report for LineReport {
    /// As journalctl shows it, without the machine's name, which is known; wide with the unit.
    fn render(&self, page: &Page) -> String {
        let form = if page.wide { crate::times::Zone::full } else { crate::times::Zone::brief };
        let time = self.time.as_ref().map(|time| form(&page.zone, time)).unwrap_or_default();
        let unit = match &self.unit {
            Some(unit) if page.wide => format!(" {unit}"),
            _ => String::new(),
        };
        let who = self.identifier.as_ref().map_or("-", Text::as_str);
        let pid = self.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        let message = self.style.paint(self.message.as_str(), page.colour);
        format!("{time}{unit} {who}{pid}: {message}\n")
    }
}

/// Shows what a node has written down of itself, oldest first.
pub(super) async fn run(args: LogsArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let usual = match (args.since, args.follow) {
        (Some(_), _) => 0,
        (None, true) => LINES_BEFORE,
        (None, false) => USUAL_LINES,
    };
    let query = LogQuery {
        units: args.units.iter().map(ToString::to_string).collect(),
        since_ms: args.since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        limit: args.lines.unwrap_or(usual),
        follow: args.follow,
        priority: args.priority.map(|priority| priority as u32),
    };
    let connection = invocation.connect().await?;
    let request = ReadLogsRequest { node: args.name.to_string(), query: Some(query) };
    let mut stream = connection.answer(connection.logs().read(request)).await?;
    let mut any = false;
    loop {
        let next = tokio::select! {
            next = stream.message() => next.map_err(|status| connection.refused(&status))?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Fine),
        };
        let Some(message) = next else { break };
        any |= !message.lines.is_empty();
        let lines = message.lines.into_iter().map(LineReport::new);
        if matches!(invocation.global.output, Format::Json | Format::Yaml) {
            lines.into_iter().try_for_each(|line| invocation.show_one(&line))?;
        } else {
            let page = invocation.page();
            let text = lines.map(|line| line.render(&page)).collect();
            invocation.draw(text)?;
        }
    }
    if !any {
        invocation.console.note("No lines. A unit's name that is not known matches nothing.");
    }
    Ok(ExitStatus::Fine)
}
