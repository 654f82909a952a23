//! Backups as the controller sees them: an agent spoken by hand tells of its jobs and runs, and is told what to do.

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

#[tokio::test]
async fn an_order_is_carried_out_before_the_eyes_of_two() {
    let (fleet, node) = fleet().await;
    let mut session = HandSession::open(&node).await.unwrap();
    session.send(jobs(&["etc", "home"])).await.unwrap();
    wait_for_job(&fleet, "the job", |job| job.job.as_ref().unwrap().name == "home").await;
    let mut client = admin(&fleet).await;
    let request = start(&["pi-1"], &["etc", "nope"], SAVE);
    let started = client.start(request).await.unwrap().into_inner().started;
    assert_eq!((&*started[0].job, &*started[0].refused), ("etc", ""));
    assert_eq!((&*started[1].run_id, &*started[1].refused), ("", "pi-1 has no job nope"));
    let order = order(&mut session).await;
    let id = order.run_id.clone();
    assert_eq!((&id, order.job.as_str(), order.requested_by.as_str()), (&started[0].run_id, "etc", "user/admin"));
    assert_eq!(order.action.unwrap().action, Some(SAVE));

    let watch = v1::WatchBackupsRequest { run_ids: vec![id.clone()] };
    let mut first = client.watch(watch.clone()).await.unwrap().into_inner();
    session.send(progress(&id, 1024)).await.unwrap();
    let change = first.message().await.unwrap().unwrap();
    assert!(matches!(change.change, Some(Change::Progress(progress)) if progress.bytes == 1024));
    // Who comes later sees how far it is.
    let mut second = admin(&fleet).await.watch(watch).await.unwrap().into_inner();
    let change = second.message().await.unwrap().unwrap();
    assert!(matches!(change.change, Some(Change::Progress(progress)) if progress.bytes == 1024));
    let running = wait_for_job(&fleet, "the run", |job| job.running.is_some()).await;
    assert_eq!(running.running.unwrap().run_id, id);
    // Another's runs are not shown.
    session.send(progress("another", 7)).await.unwrap();
    session.send(progress(&id, 2048)).await.unwrap();

    let ended = v1::BackupRun { trigger: "order".to_owned(), ..run(&id, v1::BackupOutcome::Ok) };
    stored(&mut session, report(ended.clone(), Some(vec![archive(0, 4096)])), &id).await;
    for stream in [&mut first, &mut second] {
        let change = stream.message().await.unwrap().unwrap();
        assert!(matches!(change.change, Some(Change::Progress(progress)) if progress.bytes == 2048));
        let change = stream.message().await.unwrap().unwrap();
        assert_eq!((change.node.as_str(), change.change), ("pi-1", Some(Change::Ended(ended.clone()))));
        assert!(stream.message().await.unwrap().is_none(), "the run is over");
    }
    // Also for one who watches when all is over.
    let watch = v1::WatchBackupsRequest { run_ids: vec![id.clone()] };
    let mut third = client.watch(watch).await.unwrap().into_inner();
    assert!(matches!(third.message().await.unwrap().unwrap().change, Some(Change::Ended(_))));
    assert!(third.message().await.unwrap().is_none());
    let unknown = v1::WatchBackupsRequest { run_ids: vec!["nope".to_owned()] };
    assert_eq!(client.watch(unknown).await.unwrap_err().code(), Code::NotFound);
    let well = wait_for_job(&fleet, "the outcome", |job| job.last_good.is_some()).await;
    assert_eq!(well.last.unwrap().message, "said the engine");
    let is_it = |record: &v1::AuditRecord| record.action == "Backups/Start" && record.target.contains(&id);
    fleet.wait_for_audit("the start", is_it).await.unwrap();
}

