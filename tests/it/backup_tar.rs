//! The backup engine's tar archives, by the real program: killed, stopped, without room, and on a starved board.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use rackhaven_tests::ctl::Outcome;
use rackhaven_tests::process::{Daemon, command, run_to_end};
use rackhaven_tests::program::Program;
use rackhaven_tests::small_disk::SmallDisk;
use rackhaven_tests::wait::wait_for;
use serde_json::Value;

/// A job `srv` of the node `pi-3`, with its tree, its repository and its state in one folder.
struct Rig {
    folder: tempfile::TempDir,
    repository: PathBuf,
}

impl Rig {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let repository = folder.path().join("repository");
        let rig = Self { folder, repository };
        fs::create_dir(rig.tree())?;
        rig.write_job("")?;
        Ok(rig)
    }

    fn write_job(&self, more: &str) -> anyhow::Result<()> {
        let (tree, repository) = (self.tree(), &self.repository);
        let text = format!("sources = [{tree:?}]\nrepository = {repository:?}\nfull_every = 3\n{more}");
        Ok(fs::write(self.folder.path().join("srv.toml"), text)?)
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn engine(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut engine = command(Program::Backup.path()?);
        let (first, rest) = arguments.split_first().unwrap();
        engine.arg(first).args(["--node", "pi-3", "-o", "json", "--job"]).arg(self.folder.path().join("srv.toml"));
        engine.arg("--state-dir").arg(self.folder.path().join("state")).args(rest);
        Ok(engine)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<(Outcome, Value)> {
        let outcome = run_to_end(self.engine(arguments)?).await?;
        let json = serde_json::from_str(&outcome.out).unwrap_or_default();
        Ok((outcome, json))
    }

    /// Runs it, and expects an archive.
    async fn save(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (outcome, json) = self.run(arguments).await?;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        Ok(json["archive"].as_str().unwrap().to_owned())
    }

    /// What has an archive's name in the repository.
    fn archives(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.repository.join("pi-3/srv")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".tar.zst")).collect();
        names.sort();
        names
    }

    async fn assert_all_verify(&self) -> anyhow::Result<()> {
        for archive in self.archives() {
            let (outcome, _) = self.run(&["verify", &archive]).await?;
            assert_eq!(outcome.code, Some(0), "{archive}: {outcome:?}");
        }
        Ok(())
    }

    async fn assert_restores(&self, archive: &str) -> anyhow::Result<()> {
        let to = self.folder.path().join("restored");
        let _ = fs::remove_dir_all(&to);
        let (outcome, _) = self.run(&["restore", archive, "--to", to.to_str().unwrap()]).await?;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let mut diff = command("diff");
        diff.args(["-r", "--no-dereference"]).arg(self.tree()).arg(to.join(self.tree().strip_prefix("/")?));
        let differences = run_to_end(diff).await?;
        assert_eq!((differences.code, differences.out.as_str()), (Some(0), ""));
        Ok(())
    }
}

/// Bytes that compress little, and differ with the seed.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn fill(tree: &Path, files: usize, bytes: usize) -> anyhow::Result<()> {
    for n in 0..files {
        let folder = tree.join(format!("folder-{}", n / 100));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(n.to_string()), noise(bytes, n as u64))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_archive_comes_after_so_many_increments() -> anyhow::Result<()> {
    let rig = Rig::new()?;
    fill(&rig.tree(), 300, 2000)?;
    let mut kinds = Vec::new();
    for n in 0..6 {
        fs::write(rig.tree().join("changing"), n.to_string())?;
        let archive = rig.save(&["run"]).await?;
        kinds.push(if archive.contains("-full.") { "full" } else { "inc" });
        rig.assert_restores("latest").await?;
    }
    assert_eq!(kinds, ["full", "inc", "inc", "inc", "full", "inc"]);
    assert!(rig.save(&["run", "--full"]).await?.contains("-full."));
    rig.assert_all_verify().await?;

    // The node's memory of it is lost, or damaged: it is fetched from the repository.
    let kept = rig.folder.path().join("state/srv/last.manifest");
    fs::write(&kept, "nonsense")?;
    assert!(rig.save(&["run"]).await?.contains("-inc."));
    fs::remove_file(&kept)?;
    assert!(rig.save(&["run"]).await?.contains("-inc."));
    rig.assert_restores("latest").await
}

#[tokio::test]
async fn one_path_comes_back_and_the_running_root_is_refused() -> anyhow::Result<()> {
    let rig = Rig::new()?;
    fill(&rig.tree(), 250, 100)?;
    rig.save(&["run"]).await?;
    let wanted = rig.tree().join("folder-1");
    let to = rig.folder.path().join("some");
    let (outcome, json) = rig.run(&["restore", wanted.to_str().unwrap(), "--to", to.to_str().unwrap()]).await?;
    assert_eq!((outcome.code, json["entries"].as_u64()), (Some(0), Some(101)), "{outcome:?}");
    assert_eq!(fs::read_dir(to.join(wanted.strip_prefix("/")?))?.count(), 100);
    assert!(!to.join(rig.tree().strip_prefix("/")?).join("folder-0").exists());

    let (outcome, json) = rig.run(&["restore", "--to", "/"]).await?;
    assert_eq!(outcome.code, Some(1));
    assert_eq!(json["message"], "/ is the root of the running system; say --in-place to write over it");
    let (outcome, json) = rig.run(&["restore", "/no/such", "--to", to.to_str().unwrap()]).await?;
    assert_eq!((outcome.code, &json["message"]), (Some(1), &Value::from("/no/such is not in the archive")));
    let (outcome, _) = rig.run(&["restore", "--dry-run", "--to", "/nowhere at all"]).await?;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!Path::new("/nowhere at all").exists());
    Ok(())
}

