use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use prost::Message;
use rackhaven_pki::durable;
use rackhaven_proto::v1;

use super::Paths;
use super::files::Files;
use crate::causes::with_causes;
use crate::host::ChildError;
use crate::host::linux::Place;
use crate::host::linux::child::{self, Job};

/// Its name at systemd: there is one at a time.
const UNIT: &str = "rackhaven-k3s-order.service";
/// How long systemd may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long it may take to read what is installed: a slow card needs a minute for it.
const READ: Duration = Duration::from_secs(600);
/// How long an order may take.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often it is looked how far it is, and, if systemd runs it, whether it does still.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS_BEFORE_ASKING: u32 = 8;
/// Longest file that the engine writes, bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The engine, for one order.
pub(super) struct Engine<'a> {
    pub(super) paths: &'a Paths,
    pub(super) place: Place,
    pub(super) files: &'a Files,
    pub(super) order: &'a v1::K3sOrder,
}

impl Engine<'_> {
    /// Waits for what an earlier run of the agent began, this order or another, whose files and report nobody may touch
    /// meanwhile. What is told of this one goes to `tell`. Whether it has ended with that, its report told.
    ///
    /// # Errors
    /// When that lasts longer than an order may, or nobody can tell.
    pub(super) async fn has_ended(&self, tell: impl FnMut(v1::K3sNews)) -> Result<bool, String> {
        let mut tell = tell;
        if self.place == Place::Unit {
            self.unit_ends(&mut tell).await?;
        }
        let news = self.told(&self.result());
        let has_ended = news.is_some();
        if let Some(news) = news {
            self.forget();
            self.remove_files(&news);
            tell(news);
        }
        Ok(has_ended)
    }

    /// Which files of the order are not where they belong, by SHA-256. The order is on the disk from here on.
    ///
    /// # Errors
    /// When there is no engine, or it cannot tell.
    pub(super) async fn missing(&self) -> Result<Vec<String>, String> {
        let program = &self.paths.program;
        if !program.exists() {
            return Err(format!("there is no engine {}: install rackhaven-k3s on the node", program.display()));
        }
        let state = &self.paths.state;
        std::fs::create_dir_all(state).map_err(|error| format!("making {}: {error}", state.display()))?;
        durable::remove(&self.result()).map_err(|error| error.to_string())?;
        // For the engine and for root alone: there are secrets in it.
        durable::replace(&self.input(), &self.order.encode_to_vec(), 0o600).map_err(|error| error.to_string())?;
        if self.order.artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let argv = self.command("missing", &[("--order", &self.input())]);
        let job = Job { argv: &argv, environment: &[], stands: false, place: Place::Here };
        child::run(job, READ).await.map_err(|error| with_causes(&error))
    }

    /// Has the engine carry the order out, whose files are here. What it tells, the report at the end, goes to `tell`.
    ///
    /// # Errors
    /// When there is no report.
    pub(super) async fn run(&self, tell: impl FnMut(v1::K3sNews)) -> Result<(), String> {
        let mut tell = tell;
        let (input, result, status) = (self.input(), self.result(), self.status());
        // It is in memory; what is left of another order has its id.
        let _ = std::fs::remove_file(&status);
        let folder = &self.paths.status;
        std::fs::create_dir_all(folder).map_err(|error| format!("making {}: {error}", folder.display()))?;
        let files = self.files.folder();
        let paths = [("--order", &*input), ("--artifacts", files), ("--status", &status), ("--result", &result)];
        let ended = self.follow(&self.command("run", &paths), &mut tell).await;
        let news = self.told(&result);
        self.forget();
        match (news, ended) {
            (Some(news), _) => {
                self.remove_files(&news);
                tell(news);
                Ok(())
            }
            (None, Err(error)) => Err(format!("the engine: {error}")),
            (None, Ok(())) => Err("the engine ended without a report: it was killed, perhaps".to_owned()),
        }
    }

    /// Removes the order, in which there are secrets, and its report.
    pub(super) fn forget(&self) {
        for path in [self.input(), self.result()] {
            if let Err(error) = durable::remove(&path) {
                tracing::warn!(%error, "what was needed for an order stays on the disk");
            }
        }
    }

    /// What is large is where it belongs once an order has ended well. After another end it stays: the same order goes on
    /// with it, and the next one with files removes what it does not need.
    fn remove_files(&self, news: &v1::K3sNews) {
        let is_fine = news.report.as_ref().is_some_and(|report| report.failure.is_empty());
        let is_removal = matches!(self.order.task, Some(v1::k3s_order::Task::Remove(_)));
        if is_fine && (is_removal || !self.order.artifacts.is_empty()) {
            self.files.clear();
        }
    }

    fn input(&self) -> PathBuf {
        self.paths.state.join("order")
    }

    fn result(&self) -> PathBuf {
        self.paths.state.join("result")
    }

    fn status(&self) -> PathBuf {
        self.paths.status.join("k3s.status")
    }

    fn command(&self, verb: &str, paths: &[(&str, &Path)]) -> Vec<String> {
        let mut argv = vec![self.paths.program.display().to_string(), verb.to_owned()];
        for (flag, path) in paths {
            argv.extend([(*flag).to_owned(), path.display().to_string()]);
        }
        argv
    }

    /// Runs it to its end.
    async fn follow(&self, argv: &[String], tell: &mut impl FnMut(v1::K3sNews)) -> Result<(), String> {
        if self.place == Place::Unit {
            let argv = as_unit(argv);
            let job = Job { argv: &argv, environment: &[], stands: true, place: Place::Here };
            child::run(job, ANSWER).await.map_err(|error| with_causes(&error))?;
            return self.unit_ends(tell).await;
        }
        let job = Job { argv, environment: &[], stands: false, place: Place::Here };
        let mut running = Box::pin(child::run(job, LONGEST));
        loop {
            tokio::select! {
                ended = &mut running => return match ended {
                    // What went wrong in it, its report tells.
                    Err(ChildError::Failed { .. }) => Ok(()),
                    other => other.map(|_said| ()).map_err(|error| with_causes(&error)),
                },
                () = tokio::time::sleep(LOOK) => self.look(tell),
            }
        }
    }

    /// Waits until systemd runs none.
    async fn unit_ends(&self, tell: &mut impl FnMut(v1::K3sNews)) -> Result<(), String> {
        let ends = async {
            while unit_runs().await {
                for _ in 0..LOOKS_BEFORE_ASKING {
                    tokio::time::sleep(LOOK).await;
                    self.look(tell);
                }
            }
        };
        let ended = tokio::time::timeout(LONGEST + ANSWER, ends).await;
        ended.map_err(|_| format!("systemd does not say that {UNIT} has ended"))
    }

    /// Tells how far it is.
    fn look(&self, tell: &mut impl FnMut(v1::K3sNews)) {
        if let Some(news) = self.told(&self.status()) {
            tell(news);
        }
    }

    /// What the engine wrote of this order.
    fn told(&self, path: &Path) -> Option<v1::K3sNews> {
        let mut bytes = Vec::new();
        // Nobody waits for the other end of a pipe that somebody has put there.
        let file = std::fs::File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).ok()?;
        file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
        v1::K3sNews::decode(bytes.as_slice()).ok().filter(|news| news.order_id == self.order.id)
    }
}

