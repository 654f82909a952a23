//! Which files of a release were given, and whether they are what its list says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest, K3sVersion, Source};
use ring::digest::{Context, SHA256};

use crate::error::CtlError;

/// The longest list of checksums, bytes; those of releases have some lines.
const MAX_LIST_BYTES: u64 = 64 * 1024;
/// Read at a time, bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// A file that will be handed over, or of which nothing but what it is.
#[derive(Debug)]
pub(super) struct Chosen {
    /// What it is called towards people.
    pub(super) name: String,
    /// None if nodes fetch it by themselves.
    pub(super) path: Option<PathBuf>,
    pub(super) artifact: Artifact,
}

/// Looks at the files, and sorts them into lists of checksums and what these are of.
///
/// # Errors
/// When one cannot be read, is nothing of a release, or is in none of the lists with the SHA-256 that it has.
pub(super) fn choose(version: &K3sVersion, paths: &[PathBuf]) -> Result<Vec<Chosen>, CtlError> {
    let (lists, files): (Vec<_>, Vec<_>) = paths.iter().partition(|path| is_list(path));
    let listed = read_lists(lists)?;
    files.into_iter().map(|path| look(version, path, &listed)).collect()
}

/// What nodes fetch by themselves from a folder of this URL: the programs that stand in the lists, and `images` too.
///
/// # Errors
/// When something else than lists was given, one cannot be read, or the URL is none.
pub(super) fn elsewhere(
    version: &K3sVersion,
    folder: &str,
    images: bool,
    paths: &[PathBuf],
) -> Result<Vec<Chosen>, CtlError> {
    if let Some(other) = paths.iter().find(|path| !is_list(path)) {
        let text = format!("{}: with --from only lists of checksums, sha256sum-….txt, are given", other.display());
        return Err(CtlError::usage(text));
    }
    if folder.contains(['?', '#']) {
        return Err(CtlError::usage(
            "--from: the URL is that of a folder, without ? and #; names of files are added to it",
        )
        .hint("a server that wants something signed or a password is none that nodes can fetch from"));
    }
    let mut chosen: Vec<Chosen> = Vec::new();
    for (sha256, name) in read_lists(paths.iter())? {
        let program = program_by_name(&name).map(|arch| (arch, ArtifactKind::Program));
        // Of the forms in which there are images, the shortest is enough.
        let packed = images && name.ends_with(".tar.zst");
        let known = program.or_else(|| packed.then(|| Some((arch_by_name(&name)?, ArtifactKind::ImagesZst)))?);
        let Some((arch, kind)) = known else { continue };
        let source: Source = format!("{}/{name}", folder.trim_end_matches('/'))
            .parse()
            .map_err(|invalid: rackhaven_proto::Invalid| CtlError::usage(format!("--from: {}", invalid.reason)))?;
        let version = version.clone();
        let artifact = Artifact { version, arch, kind, bytes: 0, sha256, added_unix_ms: 0, source: Some(source) };
        chosen.push(Chosen { name, path: None, artifact });
    }
    match chosen.is_empty() {
        true => Err(CtlError::failed("the lists name no program of K3s: k3s, k3s-arm64 or k3s-armhf")),
        false => Ok(chosen),
    }
}

fn read_lists<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Vec<(Digest, String)>, CtlError> {
    let mut listed = Vec::new();
    for path in paths {
        listed.extend(read_list(path)?);
    }
    if let Some((name, one, other)) = contradiction(&listed) {
        return Err(CtlError::failed(format!(
            "the lists give {name:?} two checksums, {one} and {other}; nothing was done"
        ))
        .hint("they are of different releases, or one of them is damaged"));
    }
    match listed.is_empty() {
        true => Err(CtlError::usage("the release's list of checksums is missing; nothing was done").hint(
            "give it too: the file sha256sum-amd64.txt, sha256sum-arm64.txt or sha256sum-arm.txt of the release",
        )),
        false => Ok(listed),
    }
}

/// A program or images that stand in the lists with two checksums.
fn contradiction(listed: &[(Digest, String)]) -> Option<(&str, Digest, Digest)> {
    let mut known = BTreeMap::new();
    let counts = |name: &str| program_by_name(name).or_else(|| arch_by_name(name)).is_some();
    listed.iter().filter(|(_, name)| counts(name)).find_map(|(sha256, name)| {
        match known.insert(name.as_str(), *sha256) {
            Some(other) if other != *sha256 => Some((name.as_str(), other, *sha256)),
            _ => None,
        }
    })
}

/// For which processors there is a program and no images.
pub(super) fn without_images(chosen: &[Chosen]) -> Vec<Arch> {
    let has = |arch: Arch, is_program: bool| {
        let fits = |kind: ArtifactKind| (kind == ArtifactKind::Program) == is_program;
        chosen.iter().any(|file| file.artifact.arch == arch && fits(file.artifact.kind))
    };
    [Arch::Amd64, Arch::Arm64, Arch::Armhf].into_iter().filter(|arch| has(*arch, true) && !has(*arch, false)).collect()
}

fn is_list(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sha256sum"))
}

/// One line of a list: `HEX  NAME`, as sha256sum(1) writes it.
fn parse_list(text: &str) -> Result<Vec<(Digest, String)>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let (hex, name) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let digest = hex.parse().map_err(|invalid| format!("line {}: {invalid}", number + 1))?;
            Ok((digest, name.trim_start_matches([' ', '*', '\t']).trim_end().to_owned()))
        })
        .collect()
}

