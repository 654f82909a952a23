//! Saves the state of the cluster, on a server: a snapshot of etcd, or a copy of SQLite.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::SnapshotName;
use rackhaven_proto::v1;

use crate::child::{command, run};
use crate::clock::unix_s;
use crate::files;
use crate::news::Done;
use crate::order::Work;
use crate::paths::{DB, PROGRAM, SERVER_TOKEN};
use crate::record::Record;

/// How long one may take: a card is slow.
const TIME: Duration = Duration::from_secs(600);
/// How copies of SQLite end.
const COPY: &str = ".sqlite";
/// How the token ends that a copy is worth nothing without.
const TOKEN: &str = ".token";

/// Saves it under a name that begins with this one, and removes the oldest of that name but so many.
pub(crate) fn save(work: &mut Work, name: &SnapshotName, keep: u32) -> anyhow::Result<Done> {
    if Record::load(work.root)?.is_none() {
        bail!("there is no K3s of Rackhaven's here");
    }
    let path = if work.root.is_there(&format!("{DB}/etcd")) {
        of_etcd(work, name, keep)?
    } else if work.root.is_there(&format!("{DB}/state.db")) {
        of_sqlite(work, name, keep)?
    } else {
        bail!("this node keeps no state of the cluster: it is no server, or its datastore is elsewhere");
    };
    let bytes = fs::metadata(work.root.at(&path)).with_context(|| format!("looking at {path}"))?.len();
    work.report.snapshot = Some(v1::K3sSnapshotFile { path: path.clone(), bytes });
    Ok(Done::Changed(format!("{path}, {bytes} bytes")))
}

/// The names of this snapshot that are kept, and those that are not: all but the newest. What follows the name tells the
/// age, if `age` understands it.
fn sorted<'a>(names: &'a [String], keep: u32, age: impl Fn(&str) -> Option<u64>) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut ours: Vec<(u64, &str)> = names.iter().filter_map(|name| Some((age(name)?, name.as_str()))).collect();
    ours.sort_unstable();
    let (old, kept) = ours.split_at(ours.len().saturating_sub(keep as usize));
    let plain = |all: &[(u64, &'a str)]| all.iter().map(|(_, name)| *name).collect();
    (plain(kept), plain(old))
}

/// etcd's snapshots are called NAME-NODE-SECONDS.
fn age_of_etcd(snapshot: &str, name: &SnapshotName, node: &str) -> Option<u64> {
    let rest = snapshot.strip_prefix(name.as_str())?.strip_prefix('-')?.strip_prefix(node)?.strip_prefix('-')?;
    rest.trim_end_matches(".zip").parse().ok()
}

fn of_etcd(work: &mut Work, name: &SnapshotName, keep: u32) -> anyhow::Result<String> {
    let folder = format!("{DB}/snapshots");
    let before = work.root.names(&folder);
    k3s(work, &["etcd-snapshot", "save", "--name", name.as_str()])?;
    let node = Record::load(work.root)?.map(|record| record.node_name).unwrap_or_default();
    let now = work.root.names(&folder);
    let made = now.iter().filter(|snapshot| !before.contains(snapshot) && age_of_etcd(snapshot, name, &node).is_some());
    let made = made
        .max_by_key(|snapshot| age_of_etcd(snapshot, name, &node))
        .with_context(|| format!("K3s says that it saved, but nothing new is in {folder}"))?;
    let keep = keep.to_string();
    k3s(work, &["etcd-snapshot", "prune", "--name", name.as_str(), "--snapshot-retention", &keep])?;
    Ok(format!("{folder}/{made}"))
}

fn k3s(work: &Work, words: &[&str]) -> anyhow::Result<()> {
    let mut k3s = command(work.root.at(PROGRAM));
    k3s.args(words);
    run(k3s, b"", TIME, work.stop)?.fine(&format!("k3s {}", words[..2].join(" ")))?;
    Ok(())
}

/// Ours are called NAME-SECONDS.sqlite.
fn age_of_copy(copy: &str, name: &SnapshotName) -> Option<u64> {
    copy.strip_suffix(COPY)?.strip_prefix(name.as_str())?.strip_prefix('-')?.parse().ok()
}

fn of_sqlite(work: &mut Work, name: &SnapshotName, keep: u32) -> anyhow::Result<String> {
    let folder = format!("{DB}/snapshots");
    files::make_folder(&work.root.at(&folder), 0o700)?;
    let stem = format!("{folder}/{name}-{}", unix_s());
    let unfinished = work.root.at(&format!("{folder}/.unfinished"));
    files::remove_if_there(&unfinished)?;
    let mut sqlite = command("sqlite3");
    sqlite.arg(work.root.at(&format!("{DB}/state.db")));
    let script = format!(".timeout 60000\n.backup '{}'\n", unfinished.display());
    if unfinished.display().to_string().contains('\'') {
        bail!("{} holds a quote", unfinished.display());
    }
    match run(sqlite, script.as_bytes(), TIME, work.stop) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("sqlite3 is missing: apt install sqlite3"),
        ended => drop(ended?.fine("sqlite3 .backup")?),
    }
    let token = work.root.read(SERVER_TOKEN)?.with_context(|| format!("there is no {SERVER_TOKEN}"))?;
    files::replace(&work.root.at(&format!("{stem}{TOKEN}")), &token, 0o600)?;
    let sum = files::sum_of(&unfinished, &mut |_| work.go_on())?.0;
    files::copy(&unfinished, &work.root.at(&format!("{stem}{COPY}")), 0o600, sum, &mut |_| work.go_on())?;
    files::remove_if_there(&unfinished)?;
    let names = work.root.names(&folder);
    for old in sorted(&names, keep, |copy| age_of_copy(copy, name)).1 {
        files::remove_if_there(&work.root.at(&format!("{folder}/{old}")))?;
        files::remove_if_there(&work.root.at(&format!("{folder}/{}{TOKEN}", old.trim_end_matches(COPY))))?;
    }
    Ok(format!("{stem}{COPY}"))
}

#[cfg(test)]
mod tests {
    use super::{age_of_copy, age_of_etcd, sorted};

    #[test]
    fn golden() {
        let name = "daily".parse().unwrap();
        assert_eq!(age_of_etcd("daily-master-1767225600", &name, "master"), Some(1_767_225_600));
        assert_eq!(age_of_etcd("daily-master-1767225600.zip", &name, "master"), Some(1_767_225_600));
        assert_eq!(age_of_etcd("daily-2-master-1767225600", &name, "master"), None);
        assert_eq!(age_of_copy("daily-12.sqlite", &name), Some(12));
        assert_eq!(age_of_copy("daily-12.token", &name), None);
        let names = ["daily-9.sqlite", "daily-10.sqlite", "daily-11.sqlite", "other-1.sqlite"].map(str::to_owned);
        let (kept, old) = sorted(&names, 2, |copy| age_of_copy(copy, &name));
        assert_eq!((kept, old), (vec!["daily-10.sqlite", "daily-11.sqlite"], vec!["daily-9.sqlite"]));
    }
}
