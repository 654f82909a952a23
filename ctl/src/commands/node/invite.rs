//! `ctl node invite`.

use std::collections::BTreeMap;

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{LabelKey, LabelValue, Labels, NodeName};
use rackhaven_proto::v1::InviteNodeRequest;

use super::invitation;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::whole_seconds;

/// Options of `ctl node invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Good for this name only; without it each node takes its host name
    #[arg(long)]
    name: Option<NodeName>,
    /// How long the invitation is good
    #[arg(long, value_parser = whole_seconds, default_value = "1h", value_name = "TIME")]
    ttl: u32,
    /// How many nodes may use it
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// A label that each node gets; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(LabelKey, LabelValue)>,
}

/// Makes an invitation.
pub(crate) async fn run(args: InviteArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    if args.name.is_some() && args.uses > 1 {
        return Err(CtlError::usage("one name is good for one node: leave out --name or --uses"));
    }
    let mut labels = Labels::default();
    for (key, value) in args.labels {
        labels.set(key, value).map_err(|invalid| CtlError::usage(invalid.to_string()))?;
    }
    let for_whom = match (&args.name, args.uses) {
        (Some(name), _) => format!("the machine that is to be {name}"),
        (None, 1) => "the new node".to_owned(),
        (None, uses) => format!("each of at most {uses} new nodes"),
    };
    let request = InviteNodeRequest {
        name: args.name.map(|name| name.to_string()).unwrap_or_default(),
        ttl_seconds: args.ttl,
        uses: args.uses,
        labels: BTreeMap::from(&labels),
    };
    let connection = invocation.connect().await?;
    let invitation = connection.answer(connection.fleet().invite_node(request)).await?;
    invitation::show(invitation, &connection, invocation, &for_whom)?;
    Ok(ExitStatus::Fine)
}

/// Reads `KEY=VALUE`.
pub(super) fn parse_label(text: &str) -> Result<(LabelKey, LabelValue), Invalid> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| Invalid::new("label", format!("{text:?} is not KEY=VALUE")))?;
    Ok((key.parse()?, value.parse()?))
}
