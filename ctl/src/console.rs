use std::io::{self, BufRead, IsTerminal, Write};

use crate::error::CtlError;
use crate::text::Text;

/// The three standard streams. Data goes to `out`, all else to `err`.
pub struct Console {
    /// Standard output.
    pub out: Box<dyn Write>,
    /// Standard error.
    pub err: Box<dyn Write>,
    /// Standard input.
    pub input: Box<dyn BufRead>,
    /// Whether a person reads the output.
    pub out_is_terminal: bool,
    /// Whether a person can answer.
    pub input_is_terminal: bool,
    /// Columns and rows of the terminal, which may change while ctl runs.
    pub size: fn() -> Option<(usize, usize)>,
}

impl Console {
    /// The streams of this process.
    pub fn of_process() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Box::new(io::stdin().lock()),
            out_is_terminal: io::stdout().is_terminal(),
            input_is_terminal: io::stdin().is_terminal(),
            size: || {
                let (columns, rows) = terminal_size::terminal_size_of(io::stdout())?;
                Some((usize::from(columns.0), usize::from(rows.0)))
            },
        }
    }

    /// Writes data, at once and in one piece.
    pub(crate) fn data(&mut self, text: &str) -> Result<(), CtlError> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Tells a person something beside the data. That nobody can read it is no failure. Whatever is quoted in it, a
    /// file's content or a stranger's answer, steers no terminal.
    pub(crate) fn note(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.err, "{}", Text::new(line));
        }
        let _ = self.err.flush();
    }

    /// Asks a person, and reads one line of at most `limit` bytes; none at the end of the input.
    pub(crate) fn ask(&mut self, question: &str, limit: u64) -> Result<Option<String>, CtlError> {
        let _ = write!(self.err, "{question}");
        let _ = self.err.flush();
        let mut line = String::new();
        let read = io::Read::take(&mut self.input, limit).read_line(&mut line);
        match read.map_err(|error| CtlError::failed(format!("reading standard input: {error}")))? {
            0 => Ok(None),
            _ => Ok(Some(line.trim().to_owned())),
        }
    }
}
