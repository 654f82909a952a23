use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rackhaven_proto::v1::backup_change::Change;
use tokio::sync::broadcast;

use super::{ArchiveFacts, Backups, FEED_LENGTH, Finding, Inner, Known, OfNode, Running, Trouble};
use crate::store::{BackupRunRow, GivenJobs, JobArchives};

/// Most runs of a node that are known to be under way.
const MAX_RUNNING: usize = 64;
/// Most jobs that are remembered of a node, past ones too.
const MAX_JOBS: usize = 128;
/// A run that nothing was heard of for so long is not under way any more as far as lateness goes, milliseconds.
const SILENT_MS: u64 = 600_000;
/// And so long it is shown, milliseconds.
const FORGOTTEN_MS: u64 = 24 * 3_600_000;

/// What the store knows of backups at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What each node last told of its jobs.
    pub jobs: Vec<(NodeName, v1::BackupJobs)>,
    /// The runs that count, oldest first.
    pub runs: Vec<BackupRunRow>,
    /// All archives.
    pub archives: Vec<JobArchives>,
    /// The troubles that stand: node, job, word.
    pub troubles: Vec<(String, String, String)>,
    /// What nodes are given.
    pub given: BTreeMap<NodeName, GivenJobs>,
}

/// What has changed with a job's troubles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Whose job it is.
    pub node: NodeName,
    /// The job.
    pub job: String,
    /// What has begun.
    pub begun: Vec<Finding>,
    /// What does not stand any more.
    pub resolved: Vec<Trouble>,
    /// Nothing is wrong any more, and the job is still there.
    pub well: bool,
}

impl Backups {
    /// With what the store knows.
    pub fn load(loaded: Loaded) -> Self {
        let mut inner = Inner::default();
        for (node, told) in loaded.jobs {
            inner.nodes.entry(node).or_default().take_jobs(told);
        }
        for BackupRunRow { node, run } in loaded.runs {
            inner.nodes.entry(node).or_default().known(&run.job).take(&run);
        }
        for JobArchives { node, job, archives } in loaded.archives {
            inner.nodes.entry(node).or_default().known(&job).archives = Some(ArchiveFacts::new(&archives));
        }
        for (node, job, trouble) in loaded.troubles {
            if let (Ok(node), Ok(trouble)) = (node.parse::<NodeName>(), trouble.parse()) {
                inner.nodes.entry(node).or_default().known(&job).standing.insert(trouble);
            }
        }
        for (node, given) in loaded.given {
            inner.nodes.entry(node).or_default().given = given;
        }
        Self { inner: Mutex::new(inner), feed: broadcast::Sender::new(FEED_LENGTH) }
    }

    /// Takes in what a node tells of its jobs; false if it told the same before.
    pub fn jobs_told(&self, node: &NodeName, told: v1::BackupJobs) -> bool {
        self.lock().nodes.entry(node.clone()).or_default().take_jobs(told)
    }

    /// Takes in how far a run is.
    pub fn progress(&self, node: &NodeName, progress: v1::BackupProgress, now_ms: u64) {
        {
            let mut inner = self.lock();
            inner.heard_of(&progress.run_id, node);
            let key = (node.clone(), progress.run_id.clone());
            let full = inner.running.keys().filter(|(of, _)| of == node).count() >= MAX_RUNNING;
            if full && !inner.running.contains_key(&key) {
                return;
            }
            inner.running.insert(key, Running { progress: progress.clone(), heard_ms: now_ms });
        }
        self.tell(node, Change::Progress(progress));
    }

    /// Takes in a run that has ended and is stored. `new`: it was not stored before.
    pub fn ended(&self, node: &NodeName, run: v1::BackupRun, archives: Option<&[v1::BackupArchive]>, new: bool) {
        {
            let mut inner = self.lock();
            if inner.orders.get(&run.run_id).is_some_and(|order| order.node == *node) {
                inner.orders.remove(&run.run_id);
            }
            inner.running.remove(&(node.clone(), run.run_id.clone()));
            if new {
                let known = inner.nodes.entry(node.clone()).or_default().known(&run.job);
                known.take(&run);
                if let Some(archives) = archives {
                    known.archives = Some(ArchiveFacts::new(archives));
                }
            }
        }
        if new {
            self.tell(node, Change::Ended(run));
        }
    }

