//! Backups as the controller sees them: an agent spoken by hand tells of its jobs and runs, and is told what to do.

mod given;
mod rights;
mod runs;
mod troubles;

use rackhaven_pki::Credentials;
use rackhaven_proto::model::NodeState;
use rackhaven_proto::v1;
use rackhaven_proto::v1::agent_message::Body;
use rackhaven_proto::v1::backup_action::Action;
use rackhaven_proto::v1::backup_change::Change;
use rackhaven_proto::v1::backups_client::BackupsClient;
use rackhaven_proto::v1::controller_message::Body as Answer;
use rackhaven_tests::client::connect;
use rackhaven_tests::hand::{self, HandSession, heartbeat};
use rackhaven_tests::{Fleet, wait_for};
use tonic::transport::Channel;
use tonic::{Code, Status};

const HOUR: i64 = 3_600_000;

/// A fleet with the identity of a node that is spoken by hand.
async fn fleet() -> (Fleet, Credentials) {
    let fleet = Fleet::start().await.unwrap();
    let node = join(&fleet, "pi-1").await;
    (fleet, node)
}

async fn join(fleet: &Fleet, name: &str) -> Credentials {
    let token = fleet.invite(&format!("--name {name}")).await.unwrap();
    hand::join(&fleet.endpoint().parse().unwrap(), &token, name).await.unwrap()
}

fn now_ms() -> i64 {
    match heartbeat() {
        Body::Heartbeat(heartbeat) => heartbeat.wall_unix_ms,
        _ => unreachable!(),
    }
}

fn job(name: &str) -> v1::BackupJob {
    v1::BackupJob {
        name: name.to_owned(),
        engine: "tar".to_owned(),
        sources: vec!["/etc".to_owned()],
        repository: "/mnt/nas".to_owned(),
        schedule: "daily".to_owned(),
        next_unix_ms: Some(now_ms() + HOUR),
        ..v1::BackupJob::default()
    }
}

fn jobs(names: &[&str]) -> Body {
    let jobs = names.iter().map(|name| job(name)).collect();
    Body::BackupJobs(v1::BackupJobs { jobs, given_revision: 0 })
}

fn run(id: &str, outcome: v1::BackupOutcome) -> v1::BackupRun {
    v1::BackupRun {
        run_id: id.to_owned(),
        job: "etc".to_owned(),
        action: "save".to_owned(),
        trigger: "schedule".to_owned(),
        started_unix_ms: now_ms() - 60_000,
        ended_unix_ms: now_ms(),
        outcome: outcome.into(),
        message: "said the engine".to_owned(),
        files: 10,
        bytes_read: 4096,
        bytes_stored: 1024,
        ..v1::BackupRun::default()
    }
}

fn report(run: v1::BackupRun, archives: Option<Vec<v1::BackupArchive>>) -> Body {
    let archives = archives.map(|archives| v1::BackupArchives { archives });
    Body::BackupReport(v1::BackupReport { run: Some(run), archives })
}

fn archive(age_hours: i64, bytes: u64) -> v1::BackupArchive {
    v1::BackupArchive {
        name: format!("{age_hours}-full.tar.zst"),
        kind: "full".to_owned(),
        made_unix_ms: now_ms() - age_hours * HOUR,
        files: 10,
        bytes,
        bytes_stored: bytes / 4,
        outcome: v1::BackupOutcome::Ok.into(),
        ..v1::BackupArchive::default()
    }
}

fn progress(id: &str, bytes: u64) -> Body {
    Body::BackupProgress(v1::BackupProgress {
        run_id: id.to_owned(),
        job: "etc".to_owned(),
        action: "save".to_owned(),
        phase: "reading".to_owned(),
        bytes,
        bytes_expected: Some(4096),
        started_unix_ms: now_ms(),
        ..v1::BackupProgress::default()
    })
}

/// Sends a report and waits until it is stored.
async fn stored(session: &mut HandSession, body: Body, id: &str) {
    session.send(body).await.unwrap();
    loop {
        if let Some(Answer::BackupReportStored(stored)) = session.next().await.unwrap().unwrap() {
            assert_eq!(stored.run_id, id);
            return;
        }
    }
}

async fn order(session: &mut HandSession) -> v1::BackupOrder {
    loop {
        if let Some(Answer::BackupOrder(order)) = session.next().await.unwrap().unwrap() {
            return order;
        }
    }
}

/// The service as the first admin calls it.
async fn admin(fleet: &Fleet) -> BackupsClient<Channel> {
    let text = std::fs::read_to_string(fleet.state().join("admin.context")).unwrap();
    BackupsClient::new(connect(&Credentials::from_toml(&text).unwrap(), None).await.unwrap())
}

async fn listed(fleet: &Fleet) -> Vec<v1::NodeBackupJob> {
    let request = v1::ListBackupJobsRequest::default();
    admin(fleet).await.list_jobs(request).await.unwrap().into_inner().jobs
}

async fn wait_for_job(fleet: &Fleet, what: &str, is_it: impl Fn(&v1::NodeBackupJob) -> bool) -> v1::NodeBackupJob {
    wait_for(what, async || Ok(listed(fleet).await.into_iter().find(|job| is_it(job)))).await.unwrap()
}

fn start(nodes: &[&str], jobs: &[&str], action: Action) -> v1::StartBackupsRequest {
    v1::StartBackupsRequest {
        nodes: nodes.iter().map(ToString::to_string).collect(),
        jobs: jobs.iter().map(ToString::to_string).collect(),
        action: Some(v1::BackupAction { action: Some(action) }),
    }
}

const SAVE: Action = Action::Save(v1::BackupSave { full: true });

const JOB: &str = "sources = [\"/etc\"]\nrepository = \"/mnt/nas\"\nschedule = \"daily\"\n";

fn given(name: &str, toml: &str) -> v1::GivenBackupJob {
    v1::GivenBackupJob { name: name.to_owned(), toml: toml.to_owned() }
}
