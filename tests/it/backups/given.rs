//! Jobs that nodes are given.

use super::*;

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

#[tokio::test]
async fn a_set_that_is_older_than_what_the_node_has_is_not_sent() {
    let (fleet, node) = fleet().await;
    let mut client = admin(&fleet).await;
    let apply = v1::ApplyBackupJobsRequest { nodes: vec!["pi-1".to_owned()], jobs: vec![given("etc", JOB)] };
    client.apply_jobs(apply).await.unwrap();
    let mut session = HandSession::open(&node).await.unwrap();
    assert_eq!(given_set(&mut session).await.revision, 1);
    let tell = |names: &[&str], given_revision| {
        let jobs = names.iter().map(|name| v1::BackupJob { given: true, ..job(name) }).collect();
        Body::BackupJobs(v1::BackupJobs { jobs, given_revision })
    };
    // The node has a set from an earlier life, and takes this one for an old one: it comes again, as a newer one.
    session.send(tell(&["old"], 10)).await.unwrap();
    let set = given_set(&mut session).await;
    assert_eq!((set.revision, set.jobs[0].name.as_str()), (11, "etc"));
    session.send(tell(&["etc"], 11)).await.unwrap();
    wait_for_job(&fleet, "the job", |job| job.job.as_ref().unwrap().name == "etc" && !job.pending).await;
    // A controller that was restored from an older record does not undo what it has forgotten.
    session.send(tell(&["etc", "home"], 40)).await.unwrap();
    wait_for_job(&fleet, "the other job", |job| job.job.as_ref().unwrap().name == "home").await;
    drop(session);
    let mut session = HandSession::open_next(&node).await.unwrap();
    session.send(tell(&["etc", "home"], 40)).await.unwrap();
    wait_for("an order to be taken", async || {
        let started = client.start(start(&["pi-1"], &["home"], SAVE)).await?.into_inner().started;
        Ok(started[0].refused.is_empty().then_some(()))
    })
    .await
    .unwrap();
    loop {
        match session.next().await.unwrap().unwrap() {
            Some(Answer::GivenBackupJobs(set)) => panic!("it was sent {set:?}"),
            Some(Answer::BackupOrder(_)) => break,
            _ => {}
        }
    }
    // Whatever is given next is newer.
    let remove = v1::RemoveBackupJobsRequest { nodes: vec![], jobs: vec!["etc".to_owned()] };
    client.remove_jobs(remove).await.unwrap();
    assert_eq!(given_set(&mut session).await.revision, 41);
}
