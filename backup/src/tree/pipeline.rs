//! Several threads at one tree: one walks, some copy, one puts together what they did in the walk's order.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::assemble::Assembler;
use super::copy::Means;
use super::earlier::Earlier;
use super::folders::Folders;
use super::job::{Broken, Done, Job, Worker};
use super::snapshot::TreeError;
use crate::entry::Kind;
use crate::outcome::{ProblemKind, Problems, shown};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::walk::{Visit, Walk};

/// How many things a worker takes at once.
const BATCH: usize = 128;
/// How many folders they may lie in: each is held open, on both sides.
const BATCH_FOLDERS: usize = 16;
/// How many batches are under way at most: what comes behind a large file waits for it after so many.
const MAX_UNDER_WAY: usize = 256;

/// What all threads share.
pub(super) struct Shared<'a> {
    pub(super) problems: &'a Problems,
    pub(super) progress: &'a Progress,
    pub(super) pace: &'a Pace,
    pub(super) stop: &'a Stop,
    pub(super) threads: usize,
    /// Whose a new file in the tree is.
    pub(super) born_to: Option<(u32, u32)>,
}

struct Batch {
    number: u64,
    jobs: Vec<Job>,
    folders: usize,
}

/// Puts everything that the walk comes by into the tree at `root`. The assembler is given back, to be finished or given up.
pub(super) fn fill<'a>(
    walk: Walk<'_>,
    root: &Arc<OwnedFd>,
    earlier: &mut [Earlier],
    assembler: Assembler<'a>,
    shared: &Shared<'a>,
) -> (Assembler<'a>, Result<(), TreeError>) {
    let failed = AtomicBool::new(false);
    let (work, takes_work) = sync_channel::<Batch>(shared.threads);
    let takes_work = Mutex::new(takes_work);
    let (results, takes_results) = channel();
    // One place for each batch that is under way.
    let (places, frees_places) = sync_channel::<()>(MAX_UNDER_WAY);
    std::thread::scope(|scope| {
        for _ in 0..shared.threads {
            let (takes_work, results, failed) = (&takes_work, results.clone(), &failed);
            scope.spawn(move || work_off(takes_work, &results, failed, shared));
        }
        drop(results);
        let failed = &failed;
        let assembling = scope.spawn(move || {
            let mut assembler = assembler;
            let assembled = assemble(&mut assembler, &takes_results, &frees_places);
            if assembled.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            (assembler, assembled)
        });
        let walked =
            Walker { folders: Folders::new(Arc::clone(root)), earlier, shared, failed }.walk(walk, &work, &places);
        drop(work);
        match assembling.join() {
            Ok((assembler, assembled)) => (assembler, assembled.and(walked)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Walker<'w, 'a> {
    folders: Folders,
    earlier: &'w mut [Earlier],
    shared: &'w Shared<'a>,
    failed: &'w AtomicBool,
}

impl Walker<'_, '_> {
    fn walk(mut self, walk: Walk<'_>, work: &SyncSender<Batch>, places: &SyncSender<()>) -> Result<(), TreeError> {
        let mut batch = Batch { number: 0, jobs: Vec::with_capacity(BATCH), folders: 0 };
        for visit in walk {
            if self.shared.stop.is_requested() || self.failed.load(Ordering::Relaxed) {
                return Err(TreeError::Stopped);
            }
            let Some(job) = self.job(visit)? else { continue };
            let new_folder = batch.jobs.last().is_none_or(|last| !Arc::ptr_eq(&last.target, &job.target));
            batch.folders += usize::from(new_folder);
            batch.jobs.push(job);
            if batch.jobs.len() >= BATCH || batch.folders >= BATCH_FOLDERS {
                let next = Batch { number: batch.number + 1, jobs: Vec::with_capacity(BATCH), folders: 0 };
                if places.send(()).is_err() || work.send(std::mem::replace(&mut batch, next)).is_err() {
                    // Whoever takes them has failed, and says why.
                    return Err(TreeError::Stopped);
                }
            }
        }
        if places.send(()).is_err() || work.send(batch).is_err() {
            return Err(TreeError::Stopped);
        }
        Ok(())
    }

    fn job(&mut self, visit: Visit) -> Result<Option<Job>, TreeError> {
        let path = &visit.entry.path;
        let made = match visit.entry.kind {
            Kind::Dir => self.folders.make_folder(path).and_then(|_| self.folders.parent(path)),
            _ => self.folders.make_parent(path),
        };
        let target = match made {
            Ok((target, _)) => target,
            Err(error) if super::job::concerns_one_thing(error) => {
                let reason = format_args!("the repository does not take it: {error}");
                self.shared.problems.add(path, ProblemKind::Unreadable, reason);
                return Ok(None);
            }
            Err(error) => return Err(TreeError::Writing { path: shown(path), source: error.into() }),
        };
        // All are asked, so that each keeps up with the walk.
        let mut same = None;
        for earlier in self.earlier.iter_mut() {
            let found = earlier.same(&visit.entry);
            same = same.or(found);
        }
        Ok(Some(Job { visit, target, same }))
    }
}

type Results = (u64, Result<Vec<Done>, Broken>);

fn work_off(takes_work: &Mutex<Receiver<Batch>>, results: &Sender<Results>, failed: &AtomicBool, shared: &Shared<'_>) {
    let means = Means { pace: shared.pace, progress: shared.progress, stop: shared.stop };
    let mut worker = Worker::new(means, shared.problems, shared.born_to);
    loop {
        let taken = takes_work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Batch { number, jobs, .. }) = taken else { return };
        let mut done = Vec::with_capacity(jobs.len());
        let mut result = Ok(());
        for job in jobs {
            if result.is_err() || shared.stop.is_requested() || failed.load(Ordering::Relaxed) {
                break;
            }
            match worker.perform(job) {
                Ok(Some(one)) => done.push(one),
                Ok(None) => {}
                Err(broken) => result = Err(broken),
            }
        }
        if results.send((number, result.map(|()| done))).is_err() {
            return;
        }
    }
}

fn assemble(
    assembler: &mut Assembler<'_>,
    takes_results: &Receiver<Results>,
    frees_places: &Receiver<()>,
) -> Result<(), TreeError> {
    let mut waiting = std::collections::BTreeMap::new();
    let mut next = 0;
    for (number, result) in takes_results {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&next) {
            let done =
                result.map_err(|broken| TreeError::Writing { path: broken.path, source: broken.source.into() })?;
            for one in done {
                assembler.accept(one).map_err(|error: io::Error| TreeError::Manifest(error))?;
            }
            next += 1;
            // The walk took a place for it.
            let _ = frees_places.recv();
        }
    }
    Ok(())
}
