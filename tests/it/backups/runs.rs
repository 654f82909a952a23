//! Runs: ordered, watched, reported and listed.

use super::*;

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
    let mut session = HandSession::open_next(&node).await.unwrap();
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