    /// Judges the jobs of a node, or all, and tells what has changed since they were judged last.
    pub fn judge(&self, only: Option<&NodeName>, now_ms: u64, wall_ms: i64) -> Vec<Settlement> {
        let Inner { nodes, running, .. } = &mut *self.lock();
        running.retain(|_, run| now_ms.saturating_sub(run.heard_ms) < FORGOTTEN_MS);
        let mut changed = Vec::new();
        for (node, of_node) in nodes.iter_mut().filter(|(node, _)| only.is_none_or(|only| only == *node)) {
            for (job, known) in &mut of_node.jobs {
                let is_running = running.iter().any(|((of, _), run)| {
                    of == node && run.progress.job == *job && now_ms.saturating_sub(run.heard_ms) < SILENT_MS
                });
                let (begun, resolved) = known.settle(known.judge(is_running, wall_ms));
                if !begun.is_empty() || !resolved.is_empty() {
                    let well = known.standing.is_empty() && known.told.is_some();
                    changed.push(Settlement { node: node.clone(), job: job.clone(), begun, resolved, well });
                }
            }
        }
        changed
    }

    /// A trouble could not be told: it is found again.
    pub fn not_told(&self, node: &NodeName, job: &str, trouble: Trouble) {
        if let Some(known) = self.lock().nodes.get_mut(node).and_then(|of_node| of_node.jobs.get_mut(job)) {
            known.standing.remove(&trouble);
        }
    }

    /// What is under way.
    pub fn running(&self) -> Vec<v1::BackupChange> {
        let inner = self.lock();
        let change = |((node, _), run): (&(NodeName, String), &Running)| v1::BackupChange {
            node: node.to_string(),
            change: Some(Change::Progress(run.progress.clone())),
        };
        inner.running.iter().map(change).collect()
    }

    /// All jobs of these nodes (none for all), by node and name.
    pub fn list(&self, nodes: &[String]) -> Vec<v1::NodeBackupJob> {
        let inner = self.lock();
        let mut listed = Vec::new();
        for (node, of_node) in &inner.nodes {
            if nodes.is_empty() || nodes.iter().any(|name| name == node.as_str()) {
                listed.extend(of_node.list(node, &inner.running));
            }
        }
        listed
    }

    /// What is wrong with which job of which node.
    pub fn troubles(&self) -> Vec<(NodeName, String, Trouble)> {
        let inner = self.lock();
        let jobs = inner.nodes.iter().flat_map(|(node, of_node)| of_node.jobs.iter().map(move |job| (node, job)));
        let told = jobs.filter(|(_, (_, known))| known.told.is_some());
        told.flat_map(|(node, (job, known))| {
            known.standing.iter().map(move |trouble| (node.clone(), job.clone(), *trouble))
        })
        .collect()
    }

    /// All backups in a few figures; none without a job.
    pub fn summary(&self, wall_ms: i64) -> Option<v1::BackupSummary> {
        let inner = self.lock();
        let mut summary = v1::BackupSummary::default();
        let mut oldest_good_ms: Option<i64> = None;
        let told = inner.nodes.values().flat_map(|of_node| of_node.jobs.values());
        for known in told.filter(|known| known.told.is_some()) {
            summary.jobs += 1;
            let has = |trouble| u32::from(known.standing.contains(&trouble));
            summary.failed += has(Trouble::Failed);
            summary.late += has(Trouble::Late);
            let [failed, late] = [Trouble::Failed, Trouble::Late].map(|trouble| known.standing.contains(&trouble));
            summary.troubled += u32::from(!failed && !late && !known.standing.is_empty());
            match &known.good {
                Some(run) => {
                    oldest_good_ms = Some(oldest_good_ms.map_or(run.ended_unix_ms, |ms| ms.min(run.ended_unix_ms)));
                }
                None => summary.never += 1,
            }
        }
        summary.running = u32::try_from(inner.running.len()).unwrap_or(u32::MAX);
        summary.oldest_good_age_ms =
            oldest_good_ms.map(|ms| u64::try_from(wall_ms.saturating_sub(ms)).unwrap_or_default());
        (summary.jobs > 0).then_some(summary)
    }

