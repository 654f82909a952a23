//! The folders that a walk is in, of which only the innermost ones are held open: a tree may be deeper than a process
//! may hold files.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::fstat;

use super::names::Names;
use super::open::{id_of, open_dir};

/// How many folders are held open.
const MAX_OPEN: usize = 48;

/// The folders from the source down to where the walk is.
#[derive(Debug, Default)]
pub(super) struct Levels(Vec<Level>);

#[derive(Debug)]
struct Level {
    /// None while it is closed.
    dir: Option<Arc<OwnedFd>>,
    /// Device and number, to know it again.
    id: (u64, u64),
    device: u64,
    path_len: usize,
    names: Names,
}

/// The folder that the walk is in.
pub(super) struct Innermost<'a> {
    pub(super) dir: &'a Arc<OwnedFd>,
    /// The file system that the walk stays in.
    pub(super) device: u64,
    /// How long its path is.
    pub(super) path_len: usize,
    /// What is still to come in it.
    pub(super) names: &'a mut Names,
}

/// A folder that the walk could not get back to.
pub(super) struct Lost {
    pub(super) path_len: usize,
    pub(super) reason: String,
}

impl Levels {
    pub(super) fn enter(&mut self, dir: Arc<OwnedFd>, id: (u64, u64), device: u64, path_len: usize, names: Names) {
        self.0.push(Level { dir: Some(dir), id, device, path_len, names });
        // The outermost is where a source lies, and the way back to it may lead over a symbolic link: it stays open.
        if let Some(far) = self.0.len().checked_sub(MAX_OPEN).filter(|far| *far > 0)
            && let Some(level) = self.0.get_mut(far)
        {
            level.dir = None;
        }
    }

    /// Whether what comes next is a source itself.
    pub(super) fn is_at_root(&self) -> bool {
        self.0.len() == 1
    }

    pub(super) fn innermost(&mut self) -> Option<Innermost<'_>> {
        let level = self.0.last_mut()?;
        let dir = level.dir.as_ref()?;
        Some(Innermost { dir, device: level.device, path_len: level.path_len, names: &mut level.names })
    }

    /// Leaves the innermost folder. One that was closed is opened again from within; if it was moved meanwhile, what is
    /// left in it is lost, and it is left too.
    pub(super) fn leave(&mut self) -> Option<Lost> {
        let left = self.0.pop()?;
        let outer = self.0.last_mut()?;
        if outer.dir.is_some() {
            return None;
        }
        let reopened = left.dir.as_deref().ok_or(rustix::io::Errno::BADF).and_then(|dir| {
            let outer = open_dir(dir, c"..")?;
            let stat = fstat(&outer)?;
            Ok((outer, stat))
        });
        let reason = match reopened {
            Ok((dir, stat)) if id_of(&stat) == outer.id => {
                outer.dir = Some(Arc::new(dir));
                return None;
            }
            Ok(_) => "the folder was moved while it was read".to_owned(),
            Err(error) => format!("going back to the folder: {error}"),
        };
        let path_len = outer.path_len;
        // Whatever is above has the same fate: the way back is lost as far as folders are closed.
        while self.0.last().is_some_and(|level| level.dir.is_none()) {
            self.0.pop();
        }
        Some(Lost { path_len, reason })
    }
}
