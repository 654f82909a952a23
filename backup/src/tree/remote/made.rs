//! One run to another machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::far::Far;
use super::listing::{Listed, Spool, list};
use super::transfer::{KEEP, Transferred, transfer};
use crate::outcome::{ArchiveKind, Problems};
use crate::progress::Progress;
use crate::repository::archive::fresh_name;
use crate::repository::{Form, Record, RepositoryError};
use crate::stop::Stop;
use crate::tree::snapshot::{FEW_ENTRIES, Made, Snapshot, TreeError};

/// Where rsync keeps what it has of a file when it is cut off, in each folder.
const PARTIAL_DIR: &str = ".rackhaven-partial";

/// Makes a tree of what the job selects on another machine. `state` is the job's own folder of state.
///
/// # Errors
/// When there is no tree then. What was transferred stays for the next run.
pub fn make_far(
    far: Far<'_>,
    state: &Path,
    snapshot: &Snapshot<'_>,
    bytes_per_second: Option<u64>,
    problems: &Problems,
    progress: &Progress,
    stop: &Stop,
) -> Result<Made, TreeError> {
    let mut unfinished = far.unfinished()?;
    let archives = far.store().list()?;
    let last = Far::last(&archives).map(|last| last.name.clone()).filter(|_| !snapshot.full);
    let taken: Vec<String> =
        archives.iter().map(|archive| archive.name.clone()).chain(unfinished.iter().cloned()).collect();
    let name = fresh_name(snapshot.started_unix_ms, Form::Tree, &taken);
    let spool = Spool::new(state);
    let listed = list(&spool, snapshot, &name, last.as_deref(), problems, progress, stop)?;
    if let Some(before) = listed.before.filter(|before| *before >= FEW_ENTRIES && listed.entries < before / 2) {
        return Err(TreeError::Vanished { before, now: listed.entries });
    }
    let call = Call { far, spool: &spool, roots: listed.roots.as_deref(), bytes_per_second, problems, progress, stop };
    // The newest of those that were cut off is gone on with, so that a file of which a part is there is not begun again;
    // then the new tree shares with it. The new one holds nothing but what is there now.
    unfinished.sort();
    let resumed = unfinished.pop();
    // A daemon may take what is sent and let nothing be removed.
    let mut left: Vec<String> = unfinished.iter().filter_map(|other| discard(far, other)).collect();
    let mut share: Vec<String> = last.iter().cloned().collect();
    if let Some(resumed) = &resumed {
        call.perform(Into::Begun(&far.while_written(resumed)), &share, &Problems::default())?;
        share.insert(0, far.while_written(resumed));
    }
    let written = far.while_written(&name);
    let mut told = call.perform(Into::New(&written), &share, problems)?;
    if listed.sly > 0 {
        let more = call.perform(Into::Sly(&written), &[], problems)?;
        told.lacking.extend(more.lacking);
        told.notes.extend(more.notes);
    }
    let record = finish(&call, snapshot, &name, &listed)?;
    left.extend(resumed.and_then(|resumed| discard(far, &resumed)));
    keep_manifest(&spool)?;
    told.notes.extend(left);
    told.notes.dedup();
    Ok(Made { record, entries_removed: listed.removed, notes: told.notes })
}

/// Removes a tree that was cut off. Says so if that cannot be done.
fn discard(far: Far<'_>, name: &str) -> Option<String> {
    let discarded = far.discard(&far.while_written(name));
    discarded.err().map(|error| format!("{name} was cut off, and stays: {error}"))
}

struct Call<'a> {
    far: Far<'a>,
    spool: &'a Spool,
    /// The sources, if rsync can go through them by itself.
    roots: Option<&'a [Vec<u8>]>,
    bytes_per_second: Option<u64>,
    problems: &'a Problems,
    progress: &'a Progress,
    stop: &'a Stop,
}

