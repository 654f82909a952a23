use std::time::Duration;

use crate::cli::GlobalArgs;
use crate::connection::Connection;
use crate::console::Console;
use crate::environment::Environment;
use crate::error::CtlError;
use crate::output::{Format, Page, Report, one_of_many, whole};
use crate::renewal::renew_if_due;
use crate::target::Target;
use crate::times::Zone;

/// The width to write for on a terminal that does not tell its own.
const USUAL_COLUMNS: usize = 80;

/// One run of ctl: its streams, its environment, and what every command takes.
pub(crate) struct Invocation {
    /// The standard streams.
    pub(crate) console: Console,
    /// From the process's environment.
    pub(crate) environment: Environment,
    /// From the command line.
    pub(crate) global: GlobalArgs,
}

/// Connects, with a fresh certificate where the old one is about to end; that this did not work is a warning.
pub(crate) async fn connect(target: &mut Target, timeout: Duration) -> Result<(Connection, Option<String>), CtlError> {
    let warning = match target {
        Target::Context(context) => renew_if_due(context, timeout).await?,
        Target::Socket(_) => None,
    };
    Ok((Connection::open(target, timeout).await?, warning))
}

impl Invocation {
    /// Connects to the selected controller.
    pub(crate) async fn connect(&mut self) -> Result<Connection, CtlError> {
        let mut target = self.target()?;
        self.connect_to(&mut target).await
    }

    /// The selected controller.
    pub(crate) fn target(&self) -> Result<Target, CtlError> {
        Target::select(&self.global, &self.environment)
    }

    /// Connects to a controller, and tells what the user should see to.
    pub(crate) async fn connect_to(&mut self, target: &mut Target) -> Result<Connection, CtlError> {
        if let Target::Context(context) = &*target
            && context.is_exposed()
        {
            let path = context.path.display();
            self.console.note(&format!("warning: others can read the key in {path}; chmod 600 it"));
        }
        let (connection, warning) = connect(target, self.global.timeout).await?;
        if let Some(warning) = warning {
            self.console.note(&warning);
        }
        Ok(connection)
    }

    /// Shows a command's one report.
    pub(crate) fn show<R: Report>(&mut self, report: &R) -> Result<(), CtlError> {
        let text = whole(report, self.global.output, &self.page())?;
        self.console.data(&text)
    }

    /// Shows one of many reports.
    pub(crate) fn show_one<R: Report>(&mut self, report: &R) -> Result<(), CtlError> {
        let text = one_of_many(report, self.global.output, &self.page())?;
        self.console.data(&text)
    }

    /// Writes lines for a person.
    pub(crate) fn draw(&mut self, lines: String) -> Result<(), CtlError> {
        let lines = self.page().signs(lines);
        self.console.data(&lines)
    }

    /// The screen to draw for. What goes into a pipe or a file is not cut: it may be searched.
    pub(crate) fn page(&self) -> Page {
        let wide = self.global.output == Format::Wide;
        let size = self.console.out_is_terminal.then_some(self.console.size).and_then(|size| size());
        let given = self.environment.columns;
        let columns = match size {
            Some((columns, _)) => Some(columns),
            None if self.console.out_is_terminal => given.or(Some(USUAL_COLUMNS)),
            None => given,
        };
        Page {
            wide,
            columns: columns.filter(|_| !wide),
            rows: None,
            ascii: self.environment.ascii,
            colour: self.console.out_is_terminal && !self.global.no_color && !self.environment.no_color,
            zone: Zone::new(self.environment.zone.clone()),
        }
    }
}
