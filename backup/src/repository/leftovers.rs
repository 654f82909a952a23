//! What killed runs leave behind.

use super::archive::form;
use super::{Form, MANIFEST, PARTIAL, RECORD, REMOVING};

/// What is to be removed of a job's folder in which these names are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// Archives whose removal is to be finished.
    pub(super) removals: Vec<String>,
    /// What was being written, and what stands beside no archive.
    pub(super) rubbish: Vec<String>,
}

/// Finds it. `leave_trees` spares unfinished trees and their manifests, from which a run can go on.
pub(super) fn leftovers(names: &[String], leave_trees: bool) -> Leftovers {
    let removals: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix(REMOVING)).map(str::to_owned).collect();
    let is_rubbish = |name: &&String| {
        if let Some(unfinished) = name.strip_suffix(PARTIAL) {
            let of_tree = form(unfinished.strip_suffix(MANIFEST).unwrap_or(unfinished)) == Some(Form::Tree);
            return !(leave_trees && of_tree);
        }
        [MANIFEST, RECORD].iter().any(|beside| {
            let Some(archive) = name.strip_suffix(beside).filter(|archive| form(archive).is_some()) else {
                return false;
            };
            let of_tree_left = leave_trees && *beside == MANIFEST && names.contains(&format!("{archive}{PARTIAL}"));
            !of_tree_left && !names.iter().any(|name| name == archive)
        })
    };
    let rubbish = names.iter().filter(is_rubbish).cloned().collect();
    Leftovers { removals, rubbish }
}

#[cfg(test)]
mod tests {
    use super::leftovers;

    #[test]
    fn the_table() {
        let names: Vec<String> = [
            ".lock",
            "2026-11-20T000000Z",
            "2026-11-20T000000Z.manifest.zst",
            "2026-11-20T000000Z.record.json",
            "2026-11-21T000000Z-full.tar.zst.partial",
            "2026-11-21T000000Z-full.tar.zst.record.json",
            "2026-11-22T000000Z.partial",
            "2026-11-22T000000Z.manifest.zst",
            "2026-11-22T000000Z.record.json",
            "2026-11-23T000000Z.partial",
            "2026-11-23T000000Z.manifest.zst.partial",
            "2026-11-24T000000Z.removing",
            "2026-11-24T000000Z.manifest.zst",
            "a note.partial",
            "by hand.record.json",
            "latest",
        ]
        .map(str::to_owned)
        .to_vec();
        let found = leftovers(&names, true);
        assert_eq!(found.removals, ["2026-11-24T000000Z"]);
        let always = [
            "2026-11-21T000000Z-full.tar.zst.partial",
            "2026-11-21T000000Z-full.tar.zst.record.json",
            "2026-11-22T000000Z.record.json",
            "2026-11-24T000000Z.manifest.zst",
            "a note.partial",
        ];
        assert_eq!(found.rubbish, always);
        let mut all = leftovers(&names, false).rubbish;
        all.retain(|name| !always.contains(&name.as_str()));
        let of_trees = [
            "2026-11-22T000000Z.partial",
            "2026-11-22T000000Z.manifest.zst",
            "2026-11-23T000000Z.partial",
            "2026-11-23T000000Z.manifest.zst.partial",
        ];
        assert_eq!(all, of_trees);
    }
}
