//! What the keys do. Pure.

use std::time::Duration;

use super::keys::{Input, Key};
use super::list::{Cursor, Sort};
use super::plan::Panel;
use super::view::{Close, Mode, View};
use crate::style::Style;

/// How often the controller may be asked, as `+` and `-` step through it.
const INTERVALS_MS: [u64; 8] = [500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000];
/// Most characters of a filter.
const MAX_FILTER: usize = 64;

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// End.
    End,
    /// Stop, as by Ctrl-Z.
    Suspend,
    /// Ask the controller at once.
    Look,
    /// Draw all of it anew: something else may have written on the screen.
    Redraw,
    /// Acknowledge the alert of this key.
    Acknowledge(String),
}

impl View {
    /// Takes up what a person did.
    pub(super) fn input(&mut self, input: Input, now_ms: u64) -> Option<Effect> {
        let effect = match input {
            Input::Paste(text) => {
                // A paste is never a command.
                if matches!(self.mode, Mode::Filter(_)) {
                    text.chars().for_each(|c| self.type_into_filter(c));
                }
                None
            }
            Input::Key(Key::Ctrl('c')) => Some(Effect::End),
            Input::Key(Key::Ctrl('z')) => Some(Effect::Suspend),
            Input::Key(Key::Ctrl('l')) => Some(Effect::Redraw),
            Input::Key(_) if self.help => {
                self.help = false;
                None
            }
            Input::Key(key) => match self.mode {
                Mode::Browse => self.browse(key, now_ms),
                Mode::Filter(_) => self.filter_key(key),
                Mode::Confirm(_) => self.confirm(key, now_ms),
                Mode::Node(_) => self.close_key(key, now_ms),
            },
        };
        self.settle();
        effect
    }

    fn browse(&mut self, key: Key, now_ms: u64) -> Option<Effect> {
        match key {
            Key::Escape if !self.filter.is_empty() => {
                self.filter.clear();
                None
            }
            Key::Enter => self.look_closely(now_ms),
            Key::Tab => self.focus(1),
            Key::BackTab => self.focus(Panel::ALL.len() - 1),
            Key::Char(digit @ '1'..='4') => {
                let place = digit as usize - '1' as usize;
                self.choose_panel(Panel::ALL[place]);
                None
            }
            Key::Char('/') | Key::Function(3 | 4) => {
                self.mode = Mode::Filter(self.filter.clone());
                self.choose_panel(Panel::Nodes);
                None
            }
            Key::Char('s' | '>' | '.') | Key::Function(6) => self.sort(self.sort.step(1)),
            Key::Char('<' | ',') => self.sort(self.sort.back()),
            Key::Char('N') => self.sort(Sort::Name),
            Key::Char('P') => self.sort(Sort::Cpu),
            Key::Char('M') => self.sort(Sort::Memory),
            Key::Char('T') => self.sort(Sort::Temperature),
            Key::Char('D') => self.sort(Sort::Disk),
            Key::Char('I') => {
                self.inverted = !self.inverted;
                (self.chosen, self.nodes) = (None, Cursor::default());
                None
            }
            Key::Char('a') => {
                self.acknowledge(now_ms);
                None
            }
            key => self.everywhere(key, now_ms),
        }
    }

    /// Keys that mean the same in lists and on one node.
    fn everywhere(&mut self, key: Key, now_ms: u64) -> Option<Effect> {
        let page = self.page_rows();
        match key {
            Key::Char('q') | Key::Function(10) => return Some(Effect::End),
            Key::Char('?' | 'h') | Key::Function(1) => self.help = true,
            Key::Char('p') => {
                self.paused = !self.paused;
                return (!self.paused).then_some(Effect::Look);
            }
            Key::Char('r') | Key::Function(5) => return Some(Effect::Look),
            Key::Char('+' | '=') => return self.change_interval(true, now_ms),
            Key::Char('-') => return self.change_interval(false, now_ms),
            Key::Down | Key::Char('j') => self.go(1),
            Key::Up | Key::Char('k') => self.go(-1),
            Key::PageDown | Key::Ctrl('f') | Key::Char(' ') => self.go(page),
            Key::PageUp | Key::Ctrl('b') => self.go(-page),
            Key::Home | Key::Char('g') => self.go(isize::MIN),
            Key::End | Key::Char('G') => self.go(isize::MAX),
            _ => {}
        }
        None
    }

