//! Aligned columns that fit the screen.

mod fit;

use std::borrow::Cow;

use crate::style::Style;
use crate::text::{cut, width};

use fit::fit;

/// What stands between two columns.
const GAP: usize = 2;

/// To which side a column's cells lean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// One column: its title, and what becomes of it when the screen is narrow.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    title: Cow<'static, str>,
    align: Align,
    /// Columns with the lowest are left out first; none is never left out.
    importance: Option<u8>,
    /// How narrow it may be made before others are left out; none is never cut.
    shrinks_to: Option<usize>,
    /// How wide its cells usually are.
    expected: usize,
}

impl Column {
    /// A column of words that is always there in full.
    pub(crate) fn left(title: impl Into<Cow<'static, str>>) -> Self {
        Self { title: title.into(), align: Align::Left, importance: None, shrinks_to: None, expected: 0 }
    }

    /// A column of figures that is always there in full.
    pub(crate) fn right(title: impl Into<Cow<'static, str>>) -> Self {
        Self { align: Align::Right, ..Self::left(title) }
    }

    /// The same, left out where it does not fit; the least important go first.
    pub(crate) fn importance(self, importance: u8) -> Self {
        Self { importance: Some(importance), ..self }
    }

    /// The same, cut down to `columns` columns before another one is left out.
    pub(crate) fn shrinks_to(self, columns: usize) -> Self {
        Self { shrinks_to: Some(columns), ..self }
    }

    /// The same, at least so wide in a table whose rows are not known yet.
    pub(crate) fn expects(self, columns: usize) -> Self {
        Self { expected: columns, ..self }
    }
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in the usual colour.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Plain }
    }

    /// A coloured cell.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// What is not known is a hyphen.
    pub(crate) fn optional(text: Option<String>) -> Self {
        text.map_or_else(|| Self::styled("-", Style::Dim), Self::plain)
    }
}

/// Rows under titled columns.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// No rows yet.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The title and the rows, each one line without its end, in at most `limit` columns.
    pub(crate) fn lines(&self, limit: Option<usize>, colour: bool) -> Vec<String> {
        let natural = self.natural_widths();
        let widths = match limit {
            Some(limit) => fit(&self.columns, &natural, limit),
            None => natural.into_iter().map(Some).collect(),
        };
        let layout = Layout { columns: &self.columns, widths: &widths, colour };
        let titles: Vec<_> =
            self.columns.iter().map(|column| Cell::styled(column.title.as_ref(), Style::Bold)).collect();
        std::iter::once(&titles).chain(&self.rows).map(|cells| layout.line(cells)).collect()
    }

    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|column| width(&column.title)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        widths
    }
}

/// A table whose rows are not known yet: a column grows with the first cell that needs it.
#[derive(Debug, Clone)]
pub(crate) struct Growing {
    columns: Vec<Column>,
    widths: Vec<usize>,
}

impl Growing {
    /// As wide as the titles and what is expected under them.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let widths = columns.iter().map(|column| width(&column.title).max(column.expected)).collect();
        Self { columns, widths }
    }

    /// The titles, without the line's end.
    pub(crate) fn titles(&self, limit: Option<usize>, colour: bool) -> String {
        let titles: Vec<_> =
            self.columns.iter().map(|column| Cell::styled(column.title.as_ref(), Style::Bold)).collect();
        self.draw(&titles, limit, colour)
    }

    /// One row, without the line's end.
    pub(crate) fn line(&mut self, cells: &[Cell], limit: Option<usize>, colour: bool) -> String {
        for (widest, cell) in self.widths.iter_mut().zip(cells) {
            *widest = (*widest).max(width(&cell.text));
        }
        self.draw(cells, limit, colour)
    }

    fn draw(&self, cells: &[Cell], limit: Option<usize>, colour: bool) -> String {
        let widths = match limit {
            Some(limit) => fit(&self.columns, &self.widths, limit),
            None => self.widths.iter().copied().map(Some).collect(),
        };
        Layout { columns: &self.columns, widths: &widths, colour }.line(cells)
    }
}

/// Decided widths, by which single lines can be made.
struct Layout<'a> {
    columns: &'a [Column],
    widths: &'a [Option<usize>],
    colour: bool,
}

impl Layout<'_> {
    /// One line without its end, and without blanks before it.
    fn line(&self, cells: &[Cell]) -> String {
        let mut line = String::new();
        let mut pending = 0;
        for ((column, room), cell) in self.columns.iter().zip(self.widths).zip(cells) {
            let Some(room) = *room else { continue };
            let text = cut(&cell.text, room);
            let blank = room - width(&text);
            let (before, after) = match column.align {
                Align::Left => (0, blank),
                Align::Right => (blank, 0),
            };
            line.extend(std::iter::repeat_n(' ', pending + before));
            cell.style.paint_into(&mut line, &text, self.colour);
            pending = after + GAP;
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Column, Table};
    use crate::style::Style;
    use crate::text::width;

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::left("NAME").shrinks_to(8),
            Column::left("STATE"),
            Column::right("LOAD").importance(1),
            Column::left("MESSAGE").importance(2).shrinks_to(10),
        ]);
        for (name, load) in [("pi-3", "0.42"), ("a-rather-long-node-name", "12.00")] {
            table.row(vec![
                Cell::plain(name),
                Cell::styled("up", Style::Good),
                Cell::plain(load),
                Cell::plain("all is well in here"),
            ]);
        }
        table
    }

    #[test]
    fn golden() {
        let show = |limit| table().lines(limit, false).join("\n");
        let whole = "\
NAME                     STATE   LOAD  MESSAGE
pi-3                     up      0.42  all is well in here
a-rather-long-node-name  up     12.00  all is well in here";
        assert_eq!(show(None), whole);
        assert_eq!(show(Some(58)), whole);
        let cut = "\
NAME          STATE   LOAD  MESSAGE
pi-3          up      0.42  all is well i…
a-rather-lo…  up     12.00  all is well i…";
        assert_eq!(show(Some(42)), cut);
        let dropped = "\
NAME      STATE  MESSAGE
pi-3      up     all is we…
a-rathe…  up     all is we…";
        assert_eq!(show(Some(27)), dropped);
        assert_eq!(show(Some(15)), "NAME      STATE\npi-3      up\na-rathe…  up");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for limit in 1..70 {
            for line in table().lines(Some(limit), false) {
                assert!(width(&line) <= limit, "{limit}: {line:?}");
                assert!(!line.ends_with(' '));
            }
        }
    }
}