    /// What a node is given.
    pub fn given(&self, node: &NodeName) -> GivenJobs {
        self.lock().nodes.get(node).map_or_else(GivenJobs::default, |of_node| of_node.given.clone())
    }

    /// The nodes that are given a job of one of these names.
    pub fn nodes_given(&self, jobs: &[String]) -> Vec<NodeName> {
        let inner = self.lock();
        let has = |of_node: &OfNode| jobs.iter().any(|job| of_node.given.jobs.contains_key(job));
        inner.nodes.iter().filter(|(_, of_node)| has(of_node)).map(|(node, _)| node.clone()).collect()
    }

    /// The set of given jobs that a node has said to have in effect.
    pub fn told_revision(&self, node: &NodeName) -> u64 {
        self.lock().nodes.get(node).map_or(0, |of_node| of_node.told_revision)
    }

    /// Replaces what a node is given; it is stored already.
    pub fn set_given(&self, node: &NodeName, given: GivenJobs) {
        self.lock().nodes.entry(node.clone()).or_default().given = given;
    }

    /// Forgets a node.
    pub fn forget(&self, node: &NodeName) {
        let mut inner = self.lock();
        inner.nodes.remove(node);
        inner.running.retain(|(of, _), _| of != node);
        inner.orders.retain(|_, order| order.node != *node);
    }
}

impl OfNode {
    /// The job's place. What is remembered of past jobs makes room.
    fn known(&mut self, job: &str) -> &mut Known {
        if self.jobs.len() >= MAX_JOBS && !self.jobs.contains_key(job) {
            let past = self.jobs.iter().find(|(_, known)| known.told.is_none()).map(|(name, _)| name.clone());
            if let Some(past) = past {
                self.jobs.remove(&past);
            }
        }
        self.jobs.entry(job.to_owned()).or_default()
    }

    fn take_jobs(&mut self, told: v1::BackupJobs) -> bool {
        let mut fresh: BTreeMap<String, v1::BackupJob> =
            told.jobs.into_iter().map(|job| (job.name.clone(), job)).collect();
        let mut changed = self.told_revision != told.given_revision;
        self.told_revision = told.given_revision;
        for (name, known) in &mut self.jobs {
            let now = fresh.remove(name);
            changed |= now != known.told;
            known.told = now;
        }
        for (name, job) in fresh {
            changed = true;
            self.known(&name).told = Some(job);
        }
        changed
    }

    fn list(&self, node: &NodeName, running: &HashMap<(NodeName, String), Running>) -> Vec<v1::NodeBackupJob> {
        let mut listed: BTreeMap<&str, v1::NodeBackupJob> = BTreeMap::new();
        for (name, known) in &self.jobs {
            let Some(told) = &known.told else { continue };
            let progress = running.iter().find(|((of, _), run)| of == node && run.progress.job == *name);
            let job = v1::NodeBackupJob {
                node: node.to_string(),
                job: Some(told.clone()),
                last: known.save.clone(),
                last_good: known.good.clone(),
                running: progress.map(|(_, run)| run.progress.clone()),
                late: known.standing.contains(&Trouble::Late),
                pending: false,
                troubles: known.standing.iter().map(|trouble| trouble.as_str().to_owned()).collect(),
            };
            listed.insert(name, job);
        }
        for (name, given) in &self.given.jobs {
            if given.revision <= self.told_revision {
                continue;
            }
            let entry = listed.entry(name).or_insert_with(|| v1::NodeBackupJob {
                node: node.to_string(),
                job: Some(v1::BackupJob { name: name.clone(), given: true, ..v1::BackupJob::default() }),
                ..v1::NodeBackupJob::default()
            });
            entry.pending = true;
        }
        listed.into_values().collect()
    }
}

impl Inner {
    /// The node that was ordered to begin this run has begun it.
    fn heard_of(&mut self, run_id: &str, node: &NodeName) {
        if let Some(order) = self.orders.get_mut(run_id).filter(|order| order.node == *node) {
            order.heard = true;
        }
    }
}
