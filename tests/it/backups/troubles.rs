//! What is wrong with backups is told, once.

use super::*;

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
    let mut session = HandSession::open_next(&node).await.unwrap();
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