fn read_list(path: &Path) -> Result<Vec<(Digest, String)>, CtlError> {
    let failed = |reason: String| CtlError::failed(format!("{}: {reason}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_LIST_BYTES).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    parse_list(&text).map_err(failed)
}

/// For which processors a program is, by the release's name for it.
fn program_by_name(name: &str) -> Option<Arch> {
    match name {
        "k3s" => Some(Arch::Amd64),
        "k3s-arm64" => Some(Arch::Arm64),
        "k3s-armhf" => Some(Arch::Armhf),
        _ => None,
    }
}

/// For which processors images are, by the release's name for them: what they hold does not tell.
fn arch_by_name(name: &str) -> Option<Arch> {
    let stem = name.strip_prefix("k3s-airgap-images-")?.split('.').next()?;
    match stem {
        "amd64" => Some(Arch::Amd64),
        "arm64" => Some(Arch::Arm64),
        "arm" => Some(Arch::Armhf),
        _ => None,
    }
}

fn look(version: &K3sVersion, path: &Path, listed: &[(Digest, String)]) -> Result<Chosen, CtlError> {
    let shown = path.display();
    let failed = |reason: String| CtlError::failed(format!("{shown}: {reason}; nothing was done"));
    let mut file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let (mut hash, mut first, mut bytes) = (Context::new(&SHA256), Vec::new(), 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = file.read(&mut piece).map_err(|error| failed(error.to_string()))?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        if first.is_empty() {
            first = read.to_vec();
        }
        hash.update(read);
        bytes = bytes.saturating_add(length as u64);
    }
    let sha256 = Digest(hash.finish().as_ref().try_into().unwrap_or([0; 32]));
    let kind = ArtifactKind::of_bytes(&first)
        .ok_or_else(|| failed("is neither a program nor an archive of images".to_owned()))?;
    let Some((_, name)) = listed.iter().find(|(digest, _)| *digest == sha256) else {
        return Err(failed(format!("its SHA-256, {sha256}, is in no list that was given"))
            .hint("it is damaged, not whole, or of another release than the list"));
    };
    let arch = match kind {
        ArtifactKind::Program => Arch::of_program(&first)
            .ok_or_else(|| failed("is a program for processors that Rackhaven does not know".to_owned()))?,
        _ => arch_by_name(name)
            .ok_or_else(|| failed(format!("the list calls it {name:?}, which does not tell for which processors")))?,
    };
    let artifact = Artifact { version: version.clone(), arch, kind, bytes, sha256, added_unix_ms: 0, source: None };
    Ok(Chosen { name: shown.to_string(), path: Some(path.to_owned()), artifact })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Arch, arch_by_name, contradiction, elsewhere, parse_list, without_images};

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn lists_that_contradict_are_found() {
        let other = SUM.replace('e', "f");
        let lists = |text: String| parse_list(&text).unwrap();
        let contradicts = lists(format!("{SUM}  k3s\n{SUM}  k3s-arm64\n{other}  k3s\n"));
        let (name, one, two) = contradiction(&contradicts).unwrap();
        assert_eq!((name, one.to_string(), two.to_string()), ("k3s", SUM.to_owned(), other.clone()));
        assert_eq!(contradiction(&lists(format!("{SUM}  k3s\n{SUM}  k3s\n{SUM}  notes\n{other}  notes"))), None);
    }

    #[test]
    fn what_nodes_fetch_golden() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("sha256sum-x.txt");
        let names = ["k3s", "k3s-airgap-images-amd64.tar.zst", "k3s-arm64", "k3s-airgap-images-arm64.tar", "e2e"];
        fs::write(&list, names.map(|name| format!("{SUM}  {name}\n")).concat()).unwrap();
        let version = "v1.31.4+k3s1".parse().unwrap();
        let all = |from: &str, images: bool| elsewhere(&version, from, images, std::slice::from_ref(&list));
        let sources = |from: &str, images: bool| -> Vec<String> {
            let source = |file: super::Chosen| file.artifact.source.unwrap().to_string();
            all(from, images).unwrap().into_iter().map(source).collect()
        };
        assert_eq!(sources("http://nas/x/", false), ["http://nas/x/k3s", "http://nas/x/k3s-arm64"]);
        assert_eq!(sources("http://nas", true).len(), 3);
        assert_eq!(without_images(&all("http://nas", true).unwrap()), [Arch::Arm64]);
        for bad in ["http://nas/k3s?sig=SECRET", "http://nas/#top", "http://nas:x", "nas"] {
            let refused = format!("{:?}", all(bad, false).unwrap_err());
            assert!(refused.contains("--from") && !refused.contains("SECRET"), "{refused}");
        }
    }

    #[test]
    fn lists_golden() {
        let hex = SUM;
        let names = |text: &str| -> Result<Vec<String>, String> {
            Ok(parse_list(text)?.into_iter().map(|(_, name)| name).collect())
        };
        assert_eq!(names(&format!("{hex}  k3s-arm64\n\n{hex} *images.tar\r\n")).unwrap(), ["k3s-arm64", "images.tar"]);
        assert_eq!(names(hex).unwrap(), [""]);
        assert!(names(&format!("{hex}  k3s\nNot Found")).unwrap_err().starts_with("line 2: sha256: \"Not\""));
    }

    #[test]
    fn images_tell_their_processors_by_name() {
        for (name, arch) in [
            ("k3s-airgap-images-amd64.tar.zst", Some(Arch::Amd64)),
            ("k3s-airgap-images-arm64.tar", Some(Arch::Arm64)),
            ("k3s-airgap-images-arm.tar.gz", Some(Arch::Armhf)),
            ("k3s-airgap-images-s390x.tar", None),
            ("images.tar", None),
        ] {
            assert_eq!(arch_by_name(name), arch, "{name}");
        }
    }
}
