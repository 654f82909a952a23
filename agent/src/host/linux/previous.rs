/// Each device's counters as they were one sample ago.
pub(super) struct Previous<C> {
    rows: Vec<Row<C>>,
}

struct Row<C> {
    name: Box<str>,
    counters: C,
    seen: bool,
}

impl<C> Previous<C> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Remembers `now` and gives back what was remembered before.
    pub(super) fn replace(&mut self, name: &str, now: C) -> Option<C> {
        match self.rows.iter_mut().find(|row| *row.name == *name) {
            Some(row) => {
                row.seen = true;
                Some(std::mem::replace(&mut row.counters, now))
            }
            None => {
                self.rows.push(Row { name: name.into(), counters: now, seen: true });
                None
            }
        }
    }

    /// Ends a sample: what was not seen in it is gone, and starts anew when it comes back.
    pub(super) fn forget_unseen(&mut self) {
        self.rows.retain_mut(|row| std::mem::take(&mut row.seen));
    }
}

/// Growth of a counter in a second. None when it went backwards: the device was reset, or the counter wrapped.
pub(super) fn per_second(before: u64, now: u64, elapsed_ms: u64) -> Option<u64> {
    let grown = u128::from(now.checked_sub(before)?) * 1_000;
    u64::try_from(grown.checked_div(elapsed_ms.into())?).ok()
}

#[cfg(test)]
mod tests {
    use super::{Previous, per_second};

    #[test]
    fn rates() {
        assert_eq!(per_second(1_000, 6_000, 5_000), Some(1_000));
        assert_eq!(per_second(0, u64::MAX, 1_000), Some(u64::MAX));
        assert_eq!(per_second(0, u64::MAX, 999), None);
        assert_eq!(per_second(2, 1, 1_000), None);
        assert_eq!(per_second(1, 2, 0), None);
    }

    #[test]
    fn a_device_that_left_starts_anew() {
        let mut previous = Previous::new();
        assert_eq!(previous.replace("sda", 1), None);
        previous.forget_unseen();
        assert_eq!(previous.replace("sda", 2), Some(1));
        previous.forget_unseen();
        previous.forget_unseen();
        assert_eq!(previous.replace("sda", 3), None);
    }
}
