//! Removes what a job does not keep.

use rackhaven_proto::model::backup::Keep;
use serde::Serialize;

use super::archive::candidates;
use super::{RepositoryError, Store};
use crate::retention::{Reason, decide};

/// What became of the archives, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Those that stay, newest first.
    pub kept: Vec<Kept>,
    /// Those that went, or would go, in that order.
    pub removed: Vec<String>,
    /// Whether it was only said.
    pub dry_run: bool,
}

/// An archive that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub archive: String,
    /// Every reason.
    pub reasons: Vec<String>,
}

/// Removes what `keep` does not keep, and what an earlier prune did not come to; or only says what it would remove.
///
/// # Errors
/// When something cannot be removed. What is left is whole; the next prune goes on.
pub fn prune(store: &dyn Store, keep: &Keep, dry_run: bool) -> Result<Pruned, RepositoryError> {
    if !dry_run {
        store.clean()?;
    }
    let decision = decide(&candidates(&store.list()?), keep);
    if !dry_run {
        for name in &decision.remove {
            store.remove(name)?;
        }
    }
    let kept = |(archive, reasons): (String, _)| Kept { archive, reasons: words(&reasons) };
    Ok(Pruned { kept: decision.keep.into_iter().map(kept).collect(), removed: decision.remove, dry_run })
}

fn words(reasons: &std::collections::BTreeSet<Reason>) -> Vec<String> {
    reasons.iter().map(Reason::to_string).collect()
}