#[tokio::test]
async fn an_engine_that_is_killed_leaves_nothing_that_does_not_verify() -> anyhow::Result<()> {
    let rig = Rig::new()?;
    fill(&rig.tree(), 400, 40_000)?;
    rig.save(&["run"]).await?;
    let mut killed = 0;
    for n in 0..50_u64 {
        fs::write(rig.tree().join("changing"), noise(3_000_000, n))?;
        let status = rig.folder.path().join("status");
        let _ = fs::remove_file(&status);
        let full = ["run", "--full", "--status", status.to_str().unwrap()];
        let mut engine = Daemon::start("engine", rig.engine(&full)?, rig.folder.path())?;
        // Further on each time: so many times is looked whether it has ended by itself.
        let mut looks = n * 6;
        wait_for("the moment to kill it", async || {
            looks = looks.saturating_sub(1);
            Ok((looks == 0 || engine.poll_end()?.is_some()).then_some(()))
        })
        .await?;
        killed += u32::from(engine.poll_end()?.is_none());
        let _ = engine.kill().await;
        if n % 10 == 9 {
            rig.assert_all_verify().await?;
            rig.save(&["run"]).await?;
            rig.assert_restores("latest").await?;
            let leftovers = fs::read_dir(rig.repository.join("pi-3/srv"))?
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial"))
                .count();
            assert_eq!(leftovers, 0, "the next run cleans up");
        }
    }
    assert!(killed > 0);
    Ok(())
}

#[tokio::test]
async fn an_engine_that_is_told_to_stop_says_so_and_leaves_no_archive() -> anyhow::Result<()> {
    let rig = Rig::new()?;
    fill(&rig.tree(), 100, 100_000)?;
    // Slow enough to be caught.
    rig.write_job("[limits]\nbytes_per_second = 1000000\n")?;
    let result = rig.folder.path().join("result");
    let status = rig.folder.path().join("status");
    let arguments = ["run", "--result", result.to_str().unwrap(), "--status", status.to_str().unwrap()];
    let mut engine = Daemon::start("engine", rig.engine(&arguments)?, rig.folder.path())?;
    wait_for("the engine at work", async || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let read = serde_json::from_str::<Value>(&text).ok().and_then(|status| status["bytes_read"].as_u64());
        Ok(read.filter(|bytes| *bytes > 0))
    })
    .await?;
    engine.signal(Signal::SIGTERM)?;
    let ended = engine.ended().await?;
    assert_eq!(ended.code(), Some(1));
    let json: Value = serde_json::from_str(&fs::read_to_string(&result)?)?;
    assert_eq!(json["outcome"], "stopped");
    assert_eq!(rig.archives(), Vec::<String>::new());
    rig.write_job("")?;
    rig.save(&["run"]).await?;
    rig.assert_restores("latest").await
}

#[tokio::test]
async fn a_repository_without_room_gets_no_archive() -> anyhow::Result<()> {
    let mut rig = Rig::new()?;
    let disk = SmallDisk::mount(&rig.folder.path().join("disk"), 4_000_000)?;
    rig.repository = disk.path().join("repository");
    rig.write_job("")?;
    fill(&rig.tree(), 20, 50_000)?;
    rig.save(&["run"]).await?;
    fs::write(rig.tree().join("too much"), noise(9_000_000, 1))?;
    let (outcome, json) = rig.run(&["run"]).await?;
    assert_eq!((outcome.code, &json["outcome"]), (Some(1), &Value::from("failed")), "{outcome:?}");
    assert!(json["message"].as_str().unwrap().contains("No space left on device"), "{json}");
    assert_eq!(rig.archives().len(), 1);
    fs::remove_file(rig.tree().join("too much"))?;
    assert!(rig.save(&["run"]).await?.contains("-inc."), "what failed moved nothing on");
    rig.assert_all_verify().await
}

#[tokio::test]
async fn a_source_that_lost_most_of_its_files_is_not_saved_over() -> anyhow::Result<()> {
    let rig = Rig::new()?;
    fill(&rig.tree(), 300, 10)?;
    rig.save(&["run"]).await?;
    fs::rename(rig.tree().join("folder-0"), rig.folder.path().join("kept"))?;
    fs::remove_dir_all(rig.tree().join("folder-1"))?;
    let (outcome, json) = rig.run(&["run"]).await?;
    assert_eq!(outcome.code, Some(1));
    let message = json["message"].as_str().unwrap();
    assert!(message.starts_with("102 entries are left of 304: is something not mounted?"), "{message}");
    assert_eq!(rig.archives().len(), 1);
    assert!(rig.save(&["run", "--full"]).await?.contains("-full."));
    Ok(())
}

#[tokio::test]
async fn a_starved_board_saves_and_gives_back() -> anyhow::Result<()> {
    let rig = Rig::new()?;
    fill(&rig.tree(), 3000, 20)?;
    let sparse = fs::File::create(rig.tree().join("large"))?;
    sparse.write_all_at(&noise(30_000_000, 5), 0)?;
    for arguments in [vec!["run"], vec!["run"], vec!["verify"], vec!["restore", "--to", "/dev/shm/rackhaven-starved"]] {
        let engine = rig.engine(&arguments)?;
        let mut starved = command("bash");
        // All that it asks for, whether it uses it or not.
        starved.args(["-c", "ulimit -v 400000; exec \"$@\"", "bash"]).arg(engine.get_program()).args(engine.get_args());
        let outcome = run_to_end(starved).await?;
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
    }
    fs::remove_dir_all("/dev/shm/rackhaven-starved")?;
    Ok(())
}
