//! Follows runs to their end, also over lost connections: in place on a screen, as lines in a pipe.

use std::collections::BTreeMap;
use std::time::Duration;

use rackhaven_proto::Invalid;
use rackhaven_proto::v1::backup_change::Change;
use rackhaven_proto::v1::{BackupChange, WatchBackupsRequest};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::board::{Board, Pace};
use super::render::result;
use super::report::{ProgressReport, RunReport};
use crate::clock::now;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::{Invocation, connect};
use crate::output::{Format, Page, Report};
use crate::screen::{self, Signalled, Signals};
use crate::target::Target;
use crate::text::Text;
use crate::units::{bytes, percent};

/// How often the page is drawn anew while nothing comes.
const REDRAW: Duration = Duration::from_secs(1);
/// Waits between two tries to connect again: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(3));
/// For so long a controller that has gone away is waited for; its nodes go on without it.
const PATIENCE: Duration = Duration::from_secs(300);

/// How the following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All that was wanted has ended.
    Through {
        /// All went well.
        good: bool,
    },
    /// Ctrl-C: what is under way goes on.
    Left,
}

/// One change, as programs are told it; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct ChangeReport {
    change: &'static str,
    progress: Option<PacedReport>,
    run: Option<RunReport>,
}

#[derive(Debug, Serialize)]
struct PacedReport {
    #[serde(flatten)]
    progress: ProgressReport,
    bytes_per_second: Option<f64>,
    left_seconds: Option<u64>,
}

/// Runs that are followed.
pub(super) struct Following<'a> {
    /// Those that have not ended; none for all that there are, without an end.
    wanted: Option<Vec<String>>,
    target: &'a Target,
    /// Only what went wrong is told, and that beside the data.
    quiet: bool,
    board: Board,
    ended: Vec<RunReport>,
    /// What was last told of each run in a pipe.
    told: BTreeMap<Text, String>,
    begun: Instant,
}

type Heard = Result<BackupChange, CtlError>;

impl<'a> Following<'a> {
    /// These runs.
    pub(super) fn new(run_ids: Vec<String>, target: &'a Target, quiet: bool) -> Self {
        Self { wanted: Some(run_ids), ..Self::all(target, quiet) }
    }

    /// Whatever is and comes under way.
    pub(super) fn all(target: &'a Target, quiet: bool) -> Self {
        Self {
            wanted: None,
            target,
            quiet,
            board: Board::default(),
            ended: Vec::new(),
            told: BTreeMap::new(),
            begun: now(),
        }
    }

    /// Shows what comes until the end or Ctrl-C.
    pub(super) async fn run(
        &mut self,
        connection: Connection,
        mut signals: Signals,
        invocation: &mut Invocation,
    ) -> Result<End, CtlError> {
        let on_screen = screen::is_on_screen(invocation) && !self.quiet;
        if on_screen {
            screen::make_room(invocation)?;
        }
        let mut redraw = interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (sender, mut heard) = mpsc::channel(16);
        let hearing = hear(self.target, self.wanted.clone(), connection, invocation.global.timeout, sender);
        tokio::pin!(hearing);
        let mut all_heard = false;
        let mut lost: Option<Instant> = None;
        while self.wanted.as_ref().is_none_or(|wanted| !wanted.is_empty()) {
            tokio::select! {
                signalled = signals.next() => if signalled == Signalled::End {
                    if on_screen {
                        invocation.console.data("\n")?;
                    }
                    return Ok(End::Left);
                },
                change = heard.recv() => match change {
                    Some(Ok(change)) => {
                        lost = None;
                        self.take(change, on_screen, invocation)?;
                    }
                    Some(Err(error)) => {
                        let since = *lost.get_or_insert_with(|| {
                            invocation.console.note(&format!("warning: {}; connecting again", error.message()));
                            now()
                        });
                        let goes_on = error.status() != ExitStatus::NotAllowed && since.elapsed() < PATIENCE;
                        if !goes_on {
                            return Err(error);
                        }
                    }
                    None => break,
                },
                () = &mut hearing, if !all_heard => all_heard = true,
                _ = redraw.tick(), if on_screen => {}
            }
            if on_screen {
                self.draw(invocation)?;
            }
        }
        self.finish(on_screen, invocation)?;
        Ok(End::Through { good: self.ended.iter().all(RunReport::is_good) })
    }

