use super::{Arch, Artifact, ArtifactError, ArtifactKind, Artifacts, Digest};

fn program(length: usize, machine: u8) -> Vec<u8> {
    let mut program = vec![b'x'; length];
    program[..4].copy_from_slice(b"\x7fELF");
    program[18..20].copy_from_slice(&[machine, 0]);
    program
}

fn artifact(bytes: &[u8]) -> Artifact {
    Artifact {
        version: "v1.31.4+k3s1".parse().unwrap(),
        arch: Arch::Arm64,
        kind: ArtifactKind::Program,
        bytes: bytes.len() as u64,
        sha256: Digest(rackhaven_pki::sha256(bytes)),
        added_unix_ms: 0,
        source: None,
    }
}

fn add(artifacts: &Artifacts, artifact: Artifact, pieces: &[&[u8]]) -> Result<Artifact, ArtifactError> {
    let mut incoming = artifacts.begin(artifact)?;
    for piece in pieces {
        incoming.write(piece)?;
    }
    incoming.check()?;
    incoming.keep()
}

fn left(folder: &std::path::Path) -> usize {
    Artifacts::new(folder.to_owned()).files().len()
}

#[test]
fn what_is_not_whole_and_right_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(folder.path().join("k3s"));
    let good = program(2000, 0xb7);
    let other = program(2000, 0x3e);
    let (begin, end) = good.split_at(100);
    for (pieces, artifact, refusal) in [
        (vec![begin], artifact(&good), "it ended after 100 of 2000 bytes"),
        (vec![begin, end, b"x"], artifact(&good), "more than the 2000 bytes"),
        (vec![begin, &[b'y'; 1900]], artifact(&good), "its SHA-256 is"),
        (vec![&other], artifact(&other), "it is a program for amd64, not for arm64"),
        (vec![b"#!/bin/sh"], artifact(b"#!/bin/sh"), "it does not begin as k3s does"),
    ] {
        let refused = add(&artifacts, artifact, &pieces).unwrap_err().to_string();
        assert!(refused.starts_with(refusal), "{refused}");
        assert_eq!((artifacts.list().len(), left(&folder.path().join("k3s"))), (0, 0), "{refusal}");
    }
    let huge = Artifact { bytes: Artifact::MOST_BYTES << 20, ..artifact(&good) };
    assert!(matches!(artifacts.begin(huge).map(drop), Err(ArtifactError::NoRoom { .. })));
}

#[test]
fn a_file_is_kept_and_replaces_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(folder.path().to_owned());
    let (first, second) = (program(600, 0xb7), program(700, 0xb7));
    for bytes in [&first, &first, &second] {
        let kept = add(&artifacts, artifact(bytes), &[&bytes[..10], &bytes[10..]]).unwrap();
        assert_eq!(artifacts.list(), [kept]);
    }
    let images = |kind: ArtifactKind, first: &[u8]| {
        add(&artifacts, Artifact { kind, ..artifact(first) }, &[first]).unwrap();
    };
    images(ArtifactKind::ImagesGz, &[0x1f, 0x8b, 1]);
    images(ArtifactKind::ImagesZst, &[0x28, 0xb5, 0x2f, 0xfd]);
    // Where it is to be had elsewhere, and then here again.
    let source = Some("https://nas/k3s".parse().unwrap());
    let pinned = artifacts.pin(&Artifact { bytes: 0, source, ..artifact(&second) }).unwrap();
    assert_eq!(artifacts.list()[0], pinned);
    assert!(artifacts.read(&pinned, 0, 10, |_| true).is_err());
    add(&artifacts, artifact(&second), &[&second]).unwrap();
    assert_eq!(artifacts.list()[0].source, None);
    let kinds: Vec<_> = artifacts.list().iter().map(|artifact| artifact.kind).collect();
    assert_eq!(kinds, [ArtifactKind::Program, ArtifactKind::ImagesZst]);
    // What a killed controller left, and what is none of ours.
    let arch = folder.path().join("v1.31.4+k3s1/arm64");
    for stray in ["0011.partial", "notes.txt", "k3s.0011"] {
        std::fs::write(arch.join(stray), "x").unwrap();
    }
    artifacts.clean();
    assert_eq!((artifacts.list().len(), left(folder.path())), (2, 4));
    for stray in ["notes.txt", "k3s.0011"] {
        std::fs::remove_file(arch.join(stray)).unwrap();
    }
    assert_eq!(artifacts.remove(|artifact| artifact.arch == Arch::Amd64).unwrap(), []);
    assert_eq!(artifacts.remove(|_| true).unwrap().len(), 2);
    assert!(super::entries(folder.path()).is_empty());
}
