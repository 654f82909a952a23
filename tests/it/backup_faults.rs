//! Mounts that go, lines that are cut, files that do not hold still or cannot be read: nothing is claimed that is not
//! so, and the next run goes well.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rackhaven_tests::process::{command, run_to_end};
use rackhaven_tests::strace::refused_file;
use rackhaven_tests::{Rsyncd, Saving, SmallDisk, Sshd, address, wait_until};
use serde_json::Value;

/// By which an engine reads what it saves.
const READS: &str = "read,pread64,preadv2,copy_file_range";

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn noise(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// So slowly that something can happen meanwhile.
const SLOWLY: &str = "[limits]\nbytes_per_second = 2000000\n";

#[tokio::test]
async fn archives_are_written_nowhere_but_on_the_share() {
    let saving = Saving::new().unwrap();
    fs::write(saving.source().join("large"), noise(12_000_000, 1)).unwrap();
    let point = saving.top().join("nas");
    let lines = format!("repository = '{0}/backups'\nrequires_mount = '{0}'\n", point.display());
    saving.write_job_of("tar", &lines).unwrap();
    fs::create_dir(&point).unwrap();
    let refused = saving.run(&["run"]).await.unwrap();
    assert!(refused.code == Some(1) && refused.out.contains("nothing is mounted"), "{refused:?}");
    assert_eq!(names(&point), [""; 0], "before there ever was a share");
    let disk = SmallDisk::mount(&point, 64 << 20).unwrap();
    saving.save().await.unwrap();
    saving.write_job_of("tar", &format!("{lines}{SLOWLY}")).unwrap();
    let mut engine = saving.start(&["run", "--full"]).unwrap();
    let job = point.join("backups/pi-1/home");
    wait_until("the archive", async || names(&job).iter().any(|name| name.ends_with(".partial"))).await.unwrap();
    drop(disk);
    assert_eq!(engine.ended().await.unwrap().code(), Some(1));
    assert_eq!(names(&point), [""; 0], "below the bare mount point");
    // Another disk at the same place is not taken for it.
    let _disk = SmallDisk::mount(&point, 64 << 20).unwrap();
    let refused = saving.run(&["run"]).await.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(names(&point), [""; 0], "on a disk that is another one");
}

#[tokio::test]
async fn an_archive_whose_line_is_cut_gets_no_name() {
    let saving = Saving::new().unwrap();
    let at = address::fresh();
    let mut sshd = Sshd::start(saving.top(), at).await.unwrap();
    let repository = saving.top().join("repository");
    fs::write(saving.source().join("large"), noise(12_000_000, 1)).unwrap();
    saving.write_job_of("tar", &format!("{}{SLOWLY}", sshd.repository(&repository))).unwrap();
    let mut engine = saving.start(&["run"]).unwrap();
    let job = repository.join("pi-1/home");
    let begun = || names(&job).iter().any(|name| fs::metadata(job.join(name)).is_ok_and(|file| file.len() > 1_000_000));
    wait_until("a part of it", async || begun()).await.unwrap();
    sshd.cut().await.unwrap();
    assert_eq!(engine.ended().await.unwrap().code(), Some(1));
    assert!(names(&job).iter().all(|name| !name.ends_with(".zst")), "{:?}", names(&job));
    let sshd = Sshd::start(saving.top(), at).await.unwrap();
    saving.write_job_of("tar", &sshd.repository(&repository)).unwrap();
    saving.save().await.unwrap();
    assert!(names(&job).iter().all(|name| !name.ends_with(".partial")), "{:?}", names(&job));
    // Looked at where it is: each look from here is a connection of its own.
    saving.write_job_of("tar", &format!("repository = '{}'\n", repository.display())).unwrap();
    let back = saving.top().join("back");
    saving.give_back(&back).await.unwrap();
    assert_eq!(saving.differences(&saving.below(&back)).await.unwrap(), "");
}

#[tokio::test]
async fn a_tree_whose_daemon_dies_is_none() {
    let saving = Saving::new().unwrap();
    let module = saving.top().join("module");
    fs::create_dir_all(module.join("sub")).unwrap();
    let at = address::fresh();
    let daemon = Rsyncd::start(saving.top(), &module, at).await.unwrap();
    fs::write(saving.source().join("a"), "small").unwrap();
    fs::write(saving.source().join("large"), noise(12_000_000, 1)).unwrap();
    saving.write_job(&format!("{}{SLOWLY}", daemon.repository("sub"))).unwrap();
    let mut engine = saving.start(&["run"]).unwrap();
    let job = module.join("sub/pi-1/home");
    // A daemon gives no other names: a tree is one when its manifest stands beside it.
    let arrived = || names(&job).iter().any(|name| saving.below(&job.join(name)).join("a").exists());
    wait_until("a file that arrived", async || arrived()).await.unwrap();
    drop(daemon);
    assert_eq!(engine.ended().await.unwrap().code(), Some(1));
    let daemon = Rsyncd::start(saving.top(), &module, at).await.unwrap();
    saving.write_job(&daemon.repository("sub")).unwrap();
    assert_eq!(saving.archives().await.unwrap(), [""; 0]);
    let archive = saving.save().await.unwrap();
    assert_eq!(saving.archives().await.unwrap(), [archive.as_str()]);
    assert_eq!(saving.differences(&saving.below(&job.join(&archive))).await.unwrap(), "");
}

#[tokio::test]
async fn a_file_that_the_disk_does_not_give_is_named_and_the_rest_is_saved() {
    for engine in ["tar", "rsync"] {
        let saving = Saving::in_memory().unwrap();
        let repository = saving.top().join("repository");
        saving.write_job_of(engine, &format!("repository = '{}'\n", repository.display())).unwrap();
        for (name, len) in [("before", 1000), ("bad", 5_000), ("bad-and-large", 9_000_000), ("last", 1000)] {
            fs::write(saving.source().join(name), noise(len, 1)).unwrap();
        }
        for bad in ["bad", "bad-and-large"] {
            let path = saving.source().join(bad);
            let ended = run_to_end(refused_file(&saving.engine(&["run", "--full"]).unwrap(), READS, "EIO", &path))
                .await
                .unwrap();
            let result: Value = serde_json::from_str(&ended.out).unwrap();
            assert_eq!((ended.code, &result["outcome"]), (Some(3), &"partial".into()), "{engine}: {ended:?}");
            assert_eq!(result["problem_counts"].to_string(), "{\"unreadable\":1}", "{engine}");
            assert_eq!(result["problems"][0]["path"], path.display().to_string(), "{engine}");
            let archive = result["archive"].as_str().unwrap();
            assert_eq!(saving.run(&["verify", archive]).await.unwrap().code, Some(0), "{engine}");
            let back = saving.top().join("back");
            let _ = fs::remove_dir_all(&back);
            saving.give_back(&back).await.unwrap();
            let mut there = names(&saving.source());
            there.retain(|name| name != bad);
            assert_eq!(names(&saving.below(&back)), there, "{engine}");
        }
        saving.save().await.unwrap();
        let back = saving.top().join("back");
        fs::remove_dir_all(&back).unwrap();
        saving.give_back(&back).await.unwrap();
        assert_eq!(saving.differences(&saving.below(&back)).await.unwrap(), "", "{engine}: the next run has it all");
    }
}

#[tokio::test]
async fn a_file_that_does_not_hold_still_is_told_and_harms_no_other() {
    for engine in ["tar", "rsync"] {
        let saving = Saving::in_memory().unwrap();
        let repository = saving.top().join("repository");
        // So slow that the writer has its turn while the file is read, however busy the machine is.
        let lines = format!("repository = '{}'\n[limits]\nbytes_per_second = 2000000\n", repository.display());
        saving.write_job_of(engine, &lines).unwrap();
        for (name, length) in [("before", 100_000), ("changing", 9_000_000), ("last", 100_000)] {
            fs::write(saving.source().join(name), noise(length, 1)).unwrap();
        }
        let over = Arc::new(AtomicBool::new(false));
        let changing = File::options().write(true).open(saving.source().join("changing")).unwrap();
        let seen = Arc::clone(&over);
        // It grows and shrinks in turns, many times while it is read once.
        let writer = std::thread::spawn(move || {
            for turn in 0_u64.. {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                changing.set_len(9_000_000 - (turn % 2) * 6_000_000).unwrap();
                changing.write_at(&turn.to_le_bytes(), 0).unwrap();
            }
        });
        let ended = saving.run(&["run"]).await;
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        let engine_run = ended.unwrap();
        let result: Value = serde_json::from_str(&engine_run.out).unwrap();
        assert_eq!((engine_run.code, &result["outcome"]), (Some(3), &"warn".into()), "{engine}: {engine_run:?}");
        let told = saving.source().join("changing").display().to_string();
        assert!(result["problems"].as_array().unwrap().iter().all(|problem| problem["path"] == told), "{engine}");
        assert_eq!(saving.run(&["verify"]).await.unwrap().code, Some(0), "{engine}");
        let back = saving.top().join("back");
        saving.give_back(&back).await.unwrap();
        let differences = saving.differences(&saving.below(&back)).await.unwrap();
        assert!(differences.lines().all(|line| line.ends_with("changing")), "{engine}: {differences}");
    }
}

#[tokio::test]
async fn what_is_changed_in_any_part_of_an_archive_is_found() {
    let saving = Saving::in_memory().unwrap();
    let repository = saving.top().join("repository");
    saving.write_job_of("tar", &format!("repository = '{}'\n", repository.display())).unwrap();
    for number in 0..200 {
        fs::write(saving.source().join(format!("{number}")), noise(1000, number)).unwrap();
    }
    fs::write(saving.source().join("large"), noise(9_000_000, 1)).unwrap();
    let archive = saving.save().await.unwrap();
    let path = repository.join("pi-1/home").join(&archive);
    let manifest = rackhaven_backup::manifest::Manifest::open(File::open(&path).unwrap()).unwrap();
    let (frames, footer) = (&manifest.table.frames, manifest.footer);
    let end = fs::metadata(&path).unwrap().len();
    let mut places: Vec<(String, u64)> = Vec::new();
    let mut spread = |what: &str, from: u64, to: u64, count: u64| {
        let step = (to - from).div_ceil(count).max(1);
        places.extend((from..to).step_by(step as usize).chain([to - 1]).map(|at| (what.to_owned(), at)));
    };
    let mut at = 0;
    for (number, frame) in frames.iter().enumerate() {
        let stored = u64::from(frame.stored_bytes);
        spread(&format!("the head of frame {number}"), at, at + 6, 3);
        spread(&format!("the body of frame {number}"), at + 6, at + stored - 4, 2);
        spread(&format!("the checksum of frame {number}"), at + stored - 4, at + stored, 1);
        at += stored;
    }
    assert_eq!(at, footer.manifest_offset);
    let table = at + footer.manifest_bytes - footer.table_bytes;
    spread("the manifest's head", at, at + 8, 4);
    spread("the records", at + 8, table, 12);
    spread("the table of frames", table, at + footer.manifest_bytes, 8);
    spread("the footer", at + footer.manifest_bytes, end, 16);
    assert!(places.len() > 60, "{}", places.len());
    let file = File::options().read(true).write(true).open(&path).unwrap();
    for (what, at) in places {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
        let found = saving.run(&["verify", &archive]).await.unwrap();
        assert_eq!(found.code, Some(1), "{what}, byte {at}: {found:?}");
        file.write_all_at(&byte, at).unwrap();
    }
    for length in [0, end / 2, footer.manifest_offset, end - 1] {
        fs::write(path.with_extension("kept"), fs::read(&path).unwrap()).unwrap();
        file.set_len(length).unwrap();
        assert_eq!(saving.run(&["verify", &archive]).await.unwrap().code, Some(1), "cut at {length}");
        file.write_all_at(&fs::read(path.with_extension("kept")).unwrap(), 0).unwrap();
    }
    assert_eq!(saving.run(&["verify", &archive]).await.unwrap().code, Some(0));
}

#[tokio::test]
async fn what_is_changed_in_any_part_of_a_tree_is_found() {
    let saving = Saving::in_memory().unwrap();
    let repository = saving.top().join("repository");
    saving.write_job(&format!("repository = '{}'\n", repository.display())).unwrap();
    fs::create_dir(saving.source().join("folder")).unwrap();
    for name in ["file", "other", "folder/inside"] {
        fs::write(saving.source().join(name), noise(300_000, 1)).unwrap();
    }
    fs::hard_link(saving.source().join("other"), saving.source().join("second name")).unwrap();
    std::os::unix::fs::symlink("file", saving.source().join("link")).unwrap();
    let archive = saving.save().await.unwrap();
    let job = repository.join("pi-1/home");
    let (tree, kept) = (saving.below(&job.join(&archive)), saving.top().join("kept"));
    let shell = |script: &str| {
        let mut sh = command("sh");
        let done = sh.args(["-ec", script, "sh"]).arg(&tree).arg(&kept).arg(job.join(&archive)).status().unwrap();
        assert!(done.success(), "{script}");
    };
    shell("cp -a \"$3\" \"$2\"");
    for damage in [
        "printf z | dd of=\"$1/file\" bs=1 seek=0 conv=notrunc status=none",
        "printf y | dd of=\"$1/folder/inside\" bs=1 seek=299999 conv=notrunc status=none",
        "truncate -s 100 \"$1/file\"",
        "touch -d 2001-01-01 \"$1/file\"",
        "touch -d 2001-01-01 \"$1/folder\"",
        "chmod 600 \"$1/folder/inside\"",
        "chown 7:7 \"$1/file\"",
        "rm \"$1/folder/inside\"",
        "rm -r \"$1/folder\"",
        "ln -sfn elsewhere \"$1/link\"",
        "rm \"$1/file\"; mkdir \"$1/file\"",
        "rm \"$1/second name\"; cp -a \"$1/other\" \"$1/second name\"",
        "setfattr -n trusted.x -v 1 \"$1/file\"",
    ] {
        shell(damage);
        let found = saving.run(&["verify", &archive]).await.unwrap();
        assert_eq!(found.code, Some(1), "{damage}: {found:?}");
        shell("rm -r \"$3\"; cp -a \"$2\" \"$3\"");
    }
    assert_eq!(saving.run(&["verify", &archive]).await.unwrap().code, Some(0));
    let manifest = job.join(format!("{archive}.manifest.zst"));
    let whole = fs::read(&manifest).unwrap();
    for at in (0..whole.len()).step_by(whole.len().div_ceil(24)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        File::create(&manifest).unwrap().write_all(&bytes).unwrap();
        assert_eq!(saving.run(&["verify", &archive]).await.unwrap().code, Some(1), "byte {at} of the manifest");
    }
}
