//! Where on the screen what stands. Pure.

use ratatui::layout::Rect;

/// The least screen, columns and rows.
pub(super) const LEAST: (u16, u16) = (60, 14);
/// From so many columns and rows on, there is a second column of panels.
const LARGE: (u16, u16) = (120, 30);
/// Rule, titles, and what is wrong with the chosen node.
const NODES_FRAME: u16 = 3;

/// What can be looked at more closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Panel {
    /// The machines.
    Nodes,
    /// What an admin must know.
    Alerts,
    /// What has happened.
    Events,
    /// The supply.
    Power,
}

impl Panel {
    /// All, as their numbers go.
    pub(super) const ALL: [Self; 4] = [Self::Nodes, Self::Alerts, Self::Events, Self::Power];
}

/// How much there is to show, lines.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// Of power at the top.
    pub(super) power: u16,
    /// Of backups at the top.
    pub(super) backups: u16,
    /// Of nodes.
    pub(super) nodes: u16,
    /// Of alerts.
    pub(super) alerts: u16,
    /// Of the other panel that is wanted.
    pub(super) other: u16,
}

/// Where what stands; what is not there has no height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) verdict: Rect,
    pub(super) age: Rect,
    pub(super) power: Rect,
    pub(super) backups: Rect,
    /// With rule and titles.
    pub(super) nodes: Rect,
    /// What is wrong with the chosen node.
    pub(super) wrong: Rect,
    pub(super) alerts: Rect,
    /// Events, or the supply.
    pub(super) other: Rect,
    /// From the verdict's lines to the foot.
    pub(super) body: Rect,
    pub(super) foot: Rect,
}

impl Plan {
    /// Lays out a screen. `wanted` is the panel below the nodes that was looked at last. None where the screen is too
    /// small.
    pub(super) fn new((columns, rows): (u16, u16), needs: Needs, wanted: Panel) -> Option<Self> {
        if columns < LEAST.0 || rows < LEAST.1 {
            return None;
        }
        let mut screen = Stack { columns, next: 0, left: rows - 1 };
        let foot = Rect::new(0, rows - 1, columns, 1);
        let (verdict, age) = (screen.take(1), screen.take(1));
        let body = Rect::new(0, 2, columns, rows - 3);
        let plan = Self { verdict, age, body, foot, ..Self::default() };
        Some(match columns >= LARGE.0 && rows >= LARGE.1 {
            true => plan.large(screen, needs),
            false => plan.small(screen, needs, wanted),
        })
    }

    /// How many nodes are in sight.
    pub(super) fn node_rows(&self) -> usize {
        usize::from(self.nodes.height.saturating_sub(2))
    }

    /// How many alerts are in sight.
    pub(super) fn alert_rows(&self) -> usize {
        usize::from(self.alerts.height.saturating_sub(1))
    }

    fn small(mut self, mut screen: Stack, needs: Needs, wanted: Panel) -> Self {
        // On a very low screen the nodes matter more.
        let at_top = if screen.left < 18 { 1 } else { 5 };
        self.power = screen.take(needs.power.min(at_top));
        self.backups = screen.take(needs.backups.min(if screen.left < 18 { 0 } else { 1 }));
        let of_nodes = NODES_FRAME + needs.nodes.max(1);
        let alerts_wanted = !matches!(wanted, Panel::Events | Panel::Power);
        let (need, most) = match alerts_wanted {
            true => (1 + needs.alerts, (screen.left / 3).max(2)),
            false => (1 + needs.other.max(1), screen.left / 2),
        };
        let below = need.min(most.max(screen.left.saturating_sub(of_nodes)));
        let above = screen.left.saturating_sub(below).min(of_nodes);
        self.nodes = screen.take(above.saturating_sub(1));
        self.wrong = screen.take(1);
        match alerts_wanted {
            true => {
                self.alerts = screen.take(below);
                // A rule with less than two lines below it is not worth its row.
                let left = if screen.left >= 3 { screen.left } else { 0 };
                self.other = screen.take(left);
            }
            false => self.other = screen.take(screen.left),
        }
        self
    }