#[tokio::test]
async fn a_report_that_comes_twice_is_stored_once() {
    let (mut fleet, node) = fleet().await;
    let mut session = HandSession::open(&node).await.unwrap();
    session.send(jobs(&["etc"])).await.unwrap();
    let failed = report(run("r-1", v1::BackupOutcome::Failed), Some(vec![archive(5, 9)]));
    stored(&mut session, failed.clone(), "r-1").await;
    // The acknowledgement was lost, and the controller is another one now.
    drop(session);
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut session = HandSession::open(&node).await.unwrap();
    session.send(jobs(&["etc"])).await.unwrap();
    stored(&mut session, failed, "r-1").await;
    stored(&mut session, report(run("r-2", v1::BackupOutcome::Failed), None), "r-2").await;
    let mut client = admin(&fleet).await;
    let runs = client.list_runs(v1::ListBackupRunsRequest::default()).await.unwrap().into_inner().runs;
    let ids: Vec<_> = runs.iter().map(|run| run.run.as_ref().unwrap().run_id.as_str()).collect();
    assert_eq!(ids, ["r-2", "r-1"]);
    // Failed twice, told once; told again when it was well in between.
    fleet.wait_for_events("pi-1", "backup.failed", 1).await.unwrap();
    stored(&mut session, report(run("r-3", v1::BackupOutcome::Ok), None), "r-3").await;
    fleet.wait_for_events("pi-1", "backup.ok-again", 1).await.unwrap();
    assert_eq!(fleet.events("pi-1", "backup.failed").await.unwrap().len(), 1);
    stored(&mut session, report(run("r-4", v1::BackupOutcome::Failed), None), "r-4").await;
    let told = fleet.wait_for_events("pi-1", "backup.failed", 2).await.unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].message, "the backup etc of pi-1 failed: said the engine");
    let status = fleet.client().status().await.unwrap();
    assert_eq!(status.verdict(), v1::Verdict::Degraded);
    assert!(status.verdict_reason.contains("backups: 1 failed"), "{}", status.verdict_reason);
    let backups = status.backups.unwrap();
    assert_eq!((backups.jobs, backups.failed, backups.never), (1, 1, 0));
}

#[tokio::test]
async fn what_is_wrong_is_told_once() {
    let (mut fleet, node) = fleet().await;
    let mut session = HandSession::open(&node).await.unwrap();
    let overdue = v1::BackupJob { next_unix_ms: Some(now_ms() - 5 * HOUR), ..job("home") };
    let broken = v1::BackupJob { problem: "there is no hook dump-db".to_owned(), ..job("etc") };
    let told = v1::BackupJobs { jobs: vec![overdue, broken], given_revision: 0 };
    session.send(Body::BackupJobs(told.clone())).await.unwrap();
    let archives = vec![archive(0, 10), archive(24, 100), archive(48, 100), archive(31 * 24, 100)];
    stored(&mut session, report(run("r-1", v1::BackupOutcome::Partial), Some(archives)), "r-1").await;
    let kinds = ["backup.late", "backup.unusable", "backup.partial", "backup.shrunken", "backup.unverified"];
    for kind in kinds {
        fleet.wait_for_events("pi-1", kind, 1).await.unwrap();
    }
    let late = wait_for_job(&fleet, "what is late", |job| job.late).await;
    assert_eq!(late.job.unwrap().name, "home");
    // A controller that starts anew knows what it has told, and what nodes told while they are away.
    drop(session);
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    let home = wait_for_job(&fleet, "the job", |job| job.job.as_ref().unwrap().name == "home").await;
    assert_eq!(home.troubles, ["late"]);
    let mut session = HandSession::open(&node).await.unwrap();
    session.send(Body::BackupJobs(told)).await.unwrap();
    stored(&mut session, report(run("r-2", v1::BackupOutcome::Partial), None), "r-2").await;
    let archives = vec![archive(0, 90), archive(24, 100), archive(48, 100), archive(72, 100)];
    let listed = v1::BackupRun { action: "list".to_owned(), ..run("r-3", v1::BackupOutcome::Ok) };
    stored(&mut session, report(listed, Some(archives)), "r-3").await;
    // What comes after it all was judged: by then everything else was told, too.
    stored(&mut session, report(run("r-4", v1::BackupOutcome::Failed), None), "r-4").await;
    fleet.wait_for_events("pi-1", "backup.failed", 1).await.unwrap();
    for kind in kinds {
        assert_eq!(fleet.events("pi-1", kind).await.unwrap().len(), 1, "{kind}");
    }
    let etc = wait_for_job(&fleet, "the job", |job| job.job.as_ref().unwrap().name == "etc").await;
    assert_eq!(etc.troubles, ["failed", "unusable"]);
}

