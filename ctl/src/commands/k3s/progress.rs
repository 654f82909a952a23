//! Shows how far something is that is done to nodes: in place on a terminal, else one line for each change.

mod board;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rackhaven_proto::v1;
use tonic::{Response, Status, Streaming};

use self::board::Board;
use self::report::{EndedReport, ProgressReport};

pub(super) use self::report::StepReport;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Format, Page};
use crate::screen::{self, Signals};

/// Asks, and shows what is heard until the end. Failed if one of the nodes did not end well.
///
/// # Errors
/// When the controller refuses, is lost, or ends without a word about how the nodes ended.
pub(super) async fn follow(
    call: impl Future<Output = Result<Response<Streaming<v1::K3sProgress>>, Status>>,
    connection: &Connection,
    invocation: &mut Invocation,
) -> Result<ExitStatus, CtlError> {
    let mut stream = connection.answer(call).await?;
    let mut shown = Shown::new(invocation);
    loop {
        match stream.message().await {
            Ok(Some(progress)) => {
                let report = ProgressReport::new(progress)?;
                if report.ended.is_empty() {
                    shown.take(&report, invocation)?;
                } else {
                    return shown.end(&report, invocation);
                }
            }
            Ok(None) => {
                shown.leave(invocation)?;
                return Err(CtlError::failed("the controller did not say how it ended").hint("see `ctl k3s status`"));
            }
            Err(status) => {
                shown.leave(invocation)?;
                return Err(connection.refused(&status));
            }
        }
    }
}

/// The same of a sequence of the controller's: Ctrl-C ends only the showing.
///
/// # Errors
/// As of [`follow`].
pub(super) async fn follow_sequence(
    call: impl Future<Output = Result<Response<Streaming<v1::K3sProgress>>, Status>>,
    connection: &Connection,
    invocation: &mut Invocation,
) -> Result<ExitStatus, CtlError> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        end = follow(call, connection, invocation) => return end,
        () = signals.end() => {}
    }
    invocation.console.note("You no longer follow it. It goes on, see ctl k3s status; to end it: ctl k3s abort");
    Ok(ExitStatus::Fine)
}

/// What is on the screen, or was told in a pipe.
struct Shown {
    board: Board,
    on_screen: bool,
    /// Lines of the board that are on the screen now.
    drawn: usize,
    /// What was told last of each node's step.
    told: BTreeMap<(String, String), String>,
}

impl Shown {
    fn new(invocation: &Invocation) -> Self {
        let on_screen = screen::is_on_screen(invocation);
        Self { board: Board::default(), on_screen, drawn: 0, told: BTreeMap::new() }
    }

    fn take(&mut self, report: &ProgressReport, invocation: &mut Invocation) -> Result<(), CtlError> {
        if is_for_programs(invocation) {
            return invocation.show_one(report);
        }
        if !self.on_screen {
            let key = (report.node_name(), report.step_name());
            let told = report.brief();
            if !told.is_empty() && self.told.get(&key) == Some(&told) && report.findings.is_empty() {
                return Ok(());
            }
            self.told.insert(key, told);
            return invocation.draw(report.lines(&invocation.page()));
        }
        self.board.take(report);
        let page = screen::page(invocation);
        // What is found stays above the lines that change.
        let above = report.finding_lines(&page).into_iter().map(|line| page.fit(&line)).collect();
        self.draw(above, &page, invocation)
    }

    /// Draws `above` once and the board below it, over the last board (ECMA-48: CUU, EL, ED).
    fn draw(&mut self, above: Vec<String>, page: &Page, invocation: &mut Invocation) -> Result<(), CtlError> {
        let board = self.board.lines(page);
        let up = match self.drawn {
            0 => String::new(),
            lines => format!("\r\u{1b}[{lines}A"),
        };
        self.drawn = board.len();
        let lines: String = above.into_iter().chain(board).map(|line| format!("{line}\u{1b}[K\n")).collect();
        invocation.draw(format!("{up}{lines}\u{1b}[J"))
    }

    /// Nothing more is heard: what was drawn stays.
    fn leave(&mut self, invocation: &mut Invocation) -> Result<(), CtlError> {
        self.drawn = 0;
        invocation.console.data("")
    }

    fn end(&mut self, report: &ProgressReport, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
        if is_for_programs(invocation) {
            invocation.show_one(report)?;
        } else {
            let page = invocation.page();
            if self.on_screen {
                self.board.end();
                self.draw(Vec::new(), &screen::page(invocation), invocation)?;
            }
            invocation.draw(report.end_lines(&page))?;
        }
        let good = report.ended.iter().all(EndedReport::is_good);
        Ok(if good { ExitStatus::Fine } else { ExitStatus::Failed })
    }
}

fn is_for_programs(invocation: &Invocation) -> bool {
    matches!(invocation.global.output, Format::Json | Format::Yaml)
}