    fn large(mut self, mut screen: Stack, needs: Needs) -> Self {
        let top = screen.take(needs.power.max(needs.backups).min(6));
        // Power has more to say.
        let of_power = if needs.backups > 0 { top.width / 5 * 3 } else { top.width };
        self.power = Rect { width: of_power, height: needs.power.min(top.height), ..top };
        self.backups = Rect { x: of_power, width: top.width - of_power, height: needs.backups.min(top.height), ..top };
        let of_nodes = NODES_FRAME + needs.nodes.max(1);
        let below = (screen.left / 3).max(screen.left.saturating_sub(of_nodes));
        self.nodes = screen.take(screen.left.saturating_sub(below + 1));
        self.wrong = screen.take(1);
        let bottom = screen.take(screen.left);
        let half = bottom.width / 2;
        self.alerts = Rect { width: half.saturating_sub(1), ..bottom };
        self.other = Rect { x: half + 1, width: bottom.width - half - 1, ..bottom };
        self
    }
}

/// Rows from top to bottom.
struct Stack {
    columns: u16,
    next: u16,
    left: u16,
}

impl Stack {
    fn take(&mut self, rows: u16) -> Rect {
        let rows = rows.min(self.left);
        let taken = Rect::new(0, self.next, self.columns, rows);
        self.next += rows;
        self.left -= rows;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST, Needs, Panel, Plan};

    #[test]
    fn nothing_overlaps_or_leaves_the_screen() {
        for columns in [LEAST.0, 80, 119, 120, 200, 400] {
            for rows in LEAST.1..70 {
                for count in [0, 1, 3, 6, 20, 1000] {
                    for other in Panel::ALL {
                        let needs = Needs { power: 3, backups: 1, nodes: count, alerts: count / 2, other: 50 };
                        let plan = Plan::new((columns, rows), needs, other).unwrap();
                        let mut taken = vec![0_u8; usize::from(columns) * usize::from(rows)];
                        let parts = [
                            plan.verdict,
                            plan.age,
                            plan.power,
                            plan.backups,
                            plan.nodes,
                            plan.wrong,
                            plan.alerts,
                            plan.other,
                            plan.foot,
                        ];
                        for part in parts {
                            assert!(part.right() <= columns && part.bottom() <= rows, "{plan:?}");
                            for position in part.positions() {
                                let cell = &mut taken
                                    [usize::from(position.y) * usize::from(columns) + usize::from(position.x)];
                                assert_eq!(*cell, 0, "{plan:?} at {position}");
                                *cell = 1;
                            }
                        }
                        assert!(plan.node_rows() >= 1, "{columns}x{rows}: {plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn golden() {
        let needs = Needs { power: 2, backups: 1, nodes: 6, alerts: 2, other: 40 };
        let heights = |size, needs, wanted| {
            Plan::new(size, needs, wanted).map(|plan| {
                [plan.power, plan.backups, plan.nodes, plan.wrong, plan.alerts, plan.other].map(|part| part.height)
            })
        };
        let many = Needs { nodes: 100, alerts: 20, ..needs };
        for (size, needs, wanted, expected) in [
            ((80, 24), needs, Panel::Alerts, Some([2, 1, 8, 1, 3, 6])),
            ((80, 24), needs, Panel::Events, Some([2, 1, 8, 1, 0, 9])),
            ((80, 24), many, Panel::Nodes, Some([2, 1, 11, 1, 6, 0])),
            ((80, 24), many, Panel::Power, Some([2, 1, 8, 1, 0, 9])),
            ((80, 24), Needs::default(), Panel::Nodes, Some([0, 0, 3, 1, 1, 16])),
            ((60, 14), many, Panel::Nodes, Some([1, 0, 6, 1, 3, 0])),
            ((200, 50), needs, Panel::Nodes, Some([2, 1, 8, 1, 36, 36])),
            ((200, 50), many, Panel::Nodes, Some([2, 1, 29, 1, 15, 15])),
            ((59, 24), needs, Panel::Nodes, None),
            ((200, 13), needs, Panel::Nodes, None),
        ] {
            assert_eq!(heights(size, needs, wanted), expected, "{size:?} {wanted:?}");
        }
    }
}
