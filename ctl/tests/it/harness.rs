//! Runs ctl in this process, with streams that are kept.

use std::ffi::OsString;
use std::io::{BufReader, Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::tz::{Offset, TimeZone};
use rackhaven_ctl::{Console, Environment, ExitStatus, run};

/// One run of ctl to come.
pub(crate) struct Ctl {
    pub(crate) environment: Environment,
    pub(crate) input: String,
    pub(crate) input_is_terminal: bool,
    pub(crate) size: fn() -> Option<(usize, usize)>,
    arguments: Vec<OsString>,
}

/// What a run has left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ctl {
    /// Without any terminal, in a zone two hours east, with contexts in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        Self {
            environment: Environment {
                folder: Some(home.join("rackhaven")),
                zone: Some(TimeZone::fixed(Offset::constant(2))),
                ..Environment::default()
            },
            input: String::new(),
            input_is_terminal: false,
            size: || None,
            arguments: vec!["ctl".into()],
        }
    }

    /// With these arguments behind those given before.
    pub(crate) fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// On a screen of 80 columns and 24 rows, without colours.
    pub(crate) fn on_screen(mut self) -> Self {
        self.size = || Some((80, 24));
        self.environment.no_color = true;
        self
    }

    /// Answered by a person.
    pub(crate) fn typing(mut self, input: &str) -> Self {
        self.input_is_terminal = true;
        self.input = input.to_owned();
        self
    }

    /// Runs to its end.
    pub(crate) fn run(self) -> Outcome {
        let (out, err) = (Kept::default(), Kept::default());
        let status = self.run_into(&out, &err);
        Outcome { status, out: out.text(), err: err.text() }
    }

    /// Runs to its end with streams that can be looked at meanwhile.
    pub(crate) fn run_into(self, out: &Kept, err: &Kept) -> ExitStatus {
        let console = Console {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            input: Box::new(BufReader::new(Cursor::new(self.input))),
            out_is_terminal: (self.size)().is_some(),
            input_is_terminal: self.input_is_terminal,
            size: self.size,
        };
        run(self.arguments, self.environment, console)
    }
}

/// A stream that is kept; closed by its reader after some bytes, if so wished.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
    pub(crate) closed_after: Option<usize>,
}

impl Kept {
    /// What was written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut kept = self.bytes.lock().unwrap();
        if self.closed_after.is_some_and(|limit| kept.len() >= limit) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Outcome {
    /// The output of a run that went well.
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.status, ExitStatus::Fine, "{}", self.err);
        self.out
    }
}

/// The output and what was told beside it, for a snapshot.
pub(crate) fn both(outcome: &Outcome) -> String {
    format!("exit {}\n--- out\n{}--- err\n{}", outcome.status.code(), outcome.out, outcome.err)
}
