//! Objects as rows.

use rackhaven_proto::v1::workload_row::State;
use rackhaven_proto::v1::{WorkloadColumn, WorkloadRow, Workloads};

use crate::error::CtlError;
use crate::invocation::Invocation;
use crate::output::Page;
use crate::style::Style;
use crate::table::{Cell, Column, Growing, Table};
use crate::text::Text;

/// What was heard of objects so far.
pub(super) struct Rows {
    all_namespaces: bool,
    watch: bool,
    columns: Vec<WorkloadColumn>,
    rows: Vec<WorkloadRow>,
    growing: Option<Growing>,
}

impl Rows {
    pub(super) fn new(all_namespaces: bool, watch: bool) -> Self {
        Self { all_namespaces, watch, columns: Vec::new(), rows: Vec::new(), growing: None }
    }

    /// Takes up rows; while they are watched each is shown at once.
    pub(super) fn take(&mut self, message: Workloads, invocation: &mut Invocation) -> Result<(), CtlError> {
        if !message.columns.is_empty() {
            self.columns = message.columns;
        }
        if !self.watch {
            self.rows.extend(message.rows);
            return Ok(());
        }
        let page = invocation.page();
        let mut lines = String::new();
        for row in &message.rows {
            let cells = self.cells(row, &page);
            let growing = self.growing.get_or_insert_with(|| {
                let titled = Growing::new(titles(self.all_namespaces, &self.columns, &page));
                lines.push_str(&titled.titles(page.columns, page.colour));
                lines.push('\n');
                titled
            });
            lines.push_str(&growing.line(&cells, page.columns, page.colour));
            lines.push('\n');
        }
        invocation.draw(lines)
    }

    /// Shows them; whether there were any.
    pub(super) fn end(self, invocation: &mut Invocation) -> Result<bool, CtlError> {
        if self.watch || self.rows.is_empty() {
            return Ok(self.growing.is_some());
        }
        let page = invocation.page();
        let mut table = Table::new(titles(self.all_namespaces, &self.columns, &page));
        for row in &self.rows {
            table.row(self.cells(row, &page));
        }
        let lines = table.lines(page.columns, page.colour).iter().map(|line| format!("{line}\n")).collect();
        invocation.draw(lines)?;
        Ok(true)
    }

    fn cells(&self, row: &WorkloadRow, page: &Page) -> Vec<Cell> {
        let style = match (row.deleted, row.state()) {
            (true, _) => Style::Dim,
            (_, State::Good) => Style::Good,
            (_, State::Warning) => Style::Warn,
            (_, State::Bad) => Style::Bad,
            (_, State::Unspecified) => Style::Plain,
        };
        let namespace = self.all_namespaces.then(|| Cell::plain(Text::new(&row.namespace).to_string()));
        let empty = String::new();
        let cell = |(number, column): (usize, &WorkloadColumn)| {
            let text = Text::new(row.cells.get(number).unwrap_or(&empty)).to_string();
            // What tells how it is stands in the second column, or is its name.
            let text = if number == 0 && row.deleted { format!("{text} (deleted)") } else { text };
            let tells = ["STATUS", "READY"].contains(&column.title.as_str()) || row.deleted;
            if tells { Cell::styled(text, style) } else { Cell::plain(text) }
        };
        let shown = self.columns.iter().enumerate().filter(|(_, column)| page.wide || !column.wide);
        namespace.into_iter().chain(shown.map(cell)).collect()
    }
}

/// The columns that are shown. In the least room there is, names are cut before anything is left out.
fn titles(all_namespaces: bool, columns: &[WorkloadColumn], page: &Page) -> Vec<Column> {
    let namespace = all_namespaces.then(|| Column::left("NAMESPACE").shrinks_to(10).expects(12));
    let shown = columns.iter().filter(|column| page.wide || !column.wide);
    let column = |(number, column): (usize, &WorkloadColumn)| {
        let titled = Column::left(Text::new(&column.title).to_string());
        match number {
            0 => titled.shrinks_to(24).expects(24),
            1 | 2 => titled.expects(8),
            _ => titled.importance(u8::try_from(100 - number.min(90)).unwrap_or(1)),
        }
    };
    namespace.into_iter().chain(shown.enumerate().map(column)).collect()
}
