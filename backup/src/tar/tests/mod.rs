//! Archives are written from awkward trees, and given back by this program and by GNU tar.

mod damage;
mod increments;
mod round_trip;
mod tree;
mod unsteady;

use std::fs::File;
use std::path::{Path, PathBuf};

use rackhaven_proto::model::backup::Selection;

use super::crypt::{Identities, decrypted};
use super::{Request, Restore, Restored, Shelf, Source, WriteError, Written, encrypting, restore, write};
use crate::manifest::{ArchiveId, ChainLink, Header, Manifest};
use crate::outcome::{ArchiveKind, Outcome, Problem, Problems};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::walk::Rules;

/// A folder with a tree to save and room for archives; what was saved last is what the next run is compared with.
struct Rig {
    folder: tempfile::TempDir,
    chain: Vec<ChainLink>,
    started_unix_ms: i64,
    encrypt_to: Vec<String>,
    sources: Vec<PathBuf>,
}

/// A folder of archives.
struct Folder {
    path: PathBuf,
    identities: Option<Identities>,
}

impl Folder {
    fn new(path: &Path, identities: Option<Identities>) -> Self {
        Self { path: path.to_owned(), identities }
    }
}

impl Shelf for Folder {
    fn open(&self, name: &str) -> std::io::Result<Box<dyn Source>> {
        let file = File::open(self.path.join(name))?;
        match &self.identities {
            None => Ok(Box::new(file)),
            Some(identities) => Ok(Box::new(decrypted(file, identities)?)),
        }
    }
}

/// What came of a run.
struct Run {
    name: String,
    written: Written,
    problems: Problems,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tree", "archives"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        // Everything is older than the first run.
        let started_unix_ms = crate::clock::unix_ms() + 3_600_000;
        let sources = vec![folder.path().join("tree")];
        Self { folder, chain: Vec::new(), started_unix_ms, encrypt_to: Vec::new(), sources }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn archives(&self) -> PathBuf {
        self.folder.path().join("archives")
    }

    fn shelf(&self) -> Folder {
        Folder::new(&self.archives(), None)
    }

    fn restored(&self, name: &str) -> PathBuf {
        let to = self.folder.path().join(name);
        let inner = self.tree();
        to.join(inner.strip_prefix("/").unwrap())
    }

    fn full(&mut self) -> Run {
        self.chain.clear();
        self.run()
    }

    fn run(&mut self) -> Run {
        self.try_run(&Stop::default()).unwrap()
    }

    fn try_run(&mut self, stop: &Stop) -> Result<Run, WriteError> {
        let problems = Problems::default();
        let base = self.chain.last().map(|_| Manifest::open(File::open(self.spool()).unwrap()).unwrap());
        let number = self.chain.len() as u8;
        let kind = if base.is_some() { ArchiveKind::Incremental } else { ArchiveKind::Full };
        let name = format!("{number}.tar.zst{}", if self.encrypt_to.is_empty() { "" } else { ".age" });
        let mut chain = self.chain.clone();
        chain.push(ChainLink { id: ArchiveId([number; 16]), name: name.clone() });
        let header = Header {
            job: "job".to_owned(),
            node: "node".to_owned(),
            kind,
            started_unix_ms: self.started_unix_ms,
            sources: Vec::new(),
            chain: chain.clone(),
        };
        let selection = Selection {
            sources: self.sources.clone(),
            exclude: Vec::new(),
            exclude_caches: true,
            exclude_if_present: Vec::new(),
            one_file_system: true,
        };
        let rules = Rules::new(&selection, &[]).unwrap();
        let request = Request {
            rules: &rules,
            header,
            base,
            level: 3,
            threads: 2,
            pace: &Pace::new(None),
            help: "zstd -d | tar -x".to_owned(),
            problems: &problems,
            progress: &Progress::default(),
            stop,
        };
        let new_spool = self.folder.path().join("spool.new");
        let spool = File::options().create(true).truncate(true).read(true).write(true).open(&new_spool).unwrap();
        let mut sink = File::create(self.archives().join(&name)).unwrap();
        let written = if self.encrypt_to.is_empty() {
            write(request, &mut sink, &spool)?
        } else {
            let mut sink = encrypting(sink, &self.encrypt_to).unwrap();
            let written = write(request, &mut sink, &spool)?;
            sink.finish().unwrap();
            written
        };
        std::fs::rename(new_spool, self.spool()).unwrap();
        self.chain = chain;
        Ok(Run { name, written, problems })
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn restore(&self, shelf: &Folder, name: &str, to: &str, paths: &[PathBuf]) -> (Restored, Vec<Problem>) {
        let problems = Problems::default();
        let to = self.folder.path().join(to);
        let how = Restore {
            to: &to,
            paths,
            in_place: false,
            dry_run: false,
            problems: &problems,
            progress: &Progress::default(),
            stop: &Stop::default(),
        };
        let restored = restore(shelf, name, &how, &mut |_| ()).unwrap();
        (restored, problems.listed())
    }
}

impl Run {
    fn outcome(&self) -> Outcome {
        self.problems.outcome()
    }
}

/// Runs a line of shell, which must succeed.
fn shell(line: &str, folder: &Path) {
    #[expect(clippy::disallowed_methods, reason = "the one place where these tests start a child")]
    let mut bash = std::process::Command::new("bash");
    let output = bash.args(["-o", "pipefail", "-ec", line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
