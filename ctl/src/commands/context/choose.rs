//! `ctl context use`.

use serde::Serialize;

use super::NameArgs;
use crate::context::ContextStore;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::text::Text;

/// What `ctl context use` tells.
#[derive(Debug, Serialize)]
struct UseReport {
    name: String,
    cluster: Text,
}

/// Makes a context the current one, if it is usable.
pub(crate) fn run(args: NameArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let store = ContextStore::of(&invocation.environment)?;
    let context = store.load(&args.name)?;
    store.set_current(&args.name)?;
    let cluster = Text::new(&context.credentials.cluster_name);
    invocation.show(&UseReport { name: args.name.to_string(), cluster })?;
    Ok(ExitStatus::Fine)
}

impl Report for UseReport {
    fn render(&self, _page: &Page) -> String {
        format!("Context {} (cluster {}) is the current one.\n", self.name, self.cluster)
    }
}
