//! What an installation places on a node, and what of it is left to do there. Pure: what is there comes in as it was
//! seen.

use std::collections::BTreeMap;

use rackhaven_proto::model::k3s::{Artifact, ArtifactKind, Digest, K3sPlace, K3sRole, K3sSettings};

use super::{config, unit};
use crate::files::sha256;
use crate::paths::{ACCOUNT, AGENT_TOKEN, CONFIG, IMAGES, LINKS, PROGRAM, TOKEN};

/// The account that the controller works with.
pub const ACCOUNT_MANIFEST: &str = include_str!("../access.yaml");

/// A part of what is placed: one step of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The program and its other names.
    Program,
    /// The images of K3s's own pods.
    Images,
    /// What gives the controller an account.
    Account,
    /// Configuration and tokens.
    Configuration,
    /// The unit and its environment.
    Unit,
}

impl Part {
    /// All, in the order in which they are placed.
    pub const ALL: [Self; 5] = [Self::Program, Self::Images, Self::Account, Self::Configuration, Self::Unit];

    /// As the step is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Images => "images",
            Self::Account => "account",
            Self::Configuration => "configuration",
            Self::Unit => "unit",
        }
    }
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From here.
    Bytes(Vec<u8>),
    /// From a file of the order.
    Artifact(Artifact),
}

/// A file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of which part.
    pub part: Part,
    /// Where.
    pub path: String,
    /// With which permissions.
    pub mode: u32,
    /// With which bytes.
    pub sum: Digest,
    /// From where.
    pub source: Source,
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Absent,
    /// A file with these permissions and this SHA-256.
    File(u32, Digest),
    /// A link to this.
    Link(String),
    /// Something else.
    Other,
}

/// What is left to do for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This file is to be written: the wanted one of this number.
    Write(usize),
    /// Its permissions are to be set: the wanted one of this number.
    SetMode(usize),
    /// A link to the program is to be made.
    Link(&'static str),
    /// A file is to be removed.
    Remove(String),
}

/// All files of an installation.
#[must_use]
pub fn wanted(settings: &K3sSettings, artifacts: &[Artifact]) -> Vec<Wanted> {
    let mut all = Vec::new();
    for artifact in artifacts {
        let (part, path, mode) = match artifact.kind {
            ArtifactKind::Program => (Part::Program, PROGRAM.to_owned(), 0o755),
            ArtifactKind::ImagesZst | ArtifactKind::ImagesGz | ArtifactKind::ImagesTar => {
                (Part::Images, format!("{IMAGES}/{}", images_name(artifact)), 0o644)
            }
        };
        all.push(Wanted { part, path, mode, sum: artifact.sha256, source: Source::Artifact(artifact.clone()) });
    }
    let mut text = |part: Part, path: &str, mode: u32, text: String| {
        let bytes = text.into_bytes();
        all.push(Wanted { part, path: path.to_owned(), mode, sum: sha256(&bytes), source: Source::Bytes(bytes) });
    };
    if matches!(settings.place, K3sPlace::First { .. }) {
        text(Part::Account, ACCOUNT, 0o600, ACCOUNT_MANIFEST.to_owned());
    }
    let (own, agents) = config::tokens(settings);
    text(Part::Configuration, TOKEN, 0o600, format!("{own}\n"));
    if let Some(password) = agents {
        text(Part::Configuration, AGENT_TOKEN, 0o600, format!("{password}\n"));
    }
    text(Part::Configuration, CONFIG, 0o600, config::config(settings));
    let role = settings.role();
    text(Part::Unit, &unit::environment_path(role), 0o600, unit::environment(role));
    text(Part::Unit, &unit::unit_path(role), 0o644, unit::unit(role));
    all.sort_by_key(|wanted| wanted.part);
    all
}

/// As K3s calls the file.
fn images_name(artifact: &Artifact) -> String {
    let arch = match artifact.arch.as_str() {
        "armhf" => "arm",
        arch => arch,
    };
    format!("k3s-airgap-{}", artifact.kind.as_str().replacen("images", &format!("images-{arch}"), 1))
}

/// Whether a file in the folder of images is one of a release, and not the admin's.
#[must_use]
pub fn is_release_images(name: &str) -> bool {
    name.starts_with("k3s-airgap-images-")
}

/// What is left to do, part by part; `images` are the names in the folder of images.
#[must_use]
pub fn plan(wanted: &[Wanted], seen: &BTreeMap<String, Seen>, images: &[String]) -> Vec<(Part, Vec<Change>)> {
    let at = |path: &str| seen.get(path).unwrap_or(&Seen::Absent);
    let of = |part: Part| {
        let mut changes: Vec<Change> = Vec::new();
        for (number, file) in wanted.iter().enumerate().filter(|(_, file)| file.part == part) {
            match at(&file.path) {
                Seen::File(mode, sum) if *sum == file.sum && *mode == file.mode => {}
                Seen::File(_, sum) if *sum == file.sum => changes.push(Change::SetMode(number)),
                Seen::Absent | Seen::File(..) | Seen::Link(_) | Seen::Other => changes.push(Change::Write(number)),
            }
        }
        match part {
            // Another program of that name is the admin's.
            Part::Program => {
                changes.extend(LINKS.into_iter().filter(|path| *at(path) == Seen::Absent).map(Change::Link));
            }
            Part::Images => {
                let places =
                    images.iter().filter(|name| is_release_images(name)).map(|name| format!("{IMAGES}/{name}"));
                let old = places.filter(|place| !wanted.iter().any(|file| file.path == *place));
                changes.extend(old.map(Change::Remove));
            }
            Part::Configuration => {
                let is_wanted = wanted.iter().any(|file| file.path == AGENT_TOKEN);
                if !is_wanted && *at(AGENT_TOKEN) != Seen::Absent {
                    changes.push(Change::Remove(AGENT_TOKEN.to_owned()));
                }
            }
            Part::Account | Part::Unit => {}
        }
        (part, changes)
    };
    Part::ALL.into_iter().map(of).collect()
}

/// A sum of all that a running K3s has read at its start: if it is another one, K3s is to be started anew.
#[must_use]
pub fn fingerprint(wanted: &[Wanted]) -> String {
    let is_read = |file: &&Wanted| matches!(file.part, Part::Program | Part::Configuration | Part::Unit);
    let lines = wanted.iter().filter(is_read).map(|file| format!("{} {:o} {}\n", file.path, file.mode, file.sum));
    sha256(lines.collect::<String>().as_bytes()).to_string()
}

/// Refuses an order that would make something else of an installation that is ours.
///
/// # Errors
/// Why, for a person.
pub fn same_node(role: &str, node_name: &str, settings: &K3sSettings) -> Result<(), String> {
    let other_role: K3sRole = settings.role();
    if !role.is_empty() && role != other_role.as_str() {
        return Err(format!("K3s is here already, as {role}: it must leave the cluster before it can be {other_role}"));
    }
    if !node_name.is_empty() && node_name != settings.node_name.as_str() {
        return Err(format!(
            "K3s is here already, as node {node_name}: it must leave the cluster before it can be {}",
            settings.node_name
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
