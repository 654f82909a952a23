//! `ctl context remove`.

use serde::Serialize;

use super::NameArgs;
use crate::confirm::Confirmation;
use crate::context::ContextStore;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};

/// What `ctl context remove` tells.
#[derive(Debug, Serialize)]
struct RemoveReport {
    name: String,
    removed: bool,
}

/// Deletes a context, usable or not.
pub(crate) fn run(args: NameArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let confirmation = Confirmation::possible(invocation)?;
    let store = ContextStore::of(&invocation.environment)?;
    if !store.has(&args.name) {
        store.load(&args.name)?;
    }
    let harm = format!("Will delete context {} with its key: to come back, you need a new invitation.", args.name);
    let place = store.path(&args.name).display().to_string();
    confirmation.ask(invocation, &harm, &place)?;
    store.remove(&args.name)?;
    invocation.show(&RemoveReport { name: args.name.to_string(), removed: true })?;
    Ok(ExitStatus::Fine)
}

impl Report for RemoveReport {
    fn render(&self, _page: &Page) -> String {
        format!("Context {} is deleted.\n", self.name)
    }
}
