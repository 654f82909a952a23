//! Aligned columns that fit the screen.

use crate::style::Style;
use crate::text::{cut, width};

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
    title: &'static str,
    align: Align,
    /// Columns with the lowest are left out first; none is never left out.
    importance: Option<u8>,
    /// How narrow it may be made before others are left out; none is never cut.
    shrinks_to: Option<usize>,
}

impl Column {
    /// A column of words that is always there in full.
    pub(crate) fn left(title: &'static str) -> Self {
        Self { title, align: Align::Left, importance: None, shrinks_to: None }
    }

    /// A column of figures that is always there in full.
    pub(crate) fn right(title: &'static str) -> Self {
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
        let titles: Vec<_> = self.columns.iter().map(|column| Cell::styled(column.title, Style::Bold)).collect();
        std::iter::once(&titles).chain(&self.rows).map(|cells| layout.line(cells)).collect()
    }

    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|column| width(column.title)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        widths
    }
}

/// Decides each column's width, or that it is left out.
///
/// Shrinkable columns give way first, then the least important column goes, and so on. What still does not fit when
/// only the indispensable columns are left is cut at the last of them.
fn fit(columns: &[Column], natural: &[usize], limit: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    loop {
        let kept = widths.iter().flatten().count();
        let total = widths.iter().flatten().sum::<usize>() + GAP * kept.saturating_sub(1);
        let mut excess = total.saturating_sub(limit);
        let can_give = |(column, width): (&Column, &Option<usize>)| {
            column.shrinks_to.zip(*width).map_or(0, |(least, width)| width.saturating_sub(least))
        };
        if excess <= columns.iter().zip(&widths).map(can_give).sum() {
            // Who has most to give gives first, so that one long cell does not cost its neighbours theirs.
            while excess > 0 {
                let richest = columns.iter().zip(&widths).map(can_give).enumerate().max_by_key(|(_, give)| *give);
                let Some(width) = richest.and_then(|(place, _)| widths[place].as_mut()) else { break };
                *width -= 1;
                excess -= 1;
            }
            return widths;
        }
        let dispensable = columns
            .iter()
            .zip(&widths)
            .enumerate()
            .filter(|(_, (_, width))| width.is_some())
            .filter_map(|(place, (column, _))| column.importance.map(|importance| (importance, place)))
            .min();
        match dispensable {
            Some((_, place)) => widths[place] = None,
            None => return squeeze(widths, limit),
        }
    }
}

/// The last resort: whatever goes beyond the limit is taken from the right.
fn squeeze(mut widths: Vec<Option<usize>>, limit: usize) -> Vec<Option<usize>> {
    let mut left = limit;
    for (place, width) in widths.iter_mut().enumerate() {
        let Some(wanted) = *width else { continue };
        let gap = if place == 0 { 0 } else { GAP };
        let given = wanted.min(left.saturating_sub(gap));
        *width = (given > 0).then_some(given);
        left = left.saturating_sub(gap + given);
    }
    widths
}

/// A table whose rows are not known yet: a column grows with the first cell that needs it.
#[derive(Debug, Clone)]
pub(crate) struct Growing {
    columns: Vec<Column>,
    widths: Vec<usize>,
}

impl Growing {
    /// As wide as the titles.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        // What is short now may be followed by more; some room saves most of the jumps.
        const ROOM: usize = 8;
        let widths = columns.iter().map(|column| width(column.title).max(ROOM)).collect();
        Self { columns, widths }
    }

    /// The titles, without the line's end.
    pub(crate) fn titles(&self, limit: Option<usize>, colour: bool) -> String {
        let titles: Vec<_> = self.columns.iter().map(|column| Cell::styled(column.title, Style::Bold)).collect();
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
        let mut widths = self.widths.clone();
        // The last column has its least room from the start, so that it does not push others out as it grows.
        if let (Some(last), Some(column)) = (widths.last_mut(), self.columns.last()) {
            *last = (*last).max(column.shrinks_to.unwrap_or(0));
        }
        let widths = match limit {
            Some(limit) => fit(&self.columns, &widths, limit),
            None => widths.into_iter().map(Some).collect(),
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
            line.push_str(&cell.style.paint(&text, self.colour));
            pending = after + GAP;
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Column, Table, fit};
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

    #[test]
    fn who_has_most_to_give_gives_first() {
        let columns = [Column::left("A").shrinks_to(4), Column::left("B").shrinks_to(4)];
        assert_eq!(fit(&columns, &[30, 10], 32), [Some(20), Some(10)]);
        assert_eq!(fit(&columns, &[30, 10], 12), [Some(5), Some(5)]);
    }
}
