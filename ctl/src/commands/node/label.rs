//! `ctl node label`.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use rackhaven_proto::Invalid;
use rackhaven_proto::model::{LabelKey, LabelValue, NodeName};
use rackhaven_proto::v1::LabelNodeRequest;
use serde::Serialize;

use super::invite::parse_label;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::text::Text;

/// Options of `ctl node label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The node
    name: NodeName,
    /// KEY=VALUE sets a label, KEY- removes one
    #[arg(required = true, value_name = "KEY=VALUE|KEY-")]
    changes: Vec<Change>,
}

/// One change of a label.
#[derive(Debug, Clone)]
enum Change {
    Set(LabelKey, LabelValue),
    Remove(LabelKey),
}

impl FromStr for Change {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_suffix('-') {
            Some(key) if !key.contains('=') => Ok(Self::Remove(key.parse()?)),
            _ => parse_label(text).map(|(key, value)| Self::Set(key, value)),
        }
    }
}

/// What `ctl node label` tells: the node's labels after the change.
#[derive(Debug, Serialize)]
struct LabelReport {
    name: String,
    labels: BTreeMap<Text, Text>,
}

/// Changes a node's labels.
pub(crate) async fn run(args: LabelArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let mut request = LabelNodeRequest { name: args.name.to_string(), ..LabelNodeRequest::default() };
    for change in args.changes {
        match change {
            Change::Set(key, value) => _ = request.set.insert(key.to_string(), value.as_str().to_owned()),
            Change::Remove(key) => request.remove.push(key.to_string()),
        }
    }
    if let Some(key) = request.remove.iter().find(|key| request.set.contains_key(*key)) {
        return Err(CtlError::usage(format!("label {key} is both set and removed")));
    }
    let connection = invocation.connect().await?;
    let response = connection.answer(connection.fleet().label_node(request)).await?;
    let labels = response.labels.iter().map(|(key, value)| (Text::new(key), Text::new(value))).collect();
    invocation.show(&LabelReport { name: args.name.to_string(), labels })?;
    Ok(ExitStatus::Fine)
}

impl Report for LabelReport {
    fn render(&self, _page: &Page) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        match labels.is_empty() {
            true => format!("{}: no labels\n", self.name),
            false => format!("{}: {}\n", self.name, labels.join(", ")),
        }
    }
}