#[tokio::test]
async fn the_catalogue_is_rebuilt_from_what_a_node_lists() {
    let (fleet, node) = fleet().await;
    let mut session = HandSession::open(&node).await.unwrap();
    session.send(jobs(&["etc"])).await.unwrap();
    stored(&mut session, report(run("r-1", v1::BackupOutcome::Ok), Some(vec![archive(1, 9), archive(2, 9)])), "r-1")
        .await;
    let mut client = admin(&fleet).await;
    let started = client.start(start(&[], &[], Action::List(v1::BackupList {}))).await.unwrap().into_inner().started;
    assert_eq!(started.len(), 1);
    let order = order(&mut session).await;
    let listed = v1::BackupRun { action: "list".to_owned(), ..run(&order.run_id, v1::BackupOutcome::Ok) };
    stored(&mut session, report(listed, Some(vec![archive(7, 9), archive(3, 9)])), &order.run_id).await;
    let names = async |client: &mut BackupsClient<Channel>| {
        let request = v1::ListBackupArchivesRequest::default();
        let archives = client.list_archives(request).await.unwrap().into_inner().archives;
        assert!(archives.iter().all(|archive| archive.repository == "/mnt/nas"));
        archives.into_iter().map(|archive| archive.archive.unwrap().name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut client).await, ["3-full.tar.zst", "7-full.tar.zst"]);
    // What could not be listed, and what was listed earlier and comes late, changes nothing.
    stored(&mut session, report(run("r-2", v1::BackupOutcome::Failed), None), "r-2").await;
    let earlier = v1::BackupRun { ended_unix_ms: now_ms() - HOUR, ..run("r-0", v1::BackupOutcome::Ok) };
    stored(&mut session, report(earlier, Some(vec![])), "r-0").await;
    assert_eq!(names(&mut client).await, ["3-full.tar.zst", "7-full.tar.zst"]);
}

const JOB: &str = "sources = [\"/etc\"]\nrepository = \"/mnt/nas\"\nschedule = \"daily\"\n";

fn given(name: &str, toml: &str) -> v1::GivenBackupJob {
    v1::GivenBackupJob { name: name.to_owned(), toml: toml.to_owned() }
}

async fn given_set(session: &mut HandSession) -> v1::GivenBackupJobs {
    loop {
        if let Some(Answer::GivenBackupJobs(given)) = session.next().await.unwrap().unwrap() {
            return given;
        }
    }
}

