//! A row of figures as one word of eight heights.

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws `values` (oldest first, none where nothing was measured) between `low` and `high` in at most `columns` columns.
/// Where there are more values than columns, the highest of those that share one is drawn: a peak is what one looks for.
pub(crate) fn sparkline(values: &[Option<f32>], low: f32, high: f32, columns: usize) -> String {
    if values.is_empty() || columns == 0 {
        return String::new();
    }
    let columns = columns.min(values.len());
    let highest = |column: usize| {
        let group = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
        group.iter().flatten().copied().max_by(f32::total_cmp)
    };
    let draw = |value: Option<f32>| {
        let Some(value) = value else { return ' ' };
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        let step = if share.is_finite() { (share * (HEIGHTS.len() - 1) as f32).round() as usize } else { 0 };
        HEIGHTS[step.min(HEIGHTS.len() - 1)]
    };
    (0..columns).map(|column| draw(highest(column))).collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn golden() {
        let rising: Vec<_> = (0..8).map(|n| Some(n as f32)).collect();
        assert_eq!(sparkline(&rising, 0.0, 7.0, 80), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&rising, 0.0, 7.0, 4), "▂▄▆█");
        assert_eq!(sparkline(&[None, Some(100.0), None, Some(-5.0)], 0.0, 100.0, 9), " █ ▁");
        assert_eq!(sparkline(&[], 0.0, 1.0, 9), "");
    }

    #[test]
    fn never_panics_and_never_exceeds() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0] {
            for (low, high) in [(0.0, 0.0), (0.0, 100.0), (f32::NAN, f32::NAN), (5.0, -5.0)] {
                for columns in 0..7 {
                    let drawn = sparkline(&[Some(value); 5], low, high, columns);
                    assert_eq!(drawn.chars().count(), columns.min(5));
                }
            }
        }
    }
}
