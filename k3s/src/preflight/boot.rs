//! What a Raspberry Pi's firmware hands to the kernel: one line, of which every other byte stays as it is.

/// What switches the kernel's accounting of memory on, without which no pod is started.
const WORDS: [&str; 2] = ["cgroup_memory=1", "cgroup_enable=memory"];

/// The line with what is missing, and what was added; none if nothing is missing, or if it is no such line.
#[must_use]
pub(super) fn with_memory(cmdline: &[u8]) -> Option<(Vec<u8>, String)> {
    let end = cmdline.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(cmdline.len());
    let (line, rest) = cmdline.split_at(end);
    let text = std::str::from_utf8(line).ok()?;
    // The firmware reads the first line alone: what stands in it decides.
    if text.trim().is_empty() {
        return None;
    }
    let has = |word: &str| text.split_ascii_whitespace().any(|other| other == word);
    let added: Vec<&str> = WORDS.into_iter().filter(|word| !has(word)).collect();
    if added.is_empty() {
        return None;
    }
    let added = added.join(" ");
    let between = if text.ends_with(' ') { "" } else { " " };
    Some((format!("{text}{between}{added}").into_bytes().into_iter().chain(rest.iter().copied()).collect(), added))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::with_memory;

    fn edited(line: &str) -> Option<(String, String)> {
        with_memory(line.as_bytes()).map(|(bytes, added)| (String::from_utf8(bytes).unwrap(), added))
    }

    #[test]
    fn golden() {
        const PI: &str =
            "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootfstype=ext4 fsck.repair=yes rootwait";
        let both = "cgroup_memory=1 cgroup_enable=memory".to_owned();
        for (line, expected) in [
            (PI.to_owned(), Some((format!("{PI} {both}"), both.clone()))),
            (format!("{PI}\n"), Some((format!("{PI} {both}\n"), both.clone()))),
            (format!("{PI}\r\n"), Some((format!("{PI} {both}\r\n"), both.clone()))),
            (format!("{PI} \n\n"), Some((format!("{PI} {both}\n\n"), both.clone()))),
            (
                format!("{PI} cgroup_enable=memory\n"),
                Some((format!("{PI} cgroup_enable=memory cgroup_memory=1\n"), "cgroup_memory=1".to_owned())),
            ),
            (
                format!("{PI} cgroup_enable=cpuset cgroup_memory=1\n"),
                Some((
                    format!("{PI} cgroup_enable=cpuset cgroup_memory=1 cgroup_enable=memory\n"),
                    "cgroup_enable=memory".to_owned(),
                )),
            ),
            (format!("{PI}\n{both}\n"), Some((format!("{PI} {both}\n{both}\n"), both.clone()))),
            (format!("{both} {PI}\n"), None),
            (String::new(), None),
            ("\n".to_owned(), None),
        ] {
            assert_eq!(edited(&line), expected, "{line:?}");
        }
        assert_eq!(with_memory(b"\xff root=1"), None);
    }

    proptest! {
        #[test]
        fn it_only_adds_and_only_once(line in "[ -~]{1,60}", rest in "(\r?\n[ -~\n]{0,20})?") {
            let whole = format!("{line}{rest}");
            if let Some((bytes, added)) = edited(&whole) {
                prop_assert!(bytes.starts_with(&line) && bytes.ends_with(&rest));
                prop_assert!(bytes.len() <= whole.len() + added.len() + 1);
                prop_assert_eq!(edited(&bytes), None);
            }
        }
    }
}