#[tokio::test]
async fn given_jobs_reach_a_node_that_was_away() {
    let (mut fleet, node) = fleet().await;
    let mut client = admin(&fleet).await;
    let apply = |jobs: Vec<v1::GivenBackupJob>| v1::ApplyBackupJobsRequest { nodes: vec!["pi-1".to_owned()], jobs };
    for (toml, words) in [
        (format!("{JOB}colour = 1\n"), "etc.toml: line 4: unknown field `colour`"),
        (JOB.replace("\"daily\"", "\"whenever\""), "schedule"),
        (JOB.replace("/mnt/nas", "nas"), "repository"),
    ] {
        let refused = client.apply_jobs(apply(vec![given("etc", &toml)])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{words}");
        assert!(refused.message().contains(words), "{words}: {}", refused.message());
    }
    let pending = client.apply_jobs(apply(vec![given("etc", JOB), given("home", JOB)])).await.unwrap().into_inner();
    assert_eq!(pending.pending, ["pi-1"]);
    assert!(listed(&fleet).await.iter().all(|job| job.pending && job.job.as_ref().unwrap().given));
    // It is on the disk: another controller gives them.
    fleet.kill_controller().await.unwrap();
    fleet.start_controller().await.unwrap();
    let mut session = HandSession::open(&node).await.unwrap();
    let set = given_set(&mut session).await;
    assert_eq!((set.revision, set.jobs.len()), (1, 2));
    let refused = admin(&fleet).await.start(start(&["pi-1"], &["etc"], SAVE)).await.unwrap().into_inner().started;
    assert_eq!(refused[0].refused, "the node has not taken up the job yet");
    let taken = ["etc", "home"].map(|name| v1::BackupJob { given: true, ..job(name) }).to_vec();
    session.send(Body::BackupJobs(v1::BackupJobs { jobs: taken, given_revision: 1 })).await.unwrap();
    wait_for_job(&fleet, "the job", |job| !job.pending).await;
    // A change reaches it at once.
    let mut client = admin(&fleet).await;
    let remove = |job: &str| v1::RemoveBackupJobsRequest { nodes: vec![], jobs: vec![job.to_owned()] };
    client.remove_jobs(remove("etc")).await.unwrap();
    let set = given_set(&mut session).await;
    assert_eq!((set.revision, set.jobs.len(), set.jobs[0].name.as_str()), (2, 1, "home"));
    assert_eq!(client.remove_jobs(remove("etc")).await.unwrap_err().code(), Code::NotFound);
    for action in ["Backups/ApplyJobs", "Backups/RemoveJobs"] {
        let is_it = |record: &v1::AuditRecord| record.action == action && record.target.starts_with("pi-1: etc");
        fleet.wait_for_audit(action, is_it).await.unwrap();
    }
}

#[tokio::test]
async fn only_admins_do_harm_and_only_what_is_there_is_ordered() {
    let (fleet, node) = fleet().await;
    let mut session = HandSession::open(&node).await.unwrap();
    session.send(jobs(&["etc"])).await.unwrap();
    wait_for_job(&fleet, "the job", |_| true).await;
    let restore = Action::Restore(v1::BackupRestore { to: "/tmp/back".to_owned(), ..v1::BackupRestore::default() });
    let prune = |dry_run| Action::Prune(v1::BackupPrune { dry_run });
    for role in ["viewer", "operator"] {
        let name = format!("the-{role}");
        let mut client = user(&fleet, &name, role).await;
        client.list_jobs(v1::ListBackupJobsRequest::default()).await.unwrap();
        for action in [restore.clone(), prune(false)] {
            let refused = client.start(start(&["pi-1"], &["etc"], action)).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{role}: {refused}");
        }
        let apply = v1::ApplyBackupJobsRequest { nodes: vec!["pi-1".to_owned()], jobs: vec![given("a", JOB)] };
        assert_eq!(client.apply_jobs(apply).await.unwrap_err().code(), Code::PermissionDenied);
        let may = client.start(start(&["pi-1"], &["etc"], prune(true))).await;
        assert_eq!(may.is_ok(), role == "operator");
        let who = format!("user/{name}");
        let is_it = |record: &v1::AuditRecord| {
            record.who == who && record.action == "Backups/Start" && record.outcome.starts_with("denied")
        };
        fleet.wait_for_audit(&who, is_it).await.unwrap();
    }
    let mut client = admin(&fleet).await;
    client.start(start(&["pi-1"], &["etc"], restore.clone())).await.unwrap();
    let code = |answer: Result<_, Status>| answer.map(|_: tonic::Response<_>| ()).unwrap_err().code();
    assert_eq!(code(client.start(start(&["pi-1"], &[], restore)).await), Code::InvalidArgument);
    assert_eq!(code(client.start(start(&["pi-9"], &[], SAVE)).await), Code::NotFound);
    assert_eq!(code(client.start(start(&[], &["nope"], SAVE)).await), Code::NotFound);
    let stop = |id: &str| v1::StopBackupsRequest { run_ids: vec![id.to_owned()] };
    assert_eq!(client.stop(stop("nope")).await.unwrap_err().code(), Code::NotFound);
    session.send(progress("r-1", 1)).await.unwrap();
    wait_for_job(&fleet, "the run", |job| job.running.is_some()).await;
    client.stop(stop("r-1")).await.unwrap();
    loop {
        if let Some(Answer::BackupStop(stop)) = session.next().await.unwrap().unwrap() {
            assert_eq!(stop.run_id, "r-1");
            break;
        }
    }
    // A node that is away is told nothing, and that is said.
    drop(session);
    wait_for("the node to be away", async || {
        let started = client.start(start(&[], &[], SAVE)).await?.into_inner().started;
        Ok((started[0].refused == "pi-1 is not connected").then_some(()))
    })
    .await
    .unwrap();
}

async fn user(fleet: &Fleet, name: &str, role: &str) -> BackupsClient<Channel> {
    let home = fleet.folder().join(name);
    let invitation = fleet.ctl().json(&format!("user invite {name} --role {role}")).await.unwrap();
    let token = rackhaven_tests::fleet::token(invitation).unwrap();
    let ctl = rackhaven_tests::Ctl::of_user(&home).with_variable("RACKHAVEN_TOKEN", &token);
    ctl.ok(&format!("login {}", fleet.endpoint())).await.unwrap();
    let text = std::fs::read_to_string(home.join("rackhaven/contexts/home.context")).unwrap();
    BackupsClient::new(connect(&Credentials::from_toml(&text).unwrap(), None).await.unwrap())
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_harms_nobody_else() {
    let (fleet, rogue) = fleet().await;
    let honest = join(&fleet, "pi-2").await;
    let mut other = HandSession::open(&honest).await.unwrap();
    other.send(jobs(&["etc"])).await.unwrap();
    let many = vec![archive(1, 1); 2001];
    let cases = [
        (Body::BackupJobs(v1::BackupJobs { jobs: vec![job("Etc")], given_revision: 0 }), "job name"),
        (Body::BackupJobs(v1::BackupJobs { jobs: vec![job("etc"); 65], given_revision: 0 }), "holds 65"),
        (Body::BackupReport(v1::BackupReport::default()), "report.run"),
        (report(v1::BackupRun { run_id: "../1".to_owned(), ..run("", v1::BackupOutcome::Ok) }, None), "run_id"),
        (report(run("r", v1::BackupOutcome::Unspecified), None), "outcome: is missing"),
        (report(run("r", v1::BackupOutcome::Ok), Some(many)), "archives"),
        (progress("\u{1b}[2J", 1), "run_id"),
    ];
    for (body, words) in cases {
        let mut session = HandSession::open(&rogue).await.unwrap();
        session.send(body).await.unwrap();
        let status = session.ended().await.unwrap().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
        assert!(status.message().contains(words), "{words}: {status}");
        let is_it = |record: &v1::AuditRecord| record.who == "node/pi-1" && record.outcome.contains(words);
        fleet.wait_for_audit(words, is_it).await.unwrap();
    }
    // A node cannot end another's run.
    let mut client = admin(&fleet).await;
    wait_for_job(&fleet, "the job", |job| job.node == "pi-2").await;
    client.start(start(&["pi-2"], &["etc"], SAVE)).await.unwrap();
    let id = order(&mut other).await.run_id;
    let mut watched = client.watch(v1::WatchBackupsRequest { run_ids: vec![id.clone()] }).await.unwrap().into_inner();
    let mut session = HandSession::open(&rogue).await.unwrap();
    stored(&mut session, report(run(&id, v1::BackupOutcome::Failed), None), &id).await;
    stored(&mut other, report(run(&id, v1::BackupOutcome::Ok), None), &id).await;
    let change = watched.message().await.unwrap().unwrap();
    assert_eq!(change.node, "pi-2");
    assert!(matches!(change.change, Some(Change::Ended(run)) if run.outcome() == v1::BackupOutcome::Ok));
    other.send(heartbeat()).await.unwrap();
    fleet.wait_for_state("pi-2", NodeState::Up).await.unwrap();
}

#[tokio::test]
async fn ctl_gives_a_job_and_follows_its_runs() {
    let (fleet, node) = fleet().await;
    let ctl = fleet.ctl();
    let file = fleet.folder().join("etc.toml");
    std::fs::write(&file, format!("{JOB}colour = 1\n")).unwrap();
    let apply = format!("backup jobs apply --node pi-1 -f {}", file.display());
    let refused = ctl.fails(&apply, 1).await.unwrap();
    assert!(refused.err.contains("etc.toml: line 4: unknown field `colour`"), "{}", refused.err);
    std::fs::write(&file, JOB).unwrap();
    assert_eq!(ctl.json(&apply).await.unwrap()["pending"][0], "pi-1");
    let away = ctl.fails("backup run etc --node pi-1", 1).await.unwrap();
    assert!(away.out.contains("pi-1/etc: not begun"), "{}", away.out);
    let mut session = HandSession::open(&node).await.unwrap();
    given_set(&mut session).await;
    let taken = vec![v1::BackupJob { given: true, ..job("etc") }];
    session.send(Body::BackupJobs(v1::BackupJobs { jobs: taken, given_revision: 1 })).await.unwrap();
    wait_for_job(&fleet, "the job", |job| !job.pending).await;
    for outcome in [v1::BackupOutcome::Ok, v1::BackupOutcome::Failed] {
        let folder = |name: &str| {
            let folder = fleet.folder().join(format!("{name}-{}", outcome.as_str_name()));
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let mut followed = ctl.start("backup run etc --follow", &folder("followed")).unwrap();
        let id = order(&mut session).await.run_id;
        let mut watched = ctl.start(&format!("backup watch {id} -o json"), &folder("watched")).unwrap();
        session.send(progress(&id, 2048)).await.unwrap();
        for ctl in [&followed, &watched] {
            wait_for("the progress", async || Ok(ctl.output().contains("reading").then_some(()))).await.unwrap();
        }
        stored(&mut session, report(run(&id, outcome), Some(vec![archive(0, 4096)])), &id).await;
        let good = outcome == v1::BackupOutcome::Ok;
        for ctl in [&mut followed, &mut watched] {
            assert_eq!(ctl.ended().await.unwrap().success(), good, "{}", ctl.log());
        }
    }
    let history = ctl.json("backup history etc").await.unwrap();
    assert_eq!((&history["runs"][0]["outcome"], &history["runs"][1]["outcome"]), (&"failed".into(), &"ok".into()));
    let archives = ctl.json("backup archives --node pi-1").await.unwrap();
    assert_eq!(archives["archives"][0]["saved_bytes"], 4096);
    let status = ctl.json("status").await.unwrap();
    assert_eq!((&status["backups"]["jobs"], &status["backups"]["failed"]), (&1.into(), &1.into()));
    ctl.fails("status --check", 3).await.unwrap();
    ctl.fails("backup prune etc", 2).await.unwrap();
    ctl.ok("backup jobs remove etc").await.unwrap();
    assert!(given_set(&mut session).await.jobs.is_empty());
}
