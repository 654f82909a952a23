//! The double as the files of a release.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rackhaven_pki::sha256;

use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest};

use crate::process::command;
use crate::release::{add_command, write_list};

/// The release that the double is, if nothing else is written at its end.
pub const VERSION: &str = "v1.31.4+k3s1";
/// What stands before the release at the end of the program.
const MARK: &str = "\nK3S-DOUBLE ";
/// More than mark and release have, bytes.
const END_BYTES: u64 = 64;

/// Which release this program is.
pub(super) fn version() -> String {
    let read = || {
        let mut file = fs::File::open("/proc/self/exe").ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES))).ok()?;
        let mut end = Vec::new();
        file.read_to_end(&mut end).ok()?;
        String::from_utf8_lossy(&end).rsplit_once(MARK).map(|(_, version)| version.trim().to_owned())
    };
    read().unwrap_or_else(|| VERSION.to_owned())
}

/// Files of a release, as an order names them.
#[derive(Debug, Clone)]
pub struct DoubleRelease {
    /// Its name.
    pub version: String,
    /// The program.
    pub program: PathBuf,
    /// Images, which nobody unpacks.
    pub images: PathBuf,
    /// The release's own list of both.
    pub list: PathBuf,
}

impl DoubleRelease {
    /// Makes them in a folder of their own, by the names that a release gives them.
    ///
    /// # Errors
    /// When the double has not been built, or nothing can be written.
    pub fn make(folder: &Path, version: &str) -> anyhow::Result<Self> {
        let arch = arch()?;
        fs::create_dir_all(folder)?;
        let names = match arch {
            Arch::Amd64 => ["k3s".to_owned(), "k3s-airgap-images-amd64.tar.zst".to_owned()],
            arch => [format!("k3s-{arch}"), format!("k3s-airgap-images-{arch}.tar.zst")],
        };
        let [program, images] = names.each_ref().map(|name| folder.join(name));
        // What helps to debug it is ten times as long.
        let stripped = command("strip").arg("-o").arg(&program).arg(double()?).status().context("starting strip")?;
        ensure!(stripped.success(), "strip: {stripped}");
        let bytes = fs::read(&program).context("reading the double")?;
        let end = format!("{MARK}{version}\n");
        fs::write(&program, [bytes.as_slice(), end.as_bytes()].concat()).context("writing the program")?;
        let bytes = [&[0x28, 0xb5, 0x2f, 0xfd][..], format!("images of {version}").as_bytes()].concat();
        fs::write(&images, bytes).context("writing the images")?;
        let list = write_list(folder, &names.each_ref().map(String::as_str))?;
        Ok(Self { version: version.to_owned(), program, images, list })
    }

    /// The command that gives them to the controller.
    pub fn add(&self) -> String {
        add_command(&self.version, &[self.program.clone(), self.images.clone(), self.list.clone()])
    }

    /// As an order names them.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn artifacts(&self) -> anyhow::Result<Vec<Artifact>> {
        let of = |path: &Path, kind: ArtifactKind| -> anyhow::Result<Artifact> {
            let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            Ok(Artifact {
                version: self.version.parse()?,
                arch: arch()?,
                kind,
                bytes: bytes.len() as u64,
                sha256: Digest(sha256(&bytes)),
                added_unix_ms: 0,
                source: None,
            })
        };
        Ok(vec![of(&self.program, ArtifactKind::Program)?, of(&self.images, ArtifactKind::ImagesZst)?])
    }
}

fn arch() -> anyhow::Result<Arch> {
    let mut first = [0; 64];
    fs::File::open(double()?)?.read_exact(&mut first)?;
    Arch::of_program(&first).context("the double runs on no processors that are known")
}

/// The program, beside the others that were built.
pub(super) fn double() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("finding the test binary")?;
    let path = test.ancestors().nth(2).context("the test binary lies in no target folder")?.join("k3s-double");
    ensure!(path.is_file(), "{} has not been built; run tests/run, which builds all", path.display());
    Ok(path)
}