    fn filter_key(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Char(c) => self.type_into_filter(c),
            Key::Backspace => drop(self.filter.pop()),
            Key::Ctrl('u' | 'w') => self.filter.clear(),
            Key::Enter => self.mode = Mode::Browse,
            Key::Escape => {
                if let Mode::Filter(before) = std::mem::replace(&mut self.mode, Mode::Browse) {
                    self.filter = before;
                }
            }
            Key::Down => self.go(1),
            Key::Up => self.go(-1),
            _ => {}
        }
        None
    }

    fn type_into_filter(&mut self, c: char) {
        if self.filter.chars().count() < MAX_FILTER {
            self.filter.push(c);
        }
    }

    fn confirm(&mut self, key: Key, now_ms: u64) -> Option<Effect> {
        if !matches!(key, Key::Char('y' | 'Y' | 'n' | 'N' | 'q') | Key::Escape) {
            return None;
        }
        let Mode::Confirm(alert) = std::mem::replace(&mut self.mode, Mode::Browse) else { return None };
        if matches!(key, Key::Char('y' | 'Y')) {
            self.say(Style::Dim, format!("acknowledging {alert} …"), now_ms);
            return Some(Effect::Acknowledge(alert));
        }
        self.say(Style::Plain, "not acknowledged", now_ms);
        None
    }

    /// Asks whether the chosen alert is to be acknowledged. Which one that is must have been seen.
    fn acknowledge(&mut self, now_ms: u64) {
        let Some(alert) = self.alert() else { return self.say(Style::Plain, "nothing fires", now_ms) };
        if self.panel != Panel::Alerts {
            self.choose_panel(Panel::Alerts);
            return self.say(Style::Plain, "choose an alert, then a", now_ms);
        }
        if let Some(by) = &alert.acknowledged_by {
            let known = format!("{} is known to {by} already", alert.key);
            return self.say(Style::Plain, known, now_ms);
        }
        self.mode = Mode::Confirm(alert.key.to_string());
    }

    fn close_key(&mut self, key: Key, now_ms: u64) -> Option<Effect> {
        match key {
            Key::Escape | Key::Backspace | Key::Left => {
                self.mode = Mode::Browse;
                None
            }
            key => self.everywhere(key, now_ms),
        }
    }

    /// Opens the chosen node, or the one that the chosen alert is about.
    fn look_closely(&mut self, now_ms: u64) -> Option<Effect> {
        let name = match self.panel {
            Panel::Alerts => self.alert().map(|alert| alert.node.clone()),
            _ => self.node().map(|node| Some(node.name.clone())),
        }?;
        let Some(name) = name else {
            self.say(Style::Plain, "this alert is about no node", now_ms);
            return None;
        };
        self.mode = Mode::Node(Box::new(Close { name, node: None, scroll: 0 }));
        Some(Effect::Look)
    }

    fn focus(&mut self, places: usize) -> Option<Effect> {
        let at = Panel::ALL.iter().position(|panel| *panel == self.panel).unwrap_or_default();
        self.choose_panel(Panel::ALL[(at + places) % Panel::ALL.len()]);
        None
    }

    fn choose_panel(&mut self, panel: Panel) {
        self.panel = panel;
        if panel != Panel::Nodes {
            self.below = panel;
        }
    }

    fn sort(&mut self, sort: Sort) -> Option<Effect> {
        self.sort = sort;
        self.inverted = false;
        // One sorts to see what comes first.
        (self.chosen, self.nodes) = (None, Cursor::default());
        None
    }

    fn go(&mut self, places: isize) {
        match (&mut self.mode, self.panel) {
            (Mode::Node(close), _) => close.scroll = close.scroll.saturating_add_signed(places),
            (_, Panel::Alerts) => self.alerts.go(places, self.report.alerts.len()),
            (_, Panel::Nodes) => {
                self.nodes.go(places, self.rows.len());
                self.chosen = self.node().map(|node| node.name.clone());
            }
            (_, Panel::Events) => self.newer = self.newer.saturating_add_signed(places.saturating_neg()),
            // It shows what fits.
            (_, Panel::Power) => {}
        }
    }

    /// How far a page goes.
    fn page_rows(&self) -> isize {
        let Some(plan) = self.plan() else { return 1 };
        let rows = match (&self.mode, self.panel) {
            (Mode::Node(_), _) => usize::from(plan.body.height).saturating_sub(8),
            (_, Panel::Alerts) => plan.alert_rows(),
            (_, Panel::Events) => usize::from(plan.other.height).saturating_sub(1),
            _ => plan.node_rows(),
        };
        isize::try_from(rows.max(1)).unwrap_or(1)
    }

    fn change_interval(&mut self, longer: bool, now_ms: u64) -> Option<Effect> {
        let now = u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX);
        let next = match longer {
            true => INTERVALS_MS.into_iter().find(|ms| *ms > now)?,
            false => INTERVALS_MS.into_iter().rfind(|ms| *ms < now)?,
        };
        self.every = Duration::from_millis(next);
        self.say(Style::Plain, format!("every {}", super::draw::interval(self.every)), now_ms);
        Some(Effect::Look)
    }
}

#[cfg(test)]
mod tests;
