use super::super::render::warnings;
use super::report::{PlanNodeReport, PlanReport, PlanStageReport, StepReport};
use crate::output::{Page, Report};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::wrap;
use crate::units::{count, spoken};

impl Report for PlanReport {
    fn render(&self, page: &Page) -> String {
        let mut sections = vec![budget(self, page)];
        sections.extend(self.stages.iter().enumerate().map(|(place, stage)| section(place + 1, stage, page)));
        if self.nodes().any(|node| !node.learnt) {
            let note = "* a start value from the configuration: no stop of this node was measured yet";
            sections.push(vec![Style::Dim.paint(&page.fit(note), page.colour)]);
        }
        sections.push(warnings(&self.warnings, page));
        let sections: Vec<_> =
            sections.iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).collect();
        sections.join("\n\n") + "\n"
    }
}

/// Whether there is time for it.
fn budget(plan: &PlanReport, page: &Page) -> Vec<String> {
    let (path, margin) = (plan.critical_path_seconds as u64, plan.margin_seconds as u64);
    let need = path.saturating_add(margin);
    let nodes = count(plan.nodes().count(), "node");
    let (style, first) = match plan.runtime_left_seconds.map(|left| left as u64) {
        Some(left) if left < need => (
            Style::Bad,
            format!("TOO SHORT: {} left in the battery, the shutdown needs {}", spoken(left), spoken(need)),
        ),
        Some(left) => {
            let spare = spoken(left - need);
            (
                Style::Good,
                format!("{nodes} go down in {}; {} left in the battery, {spare} to spare", spoken(path), spoken(left)),
            )
        }
        None => (Style::Plain, format!("{nodes} go down in {}; what the battery holds is not known", spoken(path))),
    };
    let mut lines = page.painted(style, &first);
    let sum = format!("{} critical path + {} margin = {}", spoken(path), spoken(margin), spoken(need));
    lines.push(page.fit(&format!("Budget  {sum}")));
    match plan.cut_delay_seconds {
        Some(delay) => lines.push(page.fit(&format!("Cut     the UPS cuts {} after it is told", spoken(delay as u64)))),
        None if plan.nodes().any(|node| node.master) => lines.push(page.fit("Cut     the UPS is not told to cut")),
        None => {}
    }
    lines
}

fn section(number: usize, stage: &PlanStageReport, page: &Page) -> Vec<String> {
    let begins = match stage.begins_after_seconds as u64 {
        0 => "begins at once".to_owned(),
        seconds => format!("begins after {}", spoken(seconds)),
    };
    let title = format!("STAGE {number} {}", stage.name);
    let times = format!(
        ": {begins}, expected {}, cap {}",
        spoken(stage.expected_seconds as u64),
        spoken(stage.cap_seconds as u64)
    );
    let mut lines: Vec<_> = page.wrapped(&format!("{title}{times}"));
    if let Some(first) = lines.first_mut()
        && let Some(rest) = first.strip_prefix(&title)
    {
        *first = format!("{}{rest}", Style::Bold.paint(&title, page.colour));
    }
    let mut told = |text: String| lines.extend(indented(&text, page));
    if let Some(shed) = &stage.shed {
        told(format!("goes earlier by itself: {shed}"));
    }
    if !stage.needs.is_empty() {
        let needs: Vec<_> = stage.needs.iter().map(ToString::to_string).collect();
        told(format!("comes back after: {}", needs.join(", ")));
    }
    // Most stages have one list of steps for all of their nodes.
    let common = stage.nodes.first().map(|node| &node.steps);
    if let Some(common) = common {
        told(steps(common, page.wide));
    }
    let narrower = Page { columns: page.columns.map(|columns| columns.saturating_sub(2)), ..page.clone() };
    let rows = table(stage, &narrower);
    let mut rows = rows.iter();
    lines.extend(rows.next().map(|titles| format!("  {titles}")));
    for (row, node) in rows.zip(&stage.nodes) {
        lines.push(format!("  {row}"));
        if Some(&node.steps) != common {
            lines.extend(indented(&format!("  {}", steps(&node.steps, page.wide)), page));
        }
    }
    lines
}

fn table(stage: &PlanStageReport, page: &Page) -> Vec<String> {
    let mut table = Table::new(vec![
        Column::left("NODE").shrinks_to(8),
        Column::right("EXPECTED"),
        Column::right("CAP"),
        Column::left("WAKE"),
        Column::left("").importance(1).shrinks_to(12),
    ]);
    for node in &stage.nodes {
        table.row(vec![
            Cell::plain(node.name.as_str()),
            Cell::plain(format!("{}{}", spoken(node.expected_seconds as u64), if node.learnt { " " } else { "*" })),
            Cell::plain(spoken(node.cap_seconds as u64)),
            match node.wake.as_str() {
                "by-hand" => Cell::styled("by hand", Style::Warn),
                wake => Cell::plain(wake),
            },
            remark(node),
        ]);
    }
    table.lines(page.columns, page.colour)
}

fn remark(node: &PlanNodeReport) -> Cell {
    match (node.master, node.reachable) {
        (true, _) => Cell::styled("runs the controller", Style::Dim),
        (false, true) => Cell::plain(""),
        (false, false) => Cell::styled("not connected now", Style::Bad),
    }
}

/// The steps in their order; with each one's deadline where there is room for all.
fn steps(steps: &[StepReport], wide: bool) -> String {
    let word = |given: &StepReport| match wide {
        true => format!("{} {}", given.step, spoken(given.timeout_seconds as u64)),
        false => given.step.to_string(),
    };
    steps.iter().map(word).collect::<Vec<_>>().join(" → ")
}

fn indented(text: &str, page: &Page) -> Vec<String> {
    let deep = text.len() - text.trim_start().len() + 2;
    let room = page.columns.map_or(usize::MAX, |columns| columns.saturating_sub(deep).max(20));
    wrap(text, room).iter().map(|line| format!("{:deep$}{}", "", Style::Dim.paint(line, page.colour))).collect()
}
