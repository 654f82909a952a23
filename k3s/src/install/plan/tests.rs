use std::collections::BTreeMap;

use proptest::prelude::*;
use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, K3sPlace};

use super::super::config::tests::{agent, first};
use super::{Change, Part, Seen, Wanted, fingerprint, plan, same_node, wanted};
use crate::files::sha256;
use crate::paths::{ACCOUNT, AGENT_TOKEN, CONFIG, IMAGES, LINKS, PROGRAM, TOKEN};

fn artifact(kind: ArtifactKind, arch: Arch) -> Artifact {
    let version = "v1.31.4+k3s1".parse().unwrap();
    Artifact { version, arch, kind, bytes: 3, sha256: sha256(kind.as_str().as_bytes()), added_unix_ms: 0, source: None }
}

fn as_wanted(all: &[Wanted]) -> BTreeMap<String, Seen> {
    let files = all.iter().map(|file| (file.path.clone(), Seen::File(file.mode, file.sum)));
    files.chain(LINKS.map(|path| (path.to_owned(), Seen::Link(PROGRAM.to_owned())))).collect()
}

fn changes(all: &[Wanted], seen: &BTreeMap<String, Seen>, images: &[String]) -> Vec<(&'static str, Vec<String>)> {
    let told = |change: Change| match change {
        Change::Write(number) => format!("write {}", all[number].path),
        Change::SetMode(number) => format!("mode {}", all[number].path),
        Change::Link(path) => format!("link {path}"),
        Change::Remove(path) => format!("remove {path}"),
    };
    let parts = plan(all, seen, images).into_iter();
    parts.map(|(part, changes)| (part.name(), changes.into_iter().map(told).collect())).collect()
}

#[test]
fn what_is_wanted_golden() {
    let files = [artifact(ArtifactKind::ImagesZst, Arch::Armhf), artifact(ArtifactKind::Program, Arch::Armhf)];
    let told = |all: &[Wanted]| -> Vec<(Part, String, u32)> {
        all.iter().map(|file| (file.part, file.path.clone(), file.mode)).collect()
    };
    let unit = "/etc/systemd/system/k3s.service";
    assert_eq!(
        told(&wanted(&first(), &files)),
        [
            (Part::Program, PROGRAM.to_owned(), 0o755),
            (Part::Images, format!("{IMAGES}/k3s-airgap-images-arm.tar.zst"), 0o644),
            (Part::Account, ACCOUNT.to_owned(), 0o600),
            (Part::Configuration, TOKEN.to_owned(), 0o600),
            (Part::Configuration, CONFIG.to_owned(), 0o600),
            (Part::Unit, format!("{unit}.env"), 0o600),
            (Part::Unit, unit.to_owned(), 0o644),
        ]
    );
    let mut settings = first();
    if let K3sPlace::First { server, .. } = &mut settings.place {
        server.agent_password = Some("x".parse().unwrap());
    }
    assert!(wanted(&settings, &[]).iter().any(|file| file.path == AGENT_TOKEN && file.mode == 0o600));
    assert!(!wanted(&agent(), &[]).iter().any(|file| file.path == ACCOUNT));
}

