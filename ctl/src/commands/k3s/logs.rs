use std::time::Duration;

use clap::Args;
use rackhaven_proto::v1::{ReadWorkloadLogsRequest, WorkloadRef};
use serde::Serialize;

use super::object::{NamespaceArgs, ObjectName};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page, Report};
use crate::text::Text;
use crate::units::parse_duration;

/// Options of `ctl k3s logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// A pod, or deployment/web for one of its pods
    #[arg(value_name = "POD|KIND/NAME")]
    object: String,
    /// Which of its containers
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Go on with what is logged until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only the newest so many lines
    #[arg(long, value_name = "COUNT")]
    tail: Option<u32>,
    /// Not older than this, such as 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Of the container before this one, which has ended
    #[arg(short, long)]
    previous: bool,
    #[command(flatten)]
    place: NamespaceArgs,
}

/// One line; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct LineReport {
    pod: Text,
    message: Text,
}

impl Report for LineReport {
    fn render(&self, _: &Page) -> String {
        format!("{}\n", self.message)
    }
}

/// Shows what a container has logged, oldest first.
pub(super) async fn run(args: LogsArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let object: WorkloadRef = if args.object.contains('/') {
        args.place.object(args.object.parse::<ObjectName>().map_err(CtlError::usage)?)
    } else {
        args.place.object(ObjectName { kind: "pod".to_owned(), name: args.object })
    };
    let seconds = |since: Duration| u32::try_from(since.as_secs().max(1)).unwrap_or(u32::MAX);
    let request = ReadWorkloadLogsRequest {
        object: Some(object),
        container: args.container.unwrap_or_default(),
        follow: args.follow,
        tail: args.tail,
        since_seconds: args.since.map(seconds),
        previous: args.previous,
    };
    let connection = invocation.connect().await?;
    let mut stream = connection.answer(connection.workloads().read_logs(request)).await?;
    let mut pod = Text::default();
    loop {
        let next = tokio::select! {
            next = stream.message() => next.map_err(|status| connection.refused(&status))?,
            _ = tokio::signal::ctrl_c() => return Ok(ExitStatus::Fine),
        };
        let Some(message) = next else { return Ok(ExitStatus::Fine) };
        if !message.pod.is_empty() {
            pod = Text::new(&message.pod);
        }
        if message.of_pods > 1 {
            invocation.console.note(&format!("Found {} pods, using pod/{pod}", message.of_pods));
        }
        let lines = message.lines.iter().map(|line| LineReport { pod: pod.clone(), message: Text::new(line) });
        if matches!(invocation.global.output, Format::Table | Format::Wide) {
            let page = invocation.page();
            let text: String = lines.map(|line| line.render(&page)).collect();
            invocation.console.data(&text)?;
        } else {
            lines.into_iter().try_for_each(|line| invocation.show_one(&line))?;
        }
    }
}
