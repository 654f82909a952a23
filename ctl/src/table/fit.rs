use super::{Column, GAP};

/// Decides each column's width, or that it is left out.
///
/// Shrinkable columns give way first, then the least important column goes, and so on. What still does not fit when
/// only the indispensable columns are left is cut at the last of them.
pub(super) fn fit(columns: &[Column], natural: &[usize], limit: usize) -> Vec<Option<usize>> {
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

#[cfg(test)]
mod tests {
    use super::super::Column;
    use super::fit;

    #[test]
    fn who_has_most_to_give_gives_first() {
        let columns = [Column::left("A").shrinks_to(4), Column::left("B").shrinks_to(4)];
        assert_eq!(fit(&columns, &[30, 10], 32), [Some(20), Some(10)]);
        assert_eq!(fit(&columns, &[30, 10], 12), [Some(5), Some(5)]);
    }
}