/// The command line that has systemd begin it: beyond the agent's sandbox, and going on without the agent.
fn as_unit(argv: &[String]) -> Vec<String> {
    let mut words: Vec<String> =
        ["systemd-run", "--quiet", "--collect", "--description=Rackhaven's work on K3s"].map(str::to_owned).into();
    words.push(format!("--unit={UNIT}"));
    words.push(format!("--property=RuntimeMaxSec={}", LONGEST.as_secs()));
    words.push("--property=TimeoutStopSec=15".to_owned());
    words.push("--".to_owned());
    // systemd expands variables in what it runs (systemd.service(5), "Command lines").
    words.extend(argv.iter().map(|word| word.replace('$', "$$")));
    words
}

/// Whether systemd still runs it. If that cannot be known, it may.
async fn unit_runs() -> bool {
    let argv = ["systemctl", "show", "--property=ActiveState", "--value", UNIT].map(str::to_owned);
    let job = Job { argv: &argv, environment: &[], stands: true, place: Place::Here };
    match child::run(job, ANSWER).await {
        Ok(said) => !said.last().is_some_and(|state| matches!(state.as_str(), "inactive" | "failed")),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use prost::Message;
    use rackhaven_proto::v1;

    use super::{Engine, Files, Paths, Place};

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let paths = Paths { program: at("engine"), state: at("state"), status: at("status") };
        let order = v1::K3sOrder { id: "order-1".to_owned(), ..v1::K3sOrder::default() };
        let files = Files::new(at("files"));
        let engine = Engine { paths: &paths, place: Place::Here, files: &files, order: &order };
        // Nobody writes to it: who opens it as a file waits for ever.
        mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        for path in [at("pipe"), "/dev/zero".into(), folder.path().to_owned(), at("nothing")] {
            assert!(engine.told(&path).is_none(), "{}", path.display());
        }
        let news = v1::K3sNews { order_id: "order-1".to_owned(), ..v1::K3sNews::default() };
        std::fs::write(at("news"), news.encode_to_vec()).unwrap();
        assert_eq!(engine.told(&at("news")), Some(news));
    }
}