#[test]
fn what_is_left_to_do_golden() {
    let files = [artifact(ArtifactKind::Program, Arch::Arm64), artifact(ArtifactKind::ImagesGz, Arch::Arm64)];
    let all = wanted(&agent(), &files);
    let zst = "k3s-airgap-images-arm64.tar.zst";
    let images = vec!["k3s-airgap-images-arm64.tar.gz".to_owned(), "mine.tar".to_owned(), zst.to_owned()];
    let unit = "/etc/systemd/system/k3s-agent.service";

    let nothing_there = changes(&all, &BTreeMap::new(), &[]);
    let write = |path: &str| format!("write {path}");
    assert_eq!(
        nothing_there,
        [
            (
                "program",
                vec![
                    write(PROGRAM),
                    format!("link {}", LINKS[0]),
                    format!("link {}", LINKS[1]),
                    format!("link {}", LINKS[2])
                ]
            ),
            ("images", vec![write(&format!("{IMAGES}/k3s-airgap-images-arm64.tar.gz"))]),
            ("account", vec![]),
            ("configuration", vec![write(TOKEN), write(CONFIG)]),
            ("unit", vec![write(&format!("{unit}.env")), write(unit)]),
        ]
    );

    let mut seen = as_wanted(&all);
    assert!(changes(&all, &seen, &images[..1]).iter().all(|(_, changes)| changes.is_empty()));

    seen.insert(PROGRAM.to_owned(), Seen::File(0o700, files[0].sha256));
    seen.insert(LINKS[0].to_owned(), Seen::File(0o755, sha256(b"an admin's")));
    seen.insert(TOKEN.to_owned(), Seen::Link("/elsewhere".to_owned()));
    seen.insert(CONFIG.to_owned(), Seen::File(0o600, sha256(b"old")));
    seen.insert(AGENT_TOKEN.to_owned(), Seen::File(0o600, sha256(b"old")));
    seen.insert(unit.to_owned(), Seen::Absent);
    assert_eq!(
        changes(&all, &seen, &images),
        [
            ("program", vec![format!("mode {PROGRAM}")]),
            ("images", vec![format!("remove {IMAGES}/{zst}")]),
            ("account", vec![]),
            ("configuration", vec![write(TOKEN), write(CONFIG), format!("remove {AGENT_TOKEN}")]),
            ("unit", vec![write(unit)]),
        ]
    );
}

#[test]
fn what_a_running_k3s_has_read_counts() {
    let program = artifact(ArtifactKind::Program, Arch::Arm64);
    let all = wanted(&agent(), std::slice::from_ref(&program));
    let with_images = wanted(&agent(), &[program, artifact(ArtifactKind::ImagesGz, Arch::Arm64)]);
    assert_eq!(fingerprint(&all), fingerprint(&with_images));
    let mut settings = agent();
    settings.labels.push("disk=ssd".parse().unwrap());
    assert_ne!(fingerprint(&all), fingerprint(&wanted(&settings, &[artifact(ArtifactKind::Program, Arch::Arm64)])));
}

#[test]
fn a_node_is_not_made_into_another() {
    assert_eq!(same_node("agent", "pi-1", &agent()), Ok(()));
    assert_eq!(same_node("", "", &agent()), Ok(()));
    assert!(same_node("server", "pi-1", &agent()).unwrap_err().contains("as server"));
    assert!(same_node("agent", "pi-2", &agent()).unwrap_err().contains("as node pi-2"));
}

proptest! {
    /// Whatever is there: once all changes are made, nothing is left to do.
    #[test]
    fn it_converges(states in proptest::collection::vec(0_u8..5, 10), with_images in any::<bool>(), is_agent in any::<bool>()) {
        let settings = if is_agent { agent() } else { first() };
        let mut files = vec![artifact(ArtifactKind::Program, Arch::Amd64)];
        files.extend(with_images.then(|| artifact(ArtifactKind::ImagesTar, Arch::Amd64)));
        let all = wanted(&settings, &files);
        let paths = all.iter().map(|file| file.path.clone()).chain(LINKS.map(str::to_owned)).chain([AGENT_TOKEN.to_owned()]);
        let mut seen: BTreeMap<String, Seen> = paths.zip(states.iter().cycle()).map(|(path, state)| {
            let sum = all.iter().find(|file| file.path == path).map_or(sha256(b"x"), |file| file.sum);
            let there = match state {
                0 => Seen::Absent,
                1 => Seen::File(0o600, sha256(b"other")),
                2 => Seen::File(0o777, sum),
                3 => Seen::Link("/x".to_owned()),
                _ => Seen::Other,
            };
            (path, there)
        }).collect();
        for (_, changes) in plan(&all, &seen, &[]) {
            for change in changes {
                match change {
                    Change::Write(number) | Change::SetMode(number) => {
                        let file = &all[number];
                        seen.insert(file.path.clone(), Seen::File(file.mode, file.sum));
                    }
                    Change::Link(path) => drop(seen.insert(path.to_owned(), Seen::Link(PROGRAM.to_owned()))),
                    Change::Remove(path) => drop(seen.insert(path, Seen::Absent)),
                }
            }
        }
        prop_assert!(plan(&all, &seen, &[]).iter().all(|(_, changes)| changes.is_empty()));
    }
}
