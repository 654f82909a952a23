//! Backups that a node runs by itself.

use std::fs;
use std::path::{Path, PathBuf};

use rackhaven_tests::{Agent, Ctl, Fleet, Program, wait_for, wait_until};

/// A node with an engine, a folder to be saved, and a repository.
struct Node {
    fleet: Fleet,
    pi: Agent,
    repository: PathBuf,
}

impl Node {
    async fn start() -> Self {
        let fleet = Fleet::start().await.unwrap();
        let mut pi = fleet.machine("pi-1");
        let token = fleet.invite("--name pi-1").await.unwrap();
        assert_eq!(pi.join(&fleet.endpoint(), &token, "").await.unwrap().code, Some(0));
        let engine = Program::Backup.path().unwrap();
        pi.settings.set("backup.engine", serde_json::Value::from(engine.display().to_string()));
        let repository = fleet.folder().join("repository");
        for folder in ["source", "repository", "pi-1.jobs"] {
            fs::create_dir(fleet.folder().join(folder)).unwrap();
        }
        fs::write(fleet.folder().join("source/file"), "what matters").unwrap();
        Self { fleet, pi, repository }
    }

    fn job(&self, name: &str, more: &str) {
        let source = self.fleet.folder().join("source");
        let text = format!(
            "engine = 'rsync'\nsources = ['{}']\nrepository = '{}'\n{more}\n",
            source.display(),
            self.repository.display()
        );
        fs::write(self.fleet.folder().join("pi-1.jobs").join(format!("{name}.toml")), text).unwrap();
    }

    /// The snapshots of a job that are under their final names.
    fn snapshots(&self, job: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.repository.join("pi-1").join(job)).into_iter().flatten().flatten();
        let is_snapshot = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            path.is_dir() && !path.is_symlink() && name.starts_with("20") && !name.ends_with(".partial")
        };
        entries.map(|entry| entry.path()).filter(is_snapshot).collect()
    }

    fn reports(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.pi.state().join("backup-runs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "report")).collect()
    }
}

/// Waits until the controller knows a job.
async fn known(ctl: &Ctl, job: &str) {
    let quoted = format!("\"{job}\"");
    let told = async || ctl.json("backup jobs").await.is_ok_and(|jobs| jobs.to_string().contains(&quoted));
    wait_until("the job to be known", told).await.unwrap();
}

fn saved(snapshot: &Path, source: &Path) -> PathBuf {
    snapshot.join(source.strip_prefix("/").unwrap())
}

#[tokio::test]
async fn a_job_runs_at_its_time_and_what_is_wrong_with_another_is_said() {
    let mut node = Node::start().await;
    node.job("source", "schedule = '*-*-* *:*:0/5'");
    node.job("broken", "shedule = 'daily'");
    node.pi.start().unwrap();
    let snapshots = wait_for("a snapshot", async || Ok(Some(node.snapshots("source")).filter(|all| !all.is_empty())));
    let snapshots = snapshots.await.unwrap();
    let file = saved(&snapshots[0], &node.fleet.folder().join("source/file"));
    assert_eq!(fs::read_to_string(file).unwrap(), "what matters");
    let told = wait_for("the report", async || {
        let history = node.fleet.ctl().json("backup history").await?.to_string();
        Ok(history.contains("schedule").then_some(()))
    });
    told.await.unwrap();
    // Not again within the minute, whatever its schedule says.
    assert_eq!(node.snapshots("source").len(), 1);
    assert!(node.pi.log().contains("a backup begins"), "{}", node.pi.log());
}

#[tokio::test]
async fn without_an_engine_the_agent_does_all_else() {
    let mut node = Node::start().await;
    node.job("source", "schedule = '*-*-* *:*:*'");
    node.pi.settings.set("backup.engine", "'/no/such/engine'");
    node.pi.start().unwrap();
    node.fleet.wait_for_state("pi-1", rackhaven_proto::model::NodeState::Up).await.unwrap();
    let told = wait_for("the job to be known", async || {
        let jobs = node.fleet.ctl().json("backup jobs").await?;
        Ok(Some(jobs["jobs"][0]["problem"].to_string()).filter(|problem| problem != "null"))
    });
    assert_eq!(told.await.unwrap(), "\"there is no backup engine /no/such/engine: install rackhaven-backup\"");
    let refused = node.fleet.ctl().fails("backup run source --node pi-1 --follow", 1).await.unwrap();
    let said = refused.out + &refused.err;
    assert!(said.contains("install rackhaven-backup"), "{said}");
    assert!(node.pi.log().contains("there is no engine; install rackhaven-backup"), "{}", node.pi.log());
}

