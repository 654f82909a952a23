//! The mains fail while a backup runs.

use std::fs;

use rackhaven_tests::rack::told;
use rackhaven_tests::{Back, Program, RackPlan, wait_for, wait_until};

#[tokio::test]
async fn a_backup_is_stopped_for_a_power_cut_and_done_again_afterwards() {
    let plan = RackPlan::default().stage("workers", &[("w-1", Back::WakeOnLan)]);
    let plan = plan.with("power.steps.stop_backups_seconds", 5).with("power.cut_load", false);
    let rack = plan.build().await.unwrap();
    let (source, repository) = (rack.folder().join("source"), rack.folder().join("repository"));
    let jobs = rack.folder().join("w-1.jobs");
    for folder in [&source, &repository, &jobs] {
        fs::create_dir_all(folder).unwrap();
    }
    for number in 0..40_u32 {
        let content: Vec<u8> = (0..65_536_u32).map(|at| (at.wrapping_mul(number + 7) >> 5) as u8).collect();
        fs::write(source.join(format!("{number}")), content).unwrap();
    }
    let job = |more: &str| {
        let text = format!(
            "engine = 'rsync'\nsources = ['{}']\nrepository = '{}'\nschedule = '*-*-* *:*:0/2'\n{more}",
            source.display(),
            repository.display()
        );
        fs::write(jobs.join("home.toml"), text).unwrap();
    };
    job("[limits]\nbytes_per_second = 100000\n");
    let engine = Program::Backup.path().unwrap();
    rack.change_agent("w-1", |agent| {
        agent.settings.set("backup.engine", serde_json::Value::from(engine.display().to_string()));
    });
    rack.restart_agent("w-1").unwrap();
    let made = repository.join("w-1/home");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&made).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let is_tree = |name: &String| name.starts_with("20") && !name.contains('.');
    wait_until("the backup to run", async || names().iter().any(|name| name.ends_with("Z.partial"))).await.unwrap();
    let node_is_known =
        async || Ok(rack.ctl().json("backup jobs").await?.to_string().contains("\"home\"").then_some(()));
    wait_for("the job to be known", node_is_known).await.unwrap();

    rack.ups_says("OB LB");
    wait_until("the node to be off", async || rack.off() == ["w-1"]).await.unwrap();
    assert_eq!(names().iter().filter(|name| is_tree(name)).count(), 0, "{:?}", names());
    // Fast, when it comes back.
    job("");
    rack.ups_says("OL");
    let ended = rack.wait_for_end(1).await.unwrap();
    let lines = told(&ended.events);
    let stopped = ended
        .events
        .iter()
        .find(|line| line.message.starts_with("stop-backups done"))
        .unwrap_or_else(|| panic!("{lines}"));
    assert!(stopped.message.ends_with("save of home"), "{lines}");
    wait_until("the backup to be done again", async || names().iter().any(is_tree)).await.unwrap();
    let history = wait_for("its report", async || {
        let history = rack.ctl().json("backup history").await?;
        Ok(history["runs"].as_array().filter(|runs| runs.len() >= 2).cloned())
    });
    let history = history.await.unwrap();
    let of =
        |run: &serde_json::Value| format!("{} {}", run["outcome"].as_str().unwrap(), run["trigger"].as_str().unwrap());
    assert_eq!(history.iter().rev().map(of).collect::<Vec<_>>(), ["stopped schedule", "ok catch-up"], "{history:?}");
    assert!(names().iter().all(|name| !name.ends_with(".partial")), "{:?}", names());
    rack.wait_until_well().await.unwrap();
}
