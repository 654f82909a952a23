use std::borrow::Cow;

use super::{lines, number};

/// Longest text that a node reports, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// A file with one decimal number, such as a temperature in sysfs.
pub fn integer(data: &[u8]) -> Option<i64> {
    number(data.trim_ascii())
}

/// A file with one hexadecimal number, with or without `0x`.
pub fn hexadecimal(data: &[u8]) -> Option<u32> {
    let word = data.trim_ascii();
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A file with one line of text, as far as it can be shown and reported: without control characters and the NULs of
/// a device tree, without blanks around it, not too long. None when nothing remains.
pub fn printable(data: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(data);
    let mut plain: String = text.trim_matches(['\0', ' ', '\t', '\n']).chars().filter(|c| !c.is_control()).collect();
    plain.truncate(plain.floor_char_boundary(MAX_TEXT_BYTES));
    (!plain.is_empty()).then_some(plain)
}

/// `PRETTY_NAME` of `/etc/os-release`.
pub fn pretty_name(data: &[u8]) -> Option<String> {
    let quoted = lines(data).find_map(|line| line.strip_prefix(b"PRETTY_NAME="))?;
    printable(&unquote(quoted.trim_ascii()))
}

/// A value as a shell would read it: in double quotes a backslash takes the next byte as it is.
fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    if let Some(inner) = value.strip_prefix(b"'") {
        return Cow::Borrowed(inner.strip_suffix(b"'").unwrap_or(inner));
    }
    let Some(inner) = value.strip_prefix(b"\"") else { return Cow::Borrowed(value) };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    Cow::Owned(plain)
}

/// Whether a device's `power/wakeup` says that it may wake the machine.
pub fn wakes(data: &[u8]) -> bool {
    data.trim_ascii() == b"enabled"
}

#[cfg(test)]
mod tests {
    use super::{hexadecimal, integer, pretty_name, printable};

    #[test]
    fn reads_names() {
        for (text, name) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=x\n", "Debian GNU/Linux 12 (bookworm)"),
            ("NAME=x\nPRETTY_NAME='Alpine Linux v3.20'", "Alpine Linux v3.20"),
            ("PRETTY_NAME=Void\n", "Void"),
            (r#"PRETTY_NAME="A \"B\" \$C""#, "A \"B\" $C"),
            ("PRETTY_NAME=\"cut", "cut"),
        ] {
            assert_eq!(pretty_name(text.as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(pretty_name(b"PRETTY_NAME=\"\"\n"), None);
    }

    #[test]
    fn texts_are_fit_to_report() {
        assert_eq!(printable(b"Raspberry Pi 4 Model B Rev 1.4\0").as_deref(), Some("Raspberry Pi 4 Model B Rev 1.4"));
        assert_eq!(printable(b" a\x1b[31mb\n").as_deref(), Some("a[31mb"));
        assert_eq!(printable(b"\0\n "), None);
        assert_eq!(printable("ä".repeat(200).as_bytes()).map(|text| text.len()), Some(256));
    }

    #[test]
    fn reads_numbers() {
        assert_eq!(integer(b"-4500\n"), Some(-4500));
        assert_eq!(integer(b"45 C\n"), None);
        assert_eq!(hexadecimal(b"50005\n"), Some(0x50005));
        assert_eq!(hexadecimal(b"0x80008"), Some(0x80008));
        assert_eq!(hexadecimal(b"-1"), None);
    }
}