    fn take(&mut self, change: BackupChange, on_screen: bool, invocation: &mut Invocation) -> Result<(), CtlError> {
        let strange = |invalid: Invalid| CtlError::strange_answer(&invalid);
        match change.change {
            Some(Change::Progress(progress)) => {
                let progress = ProgressReport::new(&change.node, progress);
                let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                let pace = self.board.progress(progress.clone(), now_ms);
                if on_screen || self.quiet {
                    return Ok(());
                }
                self.tell_progress(progress, pace, invocation)
            }
            Some(Change::Ended(run)) => {
                let run = RunReport::new(&change.node, run).map_err(strange)?;
                if let Some(wanted) = &mut self.wanted {
                    wanted.retain(|id| *id != run.run_id.as_str());
                    self.ended.push(run.clone());
                }
                self.board.ended(run.clone());
                self.tell_end(run, on_screen, invocation)
            }
            None => Err(strange(Invalid::new("change", "is missing"))),
        }
    }

    fn tell_progress(
        &mut self,
        progress: ProgressReport,
        pace: Pace,
        invocation: &mut Invocation,
    ) -> Result<(), CtlError> {
        if matches!(invocation.global.output, Format::Json | Format::Yaml) {
            let Pace { bytes_per_second, left_seconds } = pace;
            let progress = Some(PacedReport { progress, bytes_per_second, left_seconds });
            return invocation.show_one(&ChangeReport { change: "progress", progress, run: None });
        }
        let share = progress.share().map(|share| (share * 10.0).floor() * 10.0);
        let step = format!("{} {share:?}", progress.phase);
        if self.told.insert(progress.run_id.clone(), step.clone()).as_ref() == Some(&step) {
            return Ok(());
        }
        let done = share.map(|share| format!(", {}", percent(share as f32))).unwrap_or_default();
        let read = bytes(progress.read_bytes);
        let line =
            format!("{}/{}: {}: {}{done}, {read} read\n", progress.node, progress.job, progress.action, progress.phase);
        invocation.draw(line)
    }

    fn tell_end(&mut self, run: RunReport, on_screen: bool, invocation: &mut Invocation) -> Result<(), CtlError> {
        self.told.remove(&run.run_id);
        if self.quiet {
            if !run.is_good() {
                let because = run.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                invocation.console.note(&format!("{}: {} {}{because}", run.name(), run.action, run.outcome.as_str()));
            }
            return Ok(());
        }
        if on_screen {
            return Ok(());
        }
        invocation.show_one(&ChangeReport { change: "ended", progress: None, run: Some(run) })
    }

    fn draw(&self, invocation: &mut Invocation) -> Result<(), CtlError> {
        let page = screen::page(invocation);
        let text = page.signs(self.board.render(&page));
        screen::draw(&text, invocation)
    }

    /// Below the last page, how each of them ended.
    fn finish(&self, on_screen: bool, invocation: &mut Invocation) -> Result<(), CtlError> {
        if !on_screen {
            return Ok(());
        }
        let page = invocation.page();
        let results: Vec<_> = self.ended.iter().flat_map(|run| result(run, &page)).collect();
        invocation.draw(format!("\n\n{}\n", results.join("\n")))
    }
}

impl Report for ChangeReport {
    fn render(&self, page: &Page) -> String {
        let Some(run) = &self.run else { return String::new() };
        result(run, page).join("\n") + "\n"
    }
}

/// Hands on what the controller says, over one connection after another, until all have ended or nobody listens.
async fn hear(
    target: &Target,
    mut wanted: Option<Vec<String>>,
    first: Connection,
    limit: Duration,
    sender: mpsc::Sender<Heard>,
) {
    let mut connection = Ok(first);
    let mut wait = BACK_OFF.0;
    loop {
        let lost = match connection {
            Ok(connection) => {
                let since = now();
                let lost = hear_over(&connection, &mut wanted, &sender).await;
                if since.elapsed() > BACK_OFF.1 {
                    wait = BACK_OFF.0;
                }
                lost
            }
            Err(error) => error,
        };
        if wanted.as_ref().is_some_and(Vec::is_empty) || sender.send(Err(lost)).await.is_err() {
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
        connection = match target.again() {
            Ok(mut target) => connect(&mut target, limit).await.map(|(connection, _)| connection),
            Err(error) => Err(error),
        };
    }
}

/// The same over one connection, until that is lost, and why it was.
async fn hear_over(
    connection: &Connection,
    wanted: &mut Option<Vec<String>>,
    sender: &mpsc::Sender<Heard>,
) -> CtlError {
    let request = WatchBackupsRequest { run_ids: wanted.clone().unwrap_or_default() };
    let mut stream = match connection.answer(connection.backups().watch(request)).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    loop {
        match stream.message().await {
            Ok(Some(change)) => {
                if let (Some(wanted), Some(Change::Ended(run))) = (wanted.as_mut(), &change.change) {
                    wanted.retain(|id| *id != run.run_id);
                }
                if sender.send(Ok(change)).await.is_err() {
                    return CtlError::reader_gone();
                }
            }
            Ok(None) => return CtlError::unreachable("the controller has ended the stream"),
            Err(status) => return connection.refused(&status),
        }
    }
}
