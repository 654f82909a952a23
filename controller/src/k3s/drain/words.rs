//! What is left, and why, in a sentence.

use super::{Fate, Left, Refusal, Trouble};

/// So many pods are named; a line of a timeline is not a list.
const NAMED: usize = 5;

/// Pods that are left: `default/web-7 (budget web …), default/db-0 (ends since 12 s) and 3 more`.
pub fn left_in_words(left: &[Left], now_ms: u64) -> String {
    let named = left.iter().take(NAMED).map(|left| {
        let why = match &left.trouble {
            Trouble::Untried => "not asked to go yet".to_owned(),
            Trouble::Budget(which) => which.clone(),
            Trouble::Refused(why) => format!("refused: {why}"),
            Trouble::Ends(since_ms) => format!("has been ending for {} s", now_ms.saturating_sub(*since_ms) / 1000),
        };
        format!("{} ({why})", left.pod)
    });
    joined(named.collect(), left.len())
}

/// Pods that the rules keep.
pub fn refused_in_words(refusals: &[Refusal]) -> String {
    let named = refusals.iter().take(NAMED).map(|refusal| {
        let why = match refusal.fate {
            Fate::WantsData => "loses the data of an emptyDir: --delete-emptydir-data",
            Fate::WantsForce | Fate::Goes | Fate::Stays => "nothing would start it again: --force",
        };
        format!("{} ({why})", refusal.pod)
    });
    joined(named.collect(), refusals.len())
}

/// What fits behind their number.
pub(super) fn pods_are(count: usize) -> &'static str {
    if count == 1 { "pod is" } else { "pods are" }
}

fn joined(named: Vec<String>, all: usize) -> String {
    let more = all.saturating_sub(named.len());
    let text = named.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}
