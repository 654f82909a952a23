use std::collections::BTreeMap;

use prost::Message;
use rackhaven_proto::model::{Labels, LastRun, NodeFacts, NodeName, NodeState};
use rackhaven_proto::v1;
use rusqlite::{Connection, params};

use super::audit::append;
use super::{AuditEntry, Store, StoreError};

/// A node as it is on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    /// Unique.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// When it enrolled, milliseconds since 1970-01-01 UTC.
    pub enrolled_ms: i64,
    /// The state it was last seen to go into.
    pub state: NodeState,
    /// When that was.
    pub state_ms: i64,
    /// When it was last heard at such a moment.
    pub heard_ms: Option<i64>,
    /// Empty if it never connected.
    pub agent_version: String,
    /// None if it never connected.
    pub facts: Option<NodeFacts>,
    /// How its agent's last run ended.
    pub last_run: Option<LastRun>,
}

pub(super) fn labels_to_json(labels: &Labels) -> String {
    serde_json::to_string(&BTreeMap::<String, String>::from(labels)).unwrap_or_else(|_| "{}".to_owned())
}

pub(super) fn labels_from_json(text: &str) -> Result<Labels, StoreError> {
    serde_json::from_str::<BTreeMap<String, String>>(text)
        .map_err(|error| StoreError::BadRow { what: "label", reason: error.to_string() })
        .and_then(|map| Labels::try_from(map).map_err(StoreError::bad("label")))
}

pub(super) fn insert(connection: &Connection, name: &NodeName, labels: &Labels, now_ms: i64) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO nodes (name, labels, enrolled_ms, state, state_ms, agent_version) \
             VALUES (?1, ?2, ?3, 'unknown', ?3, '') ON CONFLICT (name) DO NOTHING",
            params![name.as_str(), labels_to_json(labels), now_ms],
        )
        .map(drop)
        .map_err(StoreError::sqlite("storing a node"))
}

pub(super) fn exists(connection: &Connection, name: &NodeName) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT count(*) FROM nodes WHERE name = ?1", [name.as_str()], |row| row.get::<_, i64>(0))
        .map(|count| count > 0)
        .map_err(StoreError::sqlite("reading a node"))
}

impl Store {
    /// All nodes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.run(|connection| {
            let mut statement = connection
                .prepare(
                    "SELECT name, labels, enrolled_ms, state, state_ms, heard_ms, agent_version, facts, last_run FROM nodes",
                )
                .map_err(StoreError::sqlite("reading nodes"))?;
            let mut rows = statement.query([]).map_err(StoreError::sqlite("reading nodes"))?;
            let mut nodes = Vec::new();
            while let Some(row) = rows.next().map_err(StoreError::sqlite("reading nodes"))? {
                nodes.push(read(row)?);
            }
            Ok(nodes)
        })
        .await
    }

    /// Writes down the state that a node went into.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_node_state(
        &self,
        name: NodeName,
        state: NodeState,
        now_ms: i64,
        heard_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE nodes SET state = ?2, state_ms = ?3, heard_ms = coalesce(?4, heard_ms) WHERE name = ?1",
                )
                .and_then(|mut statement| statement.execute(params![name.as_str(), state.as_str(), now_ms, heard_ms]))
                .map(drop)
                .map_err(StoreError::sqlite("storing a node's state"))
        })
        .await
    }

    /// Writes down what a node said of itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_node_facts(
        &self,
        name: NodeName,
        agent_version: String,
        facts: NodeFacts,
        last_run: Option<LastRun>,
    ) -> Result<(), StoreError> {
        self.run(move |connection| {
            let facts = v1::NodeFacts::from(facts).encode_to_vec();
            let last_run = last_run.map(|last| v1::LastRun::from(last).encode_to_vec());
            connection
                .prepare_cached("UPDATE nodes SET agent_version = ?2, facts = ?3, last_run = ?4 WHERE name = ?1")
                .and_then(|mut statement| statement.execute(params![name.as_str(), agent_version, facts, last_run]))
                .map(drop)
                .map_err(StoreError::sqlite("storing a node's facts"))
        })
        .await
    }

    /// Replaces a node's labels.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_node_labels(&self, name: NodeName, labels: Labels, audit: AuditEntry) -> Result<(), StoreError> {
        self.run(move |connection| {
            append(connection, &audit)?;
            connection
                .execute(
                    "UPDATE nodes SET labels = ?2 WHERE name = ?1",
                    params![name.as_str(), labels_to_json(&labels)],
                )
                .map(drop)
                .map_err(StoreError::sqlite("storing a node's labels"))
        })
        .await
    }

    /// Forgets a node and revokes all of its certificates and open invitations.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_node(&self, name: NodeName, now_ms: i64, audit: AuditEntry) -> Result<(), StoreError> {
        self.run(move |connection| {
            append(connection, &audit)?;
            super::certificates::revoke_all(connection, "node", name.as_str(), now_ms)?;
            for sql in [
                "DELETE FROM nodes WHERE name = ?1",
                "DELETE FROM tokens WHERE purpose IN ('node', 'rejoin') AND name = ?1",
                "DELETE FROM commands WHERE node = ?1",
                "DELETE FROM backup_jobs WHERE node = ?1",
                "DELETE FROM backup_runs WHERE node = ?1",
                "DELETE FROM backup_archives WHERE node = ?1",
                "DELETE FROM backup_troubles WHERE node = ?1",
                "DELETE FROM backup_given WHERE node = ?1",
                "DELETE FROM backup_given_revisions WHERE node = ?1",
            ] {
                connection.execute(sql, [name.as_str()]).map_err(StoreError::sqlite("removing a node"))?;
            }
            Ok(())
        })
        .await
    }
}

fn read(row: &rusqlite::Row<'_>) -> Result<NodeRow, StoreError> {
    let column = StoreError::sqlite("reading a node");
    let text = |index: usize| row.get::<_, String>(index);
    let (name, labels, state) = (|| Ok((text(0)?, text(1)?, text(3)?)))().map_err(column)?;
    let numbers = (|| Ok((row.get(2)?, row.get(4)?, row.get(5)?, text(6)?)))();
    let (enrolled_ms, state_ms, heard_ms, agent_version) = numbers.map_err(StoreError::sqlite("reading a node"))?;
    let blobs = (|| Ok((row.get::<_, Option<Vec<u8>>>(7)?, row.get::<_, Option<Vec<u8>>>(8)?)))();
    let (facts, last_run) = blobs.map_err(StoreError::sqlite("reading a node"))?;
    let bad_blob = |error: prost::DecodeError| StoreError::BadRow { what: "node", reason: error.to_string() };
    let facts = facts
        .map(|bytes| {
            let wire = v1::NodeFacts::decode(bytes.as_slice()).map_err(bad_blob)?;
            NodeFacts::try_from(wire).map_err(StoreError::bad("node"))
        })
        .transpose()?;
    let last_run = last_run
        .map(|bytes| {
            let wire = v1::LastRun::decode(bytes.as_slice()).map_err(bad_blob)?;
            LastRun::try_from(wire).map_err(StoreError::bad("node"))
        })
        .transpose()?;
    let state = match state.as_str() {
        "up" => NodeState::Up,
        "suspect" => NodeState::Suspect,
        "down" => NodeState::Down,
        "off" => NodeState::Off,
        _ => NodeState::Unknown,
    };
    Ok(NodeRow {
        name: name.parse().map_err(StoreError::bad("node"))?,
        labels: labels_from_json(&labels)?,
        enrolled_ms,
        state,
        state_ms,
        heard_ms,
        agent_version,
        facts,
        last_run,
    })
}
