//! What a node tells of its jobs while the engine is not installed.

use std::collections::BTreeMap;
use std::path::Path;

use rackhaven_proto::model::JobName;
use rackhaven_proto::model::backup::JobLine;

use super::engine::Paths;

/// The jobs by their files' names alone: each is known, and says what to do. The agent reads none of them.
/// The log says it too, loudly as soon as there is a job; `before` is how many there were when it was last looked, if the
/// engine was missing then already.
pub(super) fn jobs(paths: &Paths, before: Option<usize>) -> Vec<JobLine> {
    let program = paths.program.display();
    let problem = format!("there is no backup engine {program}: install rackhaven-backup");
    let mut jobs = BTreeMap::new();
    // The admin's own win over those given.
    for (folder, given) in [(&paths.given, true), (&paths.local, false)] {
        let unusable = |name: JobName| {
            let file = folder.join(format!("{name}.toml"));
            (name.clone(), JobLine::unusable(name, file, given, problem.clone()))
        };
        jobs.extend(names(folder).into_iter().map(unusable));
    }
    match (before, jobs.len()) {
        (None, 0) => tracing::info!(%program, "no backups: there is no engine; rackhaven-backup brings it"),
        (None | Some(0), jobs @ 1..) => {
            tracing::warn!(%program, jobs, "no backups: there is no engine; install rackhaven-backup");
        }
        _ => {}
    }
    jobs.into_values().collect()
}

fn names(folder: &Path) -> Vec<JobName> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".toml")?.parse().ok()).collect()
}
