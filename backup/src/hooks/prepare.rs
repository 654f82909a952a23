//! Consistent copies of what changes while it is read: databases of SQLite, and what a K3s server is restored from.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rackhaven_proto::model::backup::Hooks;

use super::HookError;
use crate::child;
use crate::clock::steady;
use crate::stop::Stop;

/// Without it, a snapshot of etcd cannot be restored.
const K3S_TOKEN: &str = "/var/lib/rancher/k3s/server/token";
/// How long a database may be locked by others, milliseconds.
const BUSY_MS: u32 = 30_000;
/// The most that these programs may say, bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Makes copies of what the job names, in `folder`, which is emptied first. Says where they are; `None` if there is
/// nothing to copy.
///
/// # Errors
/// When one could not be made.
pub fn prepare(hooks: &Hooks, folder: &Path, stop: &Stop) -> Result<Option<PathBuf>, HookError> {
    let failed = |error: std::io::Error| HookError::new("prepare", format!("emptying {}: {error}", folder.display()));
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if hooks.sqlite.is_empty() && !hooks.k3s_etcd {
        return Ok(None);
    }
    let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    make(folder).map_err(failed)?;
    let limit = Duration::from_secs(hooks.timeout_s.into());
    for database in &hooks.sqlite {
        let copy = folder.join("sqlite").join(database.strip_prefix("/").unwrap_or(database));
        copy.parent().map_or(Ok(()), make).map_err(failed)?;
        sqlite(database, &copy, limit, stop).map_err(|reason| HookError::new("sqlite", reason))?;
    }
    if hooks.k3s_etcd {
        let copy = folder.join("k3s");
        make(&copy).map_err(failed)?;
        k3s(&copy, limit, stop).map_err(|reason| HookError::new("k3s_etcd", reason))?;
    }
    Ok(Some(folder.to_owned()))
}

fn sqlite(database: &Path, copy: &Path, limit: Duration, stop: &Stop) -> Result<(), String> {
    // The program would make an empty database where there is none.
    if !fs::metadata(database).is_ok_and(|metadata| metadata.is_file()) {
        return Err(format!("there is no database {}", database.display()));
    }
    let text = copy.to_str().ok_or_else(|| format!("{} is no text", copy.display()))?;
    let vacuum = format!("VACUUM INTO '{}'", text.replace('\'', "''"));
    sqlite3(database, &vacuum, limit, stop)?;
    let checked = sqlite3(copy, "PRAGMA quick_check", limit, stop)?;
    match checked.trim() {
        "ok" => Ok(()),
        found => Err(format!("the copy of {} is damaged: {found}", database.display())),
    }
}

fn sqlite3(database: &Path, statement: &str, limit: Duration, stop: &Stop) -> Result<String, String> {
    let mut command = child::command("sqlite3");
    command.args(["-batch", "-bail", "-cmd"]).arg(format!(".timeout {BUSY_MS}")).arg(database).arg(statement);
    call(command, limit, stop).map_err(|why| format!("{}: {why}", database.display()))
}

fn k3s(folder: &Path, limit: Duration, stop: &Stop) -> Result<(), String> {
    let mut command = child::command("k3s");
    command.args(["etcd-snapshot", "save", "--name", "rackhaven", "--dir"]).arg(folder);
    call(command, limit, stop)?;
    fs::copy(K3S_TOKEN, folder.join("token")).map_err(|error| format!("copying {K3S_TOKEN}: {error}"))?;
    let is_snapshot = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("rackhaven");
    let there = fs::read_dir(folder).map_err(|error| format!("reading {}: {error}", folder.display()))?;
    match there.flatten().any(is_snapshot) {
        true => Ok(()),
        false => Err(format!("k3s says that it made a snapshot, and there is none in {}", folder.display())),
    }
}

fn call(command: Command, limit: Duration, stop: &Stop) -> Result<String, String> {
    let ran = child::run(command, b"", MAX_ANSWER_BYTES, steady() + limit, stop);
    let (output, ended) = ran.map_err(|error| error.to_string())?;
    if ended.status.success() {
        Ok(String::from_utf8_lossy(&output).into_owned())
    } else {
        Err(format!("it ended with {}: {}", ended.word(), ended.said))
    }
}
