/// First wait, milliseconds.
const FIRST_MS: u64 = 250;
/// Longest wait, milliseconds.
const LONGEST_MS: u64 = 15_000;

/// Growing waits between attempts to connect: from 250 ms by half more each time to 15 s, each shortened by up to half
/// at random, so that a fleet does not come back all at once. Pure.
#[derive(Debug, Clone)]
pub struct BackOff {
    next_ms: u64,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next_ms: FIRST_MS }
    }
}

impl BackOff {
    /// The next wait; `random` is between 0 and 1.
    pub fn next_ms(&mut self, random: f64) -> u64 {
        let full = self.next_ms;
        self.next_ms = (full + full / 2).min(LONGEST_MS);
        full - (full as f64 / 2.0 * random.clamp(0.0, 1.0)) as u64
    }

    /// The last attempt was good.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{BackOff, LONGEST_MS};

    #[test]
    fn grows_to_its_bound_and_starts_anew() {
        let mut back_off = BackOff::default();
        let waits: Vec<u64> = (0..13).map(|_| back_off.next_ms(0.0)).collect();
        assert_eq!(waits, [250, 375, 562, 843, 1264, 1896, 2844, 4266, 6399, 9598, 14_397, 15_000, 15_000]);
        assert_eq!(back_off.next_ms(1.0), LONGEST_MS / 2);
        back_off.reset();
        assert_eq!(back_off.next_ms(0.5), 188);
    }
}
