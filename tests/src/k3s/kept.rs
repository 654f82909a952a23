//! What a server keeps of the cluster: in SQLite, or where etcd would have it.

use std::fs;

use anyhow::{Context, bail, ensure};
use rusqlite::Connection;
use serde_json::Value;

use super::config::Config;
use super::paths::{at, text, write};

const DB: &str = "/var/lib/rancher/k3s/server/db";
const SQLITE: &str = "/var/lib/rancher/k3s/server/db/state.db";
const ETCD: &str = "/var/lib/rancher/k3s/server/db/etcd/member/snap/db";

/// Where the cluster is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datastore {
    Sqlite,
    Etcd,
}

impl Datastore {
    /// The one that is there, or that the configuration wants.
    pub(super) fn choose(config: &Config) -> Self {
        let is_etcd = at(ETCD).exists() || config.says("cluster-init") || !config.text("server").is_empty();
        if is_etcd { Self::Etcd } else { Self::Sqlite }
    }

    /// What was kept.
    pub(super) fn load(self) -> anyhow::Result<Option<Value>> {
        let kept = match self {
            Self::Etcd => at(ETCD).exists().then(|| text(ETCD)).transpose()?,
            Self::Sqlite if !at(SQLITE).exists() => None,
            Self::Sqlite => {
                let read = "SELECT value FROM kine WHERE name = 'cluster'";
                Connection::open(at(SQLITE))?.query_row(read, [], |row| row.get::<_, String>(0)).ok()
            }
        };
        kept.map(|kept| serde_json::from_str(&kept).context("the datastore is damaged")).transpose()
    }

    /// Keeps it.
    pub(super) fn save(self, saved: &Value) -> anyhow::Result<()> {
        match self {
            Self::Etcd => write(ETCD, saved.to_string(), 0o600),
            Self::Sqlite => {
                fs::create_dir_all(at(DB))?;
                let connection = Connection::open(at(SQLITE))?;
                connection.execute_batch("CREATE TABLE IF NOT EXISTS kine (name TEXT PRIMARY KEY, value TEXT)")?;
                connection.execute("INSERT OR REPLACE INTO kine VALUES ('cluster', ?1)", [saved.to_string()])?;
                Ok(())
            }
        }
    }
}

/// `k3s etcd-snapshot save --name NAME` and `prune --name NAME --snapshot-retention N`.
pub(super) fn etcd_snapshot(words: &[String]) -> anyhow::Result<()> {
    ensure!(at(ETCD).exists(), "etcd datastore disabled");
    let folder = at(DB).join("snapshots");
    fs::create_dir_all(&folder)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let config = Config::read("server", &[])?;
    let node = config.text("node-name");
    match words.as_slice() {
        ["save", "--name", name] => {
            #[expect(clippy::disallowed_methods, reason = "the double's clock")]
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
            fs::copy(at(ETCD), folder.join(format!("{name}-{node}-{now}")))?;
            Ok(())
        }
        ["prune", "--name", name, "--snapshot-retention", keep] => {
            let start = format!("{name}-{node}-");
            let mut ours: Vec<_> = fs::read_dir(&folder)?
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(&start))
                .map(|entry| entry.path())
                .collect();
            ours.sort();
            let old = ours.len().saturating_sub(keep.parse()?);
            ours[..old].iter().try_for_each(fs::remove_file)?;
            Ok(())
        }
        _ => bail!("the double's etcd-snapshot does not know {words:?}"),
    }
}