/// The tree that a call writes to.
#[derive(Clone, Copy)]
enum Into<'a> {
    /// Nothing is there yet.
    New(&'a str),
    /// A run before was cut off here.
    Begun(&'a str),
    /// All but what rsync takes for unchanged is there.
    Sly(&'a str),
}

impl Call<'_> {
    /// Transfers into a tree. What did not change is shared with others.
    fn perform(&self, into: Into<'_>, share: &[String], problems: &Problems) -> Result<Transferred, TreeError> {
        match self.transfer(into, share, problems, true) {
            // Before 3.1.3 rsync cannot do that together with holes, and compares whole seconds only.
            Err(RepositoryError::Remote(why)) if why.contains("--inplace") || why.contains("modify-window") => {
                self.transfer(into, share, problems, false)
            }
            done => done,
        }
        .map_err(|error| if self.stop.is_requested() { TreeError::Stopped } else { error.into() })
    }

    fn transfer(
        &self,
        into: Into<'_>,
        share: &[String],
        problems: &Problems,
        in_place: bool,
    ) -> Result<Transferred, RepositoryError> {
        let mut command = self.far.command();
        command.args(KEEP).args(["--relative", "--from0"]);
        // In a new tree a file has no other name yet, so that it can be written where it is to be, which takes a third less
        // time. Elsewhere it may have one in a tree of the past.
        if in_place && matches!(into, Into::New(_)) {
            command.arg("--inplace");
        } else {
            command.arg(format!("--partial-dir={PARTIAL_DIR}"));
        }
        // What changed in the second in which the run before copied it is not as it was.
        if in_place && matches!(into, Into::Begun(_)) {
            command.arg("--modify-window=-1");
        }
        if let Some(pace) = self.bytes_per_second {
            command.arg(format!("--bwlimit={}", (pace / 1024).max(1)));
        }
        for other in share {
            command.arg(format!("--link-dest=../{other}"));
        }
        let list = |path: &Path| format!("--files-from={}", path.display());
        match (into, self.roots) {
            (Into::Sly(_), _) => command.args(["--ignore-times", &list(&self.spool.sly), "--"]).arg("/"),
            (_, Some(roots)) if !roots.is_empty() => {
                command.arg(format!("--exclude-from={}", self.spool.rules.display())).arg("--");
                command.args(roots.iter().map(|root| OsStr::from_bytes(root)))
            }
            _ => command.args([&list(&self.spool.paths), "--"]).arg("/"),
        };
        let (Into::New(name) | Into::Begun(name) | Into::Sly(name)) = into;
        command.arg(self.far.address(&format!("{name}/")));
        transfer(self.far, command, problems, self.progress, self.stop)
    }
}

fn finish(call: &Call<'_>, snapshot: &Snapshot<'_>, name: &str, listed: &Listed) -> Result<Record, TreeError> {
    if call.stop.is_requested() {
        return Err(TreeError::Stopped);
    }
    let record = Record {
        format: 1,
        name: name.to_owned(),
        sequence: 0,
        received_unix_ms: crate::clock::unix_ms(),
        started_unix_ms: snapshot.started_unix_ms,
        kind: ArchiveKind::Snapshot,
        base: None,
        outcome: call.problems.outcome(),
        entries: listed.entries,
        source_bytes: listed.content_bytes,
        stored_bytes: call.progress.status().bytes_stored,
        verified: None,
    };
    Ok(call.far.publish(record, &call.spool.manifest)?)
}

/// With this the next run compares.
fn keep_manifest(spool: &Spool) -> Result<(), TreeError> {
    let kept = || -> std::io::Result<()> {
        fs::File::open(&spool.manifest)?.sync_all()?;
        fs::rename(&spool.manifest, &spool.last)?;
        fs::remove_file(&spool.paths)?;
        let _ = fs::remove_file(&spool.rules);
        fs::remove_file(&spool.sly)
    };
    kept().map_err(|error| RepositoryError::io("keeping the manifest", error).into())
}
