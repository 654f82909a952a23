//! Figures over time as bars of block characters, several lines high.

use crate::style::Style;

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One column: solid up to the mean, shaded from there to the greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bar {
    /// What it was on average.
    pub(crate) mean: f32,
    /// What it was at most.
    pub(crate) high: f32,
    /// How it is coloured.
    pub(crate) style: Style,
}

/// Draws bars between `low` and `high` in `height` lines, the upper first; a gap where there is none. What was measured is
/// at least a line at the bottom, and what is beyond the bounds stands at them.
pub(crate) fn bars(bars: &[Option<Bar>], (low, high): (f32, f32), height: usize, colour: bool) -> Vec<String> {
    let top = height * EIGHTHS.len();
    let level = |value: f32| {
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        let level = if share.is_finite() { (share * top as f32).round() as usize } else { 0 };
        level.clamp(1, top.max(1))
    };
    let sign = |bar: &Bar, line: usize| {
        let below = line * EIGHTHS.len();
        match level(bar.mean).checked_sub(below) {
            Some(filled @ 1..) => EIGHTHS[filled.min(EIGHTHS.len()) - 1],
            _ if level(bar.high) > below => '░',
            _ => ' ',
        }
    };
    let draw = |line: usize| {
        let signs = bars.iter().map(|bar| bar.as_ref().map_or((' ', Style::Plain), |bar| (sign(bar, line), bar.style)));
        painted(signs, colour)
    };
    (0..height).rev().map(draw).collect()
}

/// A line of signs, without the blanks at its end; those of one colour are painted together.
pub(crate) fn painted(signs: impl Iterator<Item = (char, Style)>, colour: bool) -> String {
    let mut signs: Vec<_> = signs.collect();
    let used = signs.iter().rposition(|(sign, _)| *sign != ' ').map_or(0, |last| last + 1);
    signs.truncate(used);
    let mut line = String::new();
    for run in signs.chunk_by(|(_, one), (_, other)| one == other) {
        let text: String = run.iter().map(|(sign, _)| sign).collect();
        let style = run.first().map_or(Style::Plain, |(_, style)| *style);
        style.paint_into(&mut line, &text, colour);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Bar, bars};
    use crate::style::Style;

    fn bar(mean: f32, high: f32) -> Option<Bar> {
        Some(Bar { mean, high, style: Style::Plain })
    }

    #[test]
    fn golden() {
        let rising: Vec<_> = (0..=16).map(|step| bar(step as f32, step as f32)).collect();
        assert_eq!(bars(&rising, (0.0, 16.0), 2, false), ["         ▁▂▃▄▅▆▇█", "▁▁▂▃▄▅▆▇█████████"]);
        let spikes = [bar(10.0, 100.0), None, bar(60.0, 60.0), bar(0.0, 40.0), bar(0.0, 0.0), None];
        assert_eq!(bars(&spikes, (0.0, 100.0), 3, false), ["░", "░ ▆░", "▂ █▁▁"]);
        // Beyond the bounds, and bounds that are none.
        assert_eq!(bars(&[bar(-5.0, 500.0), bar(500.0, 500.0)], (0.0, 10.0), 2, false), ["░█", "▁█"]);
        assert_eq!(bars(&[bar(3.0, 3.0)], (3.0, 3.0), 2, false), ["", "▁"]);
        assert_eq!(bars(&[], (0.0, 1.0), 2, false), ["", ""]);
    }

    #[test]
    fn colours_are_painted_together() {
        let hot = Some(Bar { mean: 9.0, high: 9.0, style: Style::Bad });
        let drawn = bars(&[bar(9.0, 9.0), hot, hot, None, hot], (0.0, 8.0), 1, true);
        assert_eq!(drawn, ["█\u{1b}[1;31m██\u{1b}[0m \u{1b}[1;31m█\u{1b}[0m"]);
    }

    #[test]
    fn never_panics_and_never_exceeds() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0] {
            for bounds in [(0.0, 0.0), (0.0, 100.0), (f32::NAN, f32::NAN), (5.0, -5.0)] {
                for height in 0..4 {
                    let drawn = bars(&[bar(value, value); 5], bounds, height, false);
                    assert_eq!(drawn.len(), height);
                    assert!(drawn.iter().all(|line| line.chars().count() <= 5));
                }
            }
        }
    }
}
