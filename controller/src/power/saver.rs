//! A thread that writes the state down, so that a disk that hangs keeps nobody waiting for long.

use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::memory::{Memory, Saved};

/// How long is waited for the disk before all goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);

type Job = (Box<Saved>, oneshot::Sender<Result<(), String>>);

/// Where states go in. They are written in order, and of those that wait only the newest.
#[derive(Debug)]
pub(super) struct Saver(mpsc::Sender<Job>);

impl Saver {
    /// Starts the thread. It ends with this.
    pub(super) fn start(memory: Memory) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let spawned = std::thread::Builder::new().name("power-state".to_owned()).spawn(move || write(&memory, &queue));
        if let Err(error) = spawned {
            // Each save will say so, too.
            tracing::error!(%error, "the state of power has nobody to write it down");
        }
        Self(jobs)
    }

    /// Writes a state down.
    ///
    /// # Errors
    /// Why it is not on the disk, or not yet.
    pub(super) async fn save(&self, saved: Saved) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "its thread has ended".to_owned();
        self.0.send((Box::new(saved), reply)).map_err(|_| gone())?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => Err(format!("the disk has not answered for {} s", PATIENCE.as_secs())),
        }
    }
}

fn write(memory: &Memory, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        // What has waited longer is out of date.
        let (saved, reply) = queue.try_iter().last().unwrap_or(first);
        let written = memory.save(&saved).map_err(|error| error.to_string());
        // It may have been waited for no longer.
        let _ = reply.send(written);
    }
}

#[cfg(test)]
mod tests {
    use super::Saver;
    use crate::power::core::state::State;
    use crate::power::memory::{Memory, Moment, Saved};

    #[tokio::test]
    async fn says_whether_it_is_on_the_disk() {
        let temp = tempfile::tempdir().unwrap();
        let moment = Moment { boot_id: "a".to_owned(), boot_ms: 1, wall_ms: 2 };
        let saved = Saved { now_ms: 1, moment, upses: Vec::new(), state: State::new(1, 0) };
        let memory = Memory::new(temp.path());
        assert_eq!(Saver::start(memory.clone()).save(saved.clone()).await, Ok(()));
        assert_eq!(memory.load(), (Some(saved.clone()), None));
        let nowhere = Saver::start(Memory::new(&temp.path().join("none")));
        assert!(nowhere.save(saved).await.is_err());
    }
}
