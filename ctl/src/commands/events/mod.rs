//! `ctl events`.

mod follow;
mod report;

use clap::Args;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1::ListEventsRequest;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::Format;

pub(crate) use report::{EventReport, table as event_table};

/// Options of `ctl events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on with what comes until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only this node's
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// At most so many past events, the newest
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Shows what has happened, oldest first.
pub(crate) async fn run(args: EventsArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let request = ListEventsRequest {
        limit: args.limit,
        node: args.node.map(|name| name.to_string()).unwrap_or_default(),
        after_position: 0,
        follow: args.follow,
    };
    if args.follow {
        return follow::run(request, invocation).await;
    }
    let connection = invocation.connect().await?;
    let mut stream = connection.answer(connection.events().list(request)).await?;
    let for_people = matches!(invocation.global.output, Format::Table | Format::Wide);
    let mut events = Vec::new();
    while let Some(event) = connection.answer_of_stream(&mut stream).await? {
        let report = EventReport::new(event).map_err(|invalid| CtlError::strange_answer(&invalid))?;
        match for_people {
            true => events.push(report),
            false => invocation.show_one(&report)?,
        }
    }
    if for_people && events.is_empty() {
        invocation.console.note("No events.");
    } else if for_people {
        let lines = report::table(&events, &invocation.page());
        invocation.draw(lines)?;
    }
    Ok(ExitStatus::Fine)
}