#[tokio::test]
async fn ctl_has_a_backup_made_follows_it_and_knows_the_archive() {
    let mut node = Node::start().await;
    node.job("source", "");
    node.pi.start().unwrap();
    let ctl = node.fleet.ctl();
    let known = wait_for("the job to be known", async || {
        let jobs = ctl.json("backup jobs").await?;
        Ok(jobs.to_string().contains("\"source\"").then_some(()))
    });
    known.await.unwrap();
    let followed = ctl.ok("backup run source --node pi-1 --follow").await.unwrap();
    assert!(followed.contains("ok"), "{followed}");
    assert_eq!(node.snapshots("source").len(), 1);
    let archives = ctl.json("backup archives").await.unwrap().to_string();
    let name = node.snapshots("source")[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(archives.contains(&name) && archives.contains("\"saved_bytes\":12,"), "{archives}");
    let verified = ctl.ok("backup verify source --node pi-1 --follow").await.unwrap();
    assert!(verified.contains("ok"), "{verified}");
    // What is stored at the controller waits on the node no more.
    wait_until("the reports to be stored", async || node.reports().is_empty()).await.unwrap();
    let back = node.fleet.folder().join("back");
    fs::create_dir(&back).unwrap();
    ctl.ok(&format!("backup restore source --node pi-1 --to {} --follow --yes", back.display())).await.unwrap();
    let file = saved(&back, &node.fleet.folder().join("source/file"));
    assert_eq!(fs::read_to_string(file).unwrap(), "what matters");
}

#[tokio::test]
async fn what_a_dry_run_would_do_reaches_the_one_who_asked() {
    let mut node = Node::start().await;
    node.job("source", "");
    node.pi.start().unwrap();
    let ctl = node.fleet.ctl();
    known(&ctl, "source").await;
    for _ in 0..2 {
        ctl.ok("backup run source --node pi-1 --follow").await.unwrap();
    }
    let told = ctl.ok("backup restore source --node pi-1 --to /nowhere --dry-run --follow").await.unwrap();
    let file = node.fleet.folder().join("source/file");
    assert!(told.contains(&format!("write /nowhere{}", file.display())), "{told}");
    assert!(!Path::new("/nowhere").exists());
    node.job("source", "[keep]\nlast = 1\n");
    let told = ctl.ok("backup prune source --node pi-1 --dry-run --follow").await.unwrap();
    assert!(told.contains("remove 20"), "{told}");
    assert_eq!(node.snapshots("source").len(), 2);
    let archives = ctl.json("backup archives").await.unwrap();
    assert_eq!(archives["archives"][0]["saved_bytes"], "what matters".len());
}

#[tokio::test]
async fn what_does_not_verify_is_told_until_a_verification_by_schedule_finds_it_well() {
    let mut node = Node::start().await;
    node.job("source", "");
    node.pi.start().unwrap();
    let ctl = node.fleet.ctl();
    known(&ctl, "source").await;
    ctl.ok("backup run source --node pi-1 --follow").await.unwrap();
    let file = saved(&node.snapshots("source")[0], &node.fleet.folder().join("source/file"));
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let write = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    };
    write("what matterz");
    ctl.fails("backup verify source --node pi-1 --follow", 1).await.unwrap();
    node.fleet.wait_for_events("pi-1", "backup.unverified", 1).await.unwrap();
    write("what matters");
    node.job("source", "[verify]\nschedule = '*-*-* *:*:0/2'\npercent = 100\n");
    node.pi.reload().unwrap();
    node.fleet.wait_for_events("pi-1", "backup.ok-again", 1).await.unwrap();
    let history = ctl.json("backup history").await.unwrap();
    assert_eq!((&history["runs"][0]["action"], &history["runs"][0]["trigger"]), (&"verify".into(), &"schedule".into()));
}
