//! Files that look like those of a release of K3s, as far as anybody looks.

use std::fs;
use std::path::{Path, PathBuf};

use rackhaven_pki::{hex, sha256};

/// A folder with files of a release.
#[derive(Debug)]
pub struct Release {
    folder: PathBuf,
}

impl Release {
    /// None yet, in a folder of its own below this one.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let release = Self { folder: folder.join("release") };
        fs::create_dir(&release.folder)?;
        Ok(release)
    }

    /// A file of `length` bytes that begins so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, first: &[u8], length: usize) -> anyhow::Result<PathBuf> {
        let rest = (first.len()..length).map(|number| (number % 251) as u8);
        fs::write(self.path(name), first.iter().copied().chain(rest).collect::<Vec<u8>>())?;
        Ok(self.path(name))
    }

    /// What looks like a program for this machine, by its number in ELF.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn program(&self, name: &str, machine: u8, length: usize) -> anyhow::Result<PathBuf> {
        self.put(name, &[b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[machine, 0]].concat(), length)
    }

    /// What looks like images, packed by zstd.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn images(&self, name: &str, length: usize) -> anyhow::Result<PathBuf> {
        self.put(name, &[0x28, 0xb5, 0x2f, 0xfd], length)
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The release's own list of these files.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn list(&self, names: &[&str]) -> anyhow::Result<PathBuf> {
        write_list(&self.folder, names)
    }

    /// The command that gives all of these, with their list, to the controller.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn add(&self, version: &str, names: &[&str]) -> anyhow::Result<String> {
        let files: Vec<_> = names.iter().map(|name| self.path(name)).chain([self.list(names)?]).collect();
        Ok(add_command(version, &files))
    }
}

/// Writes a release's own list of files in a folder.
pub(crate) fn write_list(folder: &Path, names: &[&str]) -> anyhow::Result<PathBuf> {
    let mut lines = String::new();
    for name in names {
        lines.push_str(&format!("{}  {name}\n", hex(&sha256(&fs::read(folder.join(name))?))));
    }
    let path = folder.join("sha256sum.txt");
    fs::write(&path, lines)?;
    Ok(path)
}

pub(crate) fn add_command(version: &str, files: &[PathBuf]) -> String {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    format!("k3s artifacts add --version {version} {}", files.join(" "))
}
