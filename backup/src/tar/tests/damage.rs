use std::fs;

use super::Folder;
use super::Rig;
use super::tree::content;
use crate::outcome::{Outcome, Problems};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::tar::{Check, Checked, ReadError, verify};

fn check(shelf: &Folder, name: &str, percent: u8) -> (Result<Checked, ReadError>, Problems) {
    let problems = Problems::default();
    let check = Check {
        percent,
        seed: 7,
        threads: 2,
        problems: &problems,
        progress: &Progress::default(),
        stop: &Stop::default(),
    };
    let checked = verify(shelf, name, &check);
    (checked, problems)
}

fn rig() -> Rig {
    let rig = Rig::new();
    fs::write(rig.tree().join("big"), content(9_000_000, 1)).unwrap();
    for n in 0..40 {
        fs::write(rig.tree().join(format!("small-{n}")), content(3000, n)).unwrap();
    }
    rig
}

#[test]
fn each_region_that_is_changed_is_found() {
    let mut rig = rig();
    let run = rig.full();
    let (checked, problems) = check(&rig.shelf(), &run.name, 100);
    let checked = checked.unwrap();
    assert!(checked.is_good() && problems.outcome() == Outcome::Ok);
    assert_eq!((checked.frames, checked.frames_read), (6, 6));

    let path = rig.archives().join("damaged");
    let whole = fs::read(rig.archives().join(&run.name)).unwrap();
    let is_found = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        check(&rig.shelf(), "damaged", 100).0.map_or(true, |checked| !checked.is_good())
    };
    assert!(!is_found(&whole));
    let end = whole.len() - 6000;
    for at in (0..end).step_by(end / 40).chain((end..whole.len()).step_by(97)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(is_found(&bytes), "a bit of byte {at} of {}", whole.len());
        assert!(is_found(&whole[..at]), "cut at {at}");
    }
    // A whole frame is missing, which plain zstd and tar do not see.
    let first = crate::tar::open_manifest(&rig.shelf(), &run.name).unwrap().table.frames[0].stored_bytes as usize;
    assert!(is_found(&whole[first..]));
    assert!(is_found(&[whole.as_slice(), b"more"].concat()));
}

#[test]
fn what_is_lost_is_named() {
    let mut rig = rig();
    let run = rig.full();
    let path = rig.archives().join(&run.name);
    let mut bytes = fs::read(&path).unwrap();
    let table = crate::tar::open_manifest(&rig.shelf(), &run.name).unwrap().table;
    // The last piece of the big file: the frames are the folder, three of the big file, the small files, the end.
    let at = table.offset_of(3) as usize + 20;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (checked, problems) = check(&rig.shelf(), &run.name, 100);
    assert_eq!(checked.unwrap().frames_damaged, 1);
    let lost: Vec<_> = problems.listed().into_iter().map(|problem| problem.path).collect();
    assert_eq!(lost, [rig.tree().join("big").to_str().unwrap()]);

    let (restored, problems) = rig.restore(&rig.shelf(), &run.name, "to", &[]);
    assert_eq!(restored.entries, 41, "all but one");
    assert_eq!(problems.len(), 1);
    assert!(!rig.restored("to").join("big").exists());
}

#[test]
fn an_archive_that_another_builds_on_must_be_there() {
    let mut rig = rig();
    let full = rig.full();
    fs::write(rig.tree().join("small-1"), "changed").unwrap();
    let increment = rig.run();
    assert!(check(&rig.shelf(), &increment.name, 100).0.unwrap().is_good());
    // Another archive takes its name.
    fs::rename(rig.archives().join(&full.name), rig.archives().join("aside")).unwrap();
    fs::copy(rig.archives().join(&increment.name), rig.archives().join(&full.name)).unwrap();
    let checked = check(&rig.shelf(), &increment.name, 100).0.unwrap();
    assert_eq!(checked.chain, ["the archive 0.tar.zst is not the one that is needed: another took its name"]);
    fs::remove_file(rig.archives().join(&full.name)).unwrap();
    let checked = check(&rig.shelf(), &increment.name, 100).0.unwrap();
    assert!(!checked.is_good());
    assert!(checked.chain[0].starts_with("opening the archive 0.tar.zst: "), "{:?}", checked.chain);
}

#[test]
fn a_sample_reads_a_part() {
    let mut rig = Rig::new();
    fs::write(rig.tree().join("big"), content(60_000_000, 1)).unwrap();
    let run = rig.full();
    let checked = check(&rig.shelf(), &run.name, 20).0.unwrap();
    assert!((1..=8).contains(&checked.frames_read), "{} of {}", checked.frames_read, checked.frames);
}
