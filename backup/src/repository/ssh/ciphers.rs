//! Which cipher ssh shall take first. Its own first choice is the best for machines that cannot compute AES by themselves;
//! for others it costs more than reading and writing what is sent.

/// What is fast where the processor knows AES.
const FAST: &str = "aes128-gcm@openssh.com";

/// The ciphers that ssh would offer, by what `ssh -G` says, with the fast one first. None are added: what somebody has
/// forbidden stays so. `None` when nothing is to be changed.
pub(super) fn reordered(configuration: &str) -> Option<String> {
    let offered = configuration.lines().find_map(|line| line.strip_prefix("ciphers "))?.trim();
    let mut ciphers: Vec<&str> = offered.split(',').collect();
    let at = ciphers.iter().position(|cipher| *cipher == FAST).filter(|at| *at > 0)?;
    let fast = ciphers.remove(at);
    ciphers.insert(0, fast);
    Some(ciphers.join(","))
}

/// Whether this machine's processor knows AES.
pub(super) fn knows_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

#[cfg(test)]
mod tests {
    use super::reordered;

    #[test]
    fn the_fast_one_comes_first_if_it_is_offered_at_all() {
        let golden = [
            (
                "port 22\nciphers chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com\nmacs x\n",
                Some("aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr"),
            ),
            ("ciphers aes128-gcm@openssh.com,aes128-ctr\n", None),
            ("ciphers chacha20-poly1305@openssh.com\n", None),
            ("port 22\n", None),
            ("", None),
        ];
        for (configuration, first) in golden {
            assert_eq!(reordered(configuration).as_deref(), first, "{configuration}");
        }
    }
}
