//! Who may do what, and what is refused of nodes.

use super::*;

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
        let mut session = HandSession::open_next(&rogue).await.unwrap();
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
    let mut session = HandSession::open_next(&rogue).await.unwrap();
    stored(&mut session, report(run(&id, v1::BackupOutcome::Failed), None), &id).await;
    stored(&mut other, report(run(&id, v1::BackupOutcome::Ok), None), &id).await;
    let change = watched.message().await.unwrap().unwrap();
    assert_eq!(change.node, "pi-2");
    assert!(matches!(change.change, Some(Change::Ended(run)) if run.outcome() == v1::BackupOutcome::Ok));
    other.send(heartbeat()).await.unwrap();
    fleet.wait_for_state("pi-2", NodeState::Up).await.unwrap();
}
