//! The inputs that fuzzing began with, and those that it found, are run again: whole, cut short and damaged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rackhaven_tests::fuzz::TARGETS;

/// Of each input, so many cuts and so many flipped bits are tried, spread over its length.
const SPOTS: usize = 1024;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The input itself, its beginnings, and the input with one bit changed; each with a word on what it is.
fn variants(input: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let step = input.len().div_ceil(SPOTS).max(1);
    let cuts = (0..input.len()).step_by(step).map(|at| (format!("cut at {at}"), input[..at].to_vec()));
    let flips = (0..input.len()).step_by(step).map(move |at| {
        let mut bytes = input.to_vec();
        bytes[at] ^= 1 << (at / step % 8);
        (format!("a bit of byte {at} flipped"), bytes)
    });
    std::iter::once(("whole".to_owned(), input.to_vec())).chain(cuts).chain(flips)
}

#[test]
fn nothing_breaks_on_what_was_found() {
    let corpus = fuzz_folder().join("corpus");
    for (name, target) in TARGETS {
        for file in names(&corpus.join(name)) {
            let path = corpus.join(name).join(file);
            let input = fs::read(&path).unwrap();
            for (what, bytes) in variants(&input) {
                let ran = std::panic::catch_unwind(|| target(&bytes));
                assert!(ran.is_ok(), "{} breaks {name}: {what}", path.display());
            }
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_corpus() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs: BTreeSet<String> =
        names(&fuzz_folder().join("fuzz_targets")).iter().map(|file| file.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(programs, known);
    assert_eq!(names(&fuzz_folder().join("corpus")), known);
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for name in &known {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
        let program = fs::read_to_string(fuzz_folder().join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(program.contains(&format!("rackhaven_tests::fuzz::{name}(data)")), "{name} runs something else");
    }
}
