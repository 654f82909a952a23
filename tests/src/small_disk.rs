//! A disk that is small enough to be filled, and can be made read-only.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Pieces by which a disk is filled: the least that it hands out.
const PIECE_BYTES: usize = 4096;
const FILLER: &str = "filler";
/// No data for the file system.
const NOTHING: Option<&str> = None;

thread_local! {
    static PRIVATE: Cell<bool> = const { Cell::new(false) };
}

/// A file system in memory, which is there for the thread that mounted it and the processes that it starts; nobody else
/// sees it, and it goes with them even if the story is killed. Needs root.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    options: String,
}

impl SmallDisk {
    /// Mounts a disk of this size at `path`, which is made.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn mount(path: &Path, size_bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let options = format!("size={size_bytes},mode=0700");
        let mounted = keep_mounts_private()
            .and_then(|()| mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())));
        mounted.with_context(|| {
            format!("mounting a small disk at {}: this story needs to be root, with the right to mount", path.display())
        })?;
        Ok(Self { path: path.to_owned(), options })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves not a byte of room.
    ///
    /// # Errors
    /// When it cannot be filled.
    pub fn fill(&self) -> anyhow::Result<()> {
        let path = self.path.join(FILLER);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let mut file = file.with_context(|| format!("opening {}", path.display()))?;
        loop {
            match file.write(&[0; PIECE_BYTES]) {
                Ok(0) => bail!("{} takes no more, and does not say why", path.display()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).with_context(|| format!("filling {}", path.display())),
            }
        }
    }

    /// Takes back what filled it.
    ///
    /// # Errors
    /// When that cannot be removed.
    pub fn make_room(&self) -> anyhow::Result<()> {
        fs::remove_file(self.path.join(FILLER)).context("making room")
    }

    /// Lets nothing be written any more, or again.
    ///
    /// # Errors
    /// When something is open to be written.
    pub fn set_read_only(&self, read_only: bool) -> anyhow::Result<()> {
        let flags = if read_only { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY } else { MsFlags::MS_REMOUNT };
        mount(NOTHING, &self.path, NOTHING, flags, Some(self.options.as_str()))
            .with_context(|| format!("remounting {}", self.path.display()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps it until it is closed.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

/// Gives this thread mounts of its own.
fn keep_mounts_private() -> nix::Result<()> {
    if PRIVATE.get() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    PRIVATE.set(true);
    Ok(())
}
