//! The double as the files of a release.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rackhaven_pki::sha256;

use rackhaven_proto::model::k3s::{Arch, Artifact, ArtifactKind, Digest};

use crate::process::command;

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
}

impl DoubleRelease {
    /// Makes them in a folder.
    ///
    /// # Errors
    /// When the double has not been built, or nothing can be written.
    pub fn make(folder: &Path, version: &str) -> anyhow::Result<Self> {
        let arch = arch()?;
        fs::create_dir_all(folder)?;
        let program = folder.join(format!("k3s-{arch}-{version}"));
        // What helps to debug it is ten times as long.
        let stripped = command("strip").arg("-o").arg(&program).arg(double()?).status().context("starting strip")?;
        ensure!(stripped.success(), "strip: {stripped}");
        let mut program = fs::read(program).context("reading the double")?;
        program.extend_from_slice(format!("{MARK}{version}\n").as_bytes());
        let images = [&[0x28, 0xb5, 0x2f, 0xfd][..], format!("images of {version}").as_bytes()].concat();
        let release = Self {
            version: version.to_owned(),
            program: folder.join(format!("k3s-{arch}-{version}")),
            images: folder.join(format!("k3s-airgap-images-{arch}-{version}.tar.zst")),
        };
        fs::write(&release.program, program).context("writing the program")?;
        fs::write(&release.images, images).context("writing the images")?;
        Ok(release)
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
