//! The forms of output: tables for people, JSON and YAML for programs.

use clap::ValueEnum;
use serde::Serialize;

use crate::error::CtlError;
use crate::style::Style;
use crate::text::{cut, in_ascii, wrap};
use crate::times::Zone;

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Fits the screen
    Table,
    /// All columns, nothing cut
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
    /// Figures for spreadsheets (node show --since)
    Csv,
}

/// The screen that a report is drawn for.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Whether all columns are wanted.
    pub(crate) wide: bool,
    /// How many columns a line may take; none knows no limit.
    pub(crate) columns: Option<usize>,
    /// How many lines there is room for; none knows no limit.
    pub(crate) rows: Option<usize>,
    /// Whether only ASCII may be drawn with; text from outside stays as it is.
    pub(crate) ascii: bool,
    /// Whether to colour.
    pub(crate) colour: bool,
    /// The zone of the times.
    pub(crate) zone: Zone,
}

impl Page {
    /// One line in the room that there is.
    pub(crate) fn fit(&self, line: &str) -> String {
        self.columns.map_or_else(|| line.to_owned(), |columns| cut(line, columns).into_owned())
    }

    /// A text in lines that fit.
    pub(crate) fn wrapped(&self, text: &str) -> Vec<String> {
        self.columns.map_or_else(|| vec![text.to_owned()], |columns| wrap(text, columns))
    }

    /// The same, painted.
    pub(crate) fn painted(&self, style: Style, text: &str) -> Vec<String> {
        self.wrapped(text).iter().map(|line| style.paint(line, self.colour)).collect()
    }

    /// `drawn` in signs that the terminal has.
    pub(crate) fn signs(&self, drawn: String) -> String {
        if self.ascii { in_ascii(&drawn) } else { drawn }
    }
}

/// What a command has found out, with its documented shape for programs and its drawing for people.
pub(crate) trait Report: Serialize {
    /// Lines for a person, each with its end.
    fn render(&self, page: &Page) -> String;

    /// Its figures as CSV, titles first; none where there are none.
    fn csv(&self) -> Option<String> {
        None
    }
}

/// One report in its wanted form.
pub(crate) fn whole<R: Report>(report: &R, format: Format, page: &Page) -> Result<String, CtlError> {
    match format {
        Format::Table | Format::Wide => Ok(page.signs(report.render(page))),
        Format::Json => json(report, true),
        Format::Yaml => yaml(report),
        Format::Csv => csv(report),
    }
}

/// One of many reports: JSON in one line, YAML as a document of its own.
pub(crate) fn one_of_many<R: Report>(report: &R, format: Format, page: &Page) -> Result<String, CtlError> {
    match format {
        Format::Table | Format::Wide => Ok(page.signs(report.render(page))),
        Format::Json => json(report, false),
        Format::Yaml => Ok(format!("---\n{}", yaml(report)?)),
        Format::Csv => csv(report),
    }
}

fn csv<R: Report>(report: &R) -> Result<String, CtlError> {
    report.csv().ok_or_else(|| CtlError::usage("there is nothing here that could be told as CSV"))
}

fn json<R: Serialize>(report: &R, pretty: bool) -> Result<String, CtlError> {
    let text = if pretty { serde_json::to_string_pretty(report) } else { serde_json::to_string(report) };
    text.map(|text| text + "\n").map_err(|error| CtlError::failed(format!("writing JSON: {error}")))
}

fn yaml<R: Serialize>(report: &R) -> Result<String, CtlError> {
    // Folded scalars are for prose; here each value stands on its key's line.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(report, options)
        .map_err(|error| CtlError::failed(format!("writing YAML: {error}")))
}

/// Serialises a value by the word that it is shown as.
pub(crate) fn as_word<T: std::fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
