use super::{lines, next_number, words};

/// What an interface did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkCounters {
    /// Received, bytes.
    pub received_bytes: u64,
    /// Sent, bytes.
    pub sent_bytes: u64,
    /// Errors and drops, both directions.
    pub errors: u64,
}

/// The interfaces in `/proc/net/dev`.
pub fn networks(data: &[u8]) -> impl Iterator<Item = (&str, NetworkCounters)> {
    lines(data).filter_map(network_line)
}

fn network_line(line: &[u8]) -> Option<(&str, NetworkCounters)> {
    // Old kernels write the first number right behind the colon. A name holds no colon; the two lines of headings
    // hold none either.
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, numbers) = (line.get(..colon)?, line.get(colon + 1..)?);
    let name = std::str::from_utf8(name.trim_ascii_start()).ok()?;
    let mut words = words(numbers);
    let mut next = || next_number::<u64>(&mut words);
    let (received_bytes, _, receive_errors, receive_drops) = (next()?, next()?, next()?, next()?);
    // Overruns, framing errors, compressed, multicast: the first two are among the errors already.
    let _ = (next()?, next()?, next()?, next()?);
    let (sent_bytes, _, send_errors, send_drops) = (next()?, next()?, next()?, next()?);
    let errors =
        [receive_errors, receive_drops, send_errors, send_drops].iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
    Some((name, NetworkCounters { received_bytes, sent_bytes, errors }))
}

#[cfg(test)]
mod tests {
    use super::{NetworkCounters, networks};

    #[test]
    fn reads_with_and_without_a_blank() {
        let counters = NetworkCounters { received_bytes: 100, sent_bytes: 200, errors: 1 + 2 + 3 + 4 };
        for text in [&b"  eth0: 100 9 1 2 0 0 0 7 200 8 3 4 0 0 0 0\n"[..], b"eth0:100 9 1 2 0 0 0 7 200 8 3 4 0 0 0 0"]
        {
            assert_eq!(networks(text).collect::<Vec<_>>(), [("eth0", counters)]);
        }
    }

    #[test]
    fn the_headings_are_no_interfaces() {
        let names: Vec<_> = networks(include_bytes!("../fixtures/pi4/proc/net/dev")).map(|row| row.0).collect();
        assert_eq!(names, ["lo", "eth0", "wlan0", "wg0", "flannel.1", "cni0", "veth1a2b3c4d"]);
    }
}
