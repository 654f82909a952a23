use super::{lines, number, words};

/// Shares of the last 10 s that were lost waiting, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// Some task waited.
    pub some_percent: f32,
    /// All tasks waited. Older kernels do not say this of the processor.
    pub full_percent: Option<f32>,
}

/// Reads a file of `/proc/pressure`.
pub fn pressure(data: &[u8]) -> Option<Stall> {
    let [mut some, mut full] = [None; 2];
    for line in lines(data) {
        let mut words = words(line);
        let slot = match words.next() {
            Some(b"some") => &mut some,
            Some(b"full") => &mut full,
            _ => continue,
        };
        *slot =
            words.find_map(|word| number(word.strip_prefix(b"avg10=")?)).filter(|share| (0.0..=100.0).contains(share));
    }
    Some(Stall { some_percent: some?, full_percent: full })
}

#[cfg(test)]
mod tests {
    use super::{Stall, pressure};

    #[test]
    fn reads_both_lines() {
        let text = b"some avg10=9.78 avg60=4.13 avg300=1.89 total=23497959\nfull avg10=0.05 avg60=0 avg300=0 total=0\n";
        assert_eq!(pressure(text), Some(Stall { some_percent: 9.78, full_percent: Some(0.05) }));
    }

    #[test]
    fn impossible_shares_are_absent() {
        assert_eq!(pressure(b"some avg10=101 avg60=0\n"), None);
        assert_eq!(pressure(b"some avg10=NaN\nfull avg10=1\n"), None);
        assert_eq!(pressure(b"some avg10=1\nfull avg10=-1\n"), Some(Stall { some_percent: 1.0, full_percent: None }));
    }
}
