//! The head of a member: pax records for what the old header cannot hold, and the old header.

use super::attributes::Attributes;
use super::{BLOCK_BYTES, padding};
use crate::entry::{Entry, FileTime, Kind};

/// The name of the header that holds the records. It is seen by nobody, and the same each time compresses best.
const RECORDS_NAME: &[u8] = b"PaxHeader";
/// The largest size and time that the old header holds.
const MAX_OCTAL_11: u64 = 0o777_7777_7777;
/// The largest owner and device that it holds.
const MAX_OCTAL_7: u64 = 0o777_7777;

/// What tar calls something: the path without its first slash, a folder's with one at its end.
pub(super) fn member_name(path: &[u8], kind: Kind) -> Vec<u8> {
    let mut name = path.strip_prefix(b"/").unwrap_or(path).to_vec();
    if name.is_empty() {
        name.push(b'.');
    }
    if kind == Kind::Dir {
        name.push(b'/');
    }
    name
}

/// Appends the head of a member whose data, if it has any, is `data_bytes` long. `sparse` says that those are a map and
/// the parts that are data.
pub(super) fn put_head(out: &mut Vec<u8>, entry: &Entry, attributes: &Attributes, data_bytes: u64, sparse: bool) {
    let real_name = member_name(&entry.path, entry.kind);
    let name = if sparse { sparse_name(&real_name) } else { real_name.clone() };
    let link = match (&entry.hard_link, &entry.target) {
        (Some(first), _) => member_name(first, Kind::File),
        (None, Some(target)) => target.clone(),
        (None, None) => Vec::new(),
    };
    let mut records = Vec::new();
    if name.len() > 100 {
        put_record(&mut records, b"path", &name);
    }
    if link.len() > 100 {
        put_record(&mut records, b"linkpath", &link);
    }
    let mut put_number = |key: &[u8], number: u64, most: u64| {
        if number > most {
            put_record(&mut records, key, number.to_string().as_bytes());
        }
    };
    put_number(b"size", data_bytes, MAX_OCTAL_11);
    put_number(b"uid", u64::from(entry.uid), MAX_OCTAL_7);
    put_number(b"gid", u64::from(entry.gid), MAX_OCTAL_7);
    let seconds = u64::try_from(entry.mtime.seconds).ok().filter(|seconds| *seconds <= MAX_OCTAL_11);
    if entry.mtime.nanoseconds != 0 || seconds.is_none() {
        put_record(&mut records, b"mtime", time_text(entry.mtime).as_bytes());
    }
    if sparse {
        put_record(&mut records, b"GNU.sparse.major", b"1");
        put_record(&mut records, b"GNU.sparse.minor", b"0");
        put_record(&mut records, b"GNU.sparse.name", &real_name);
        put_record(&mut records, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
    }
    // Further names of a file say nothing of it.
    for (key, value) in attributes.0.iter().filter(|_| entry.hard_link.is_none()) {
        put_record(&mut records, key, value);
    }
    if !records.is_empty() {
        let len = records.len() as u64;
        put_header(out, &Header { name: RECORDS_NAME, mode: 0o644, size: len, kind: b'x', ..Header::default() });
        out.append(&mut records);
        out.resize(out.len() + padding(len), 0);
    }
    let kind = match (entry.hard_link.is_some(), entry.kind) {
        (true, _) => b'1',
        (_, Kind::File | Kind::Socket) => b'0',
        (_, Kind::Symlink) => b'2',
        (_, Kind::Char) => b'3',
        (_, Kind::Block) => b'4',
        (_, Kind::Dir) => b'5',
        (_, Kind::Fifo) => b'6',
    };
    let fits = |number: u64, most: u64| if number > most { 0 } else { number };
    let header = Header {
        name: &name,
        mode: entry.mode,
        uid: fits(u64::from(entry.uid), MAX_OCTAL_7),
        gid: fits(u64::from(entry.gid), MAX_OCTAL_7),
        size: fits(data_bytes, MAX_OCTAL_11),
        mtime: seconds.unwrap_or(0),
        kind,
        link: &link,
        device: entry.rdev,
    };
    put_header(out, &header);
}

/// A name under which a program that knows no sparse files puts what it finds.
fn sparse_name(name: &[u8]) -> Vec<u8> {
    let (folder, name) = match name.iter().rposition(|byte| *byte == b'/') {
        Some(at) => name.split_at(at + 1),
        None => (&b""[..], name),
    };
    [folder, b"GNUSparseFile.0/", name].concat()
}

/// Seconds with their fraction; of a time before 1970 both count backwards.
fn time_text(time: FileTime) -> String {
    let FileTime { seconds, nanoseconds } = time;
    let (sign, seconds, nanoseconds) = match (seconds < 0, nanoseconds) {
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, some) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - some),
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let fraction = if nanoseconds == 0 { String::new() } else { format!(".{nanoseconds:09}") };
    format!("{sign}{seconds}{}", fraction.trim_end_matches('0'))
}

/// Appends a record: its own length, keyword and value.
fn put_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The blank, the `=` and the line's end.
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + digits(len) {
        len = rest + digits(len);
    }
    out.extend_from_slice(format!("{len} ").as_bytes());
    for part in [key, b"=", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[derive(Default)]
struct Header<'a> {
    name: &'a [u8],
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    kind: u8,
    link: &'a [u8],
    device: (u32, u32),
}

fn put_header(out: &mut Vec<u8>, header: &Header<'_>) {
    let start = out.len();
    let mut text = |bytes: &[u8], width: usize| {
        let used = bytes.get(..width).unwrap_or(bytes);
        out.extend_from_slice(used);
        out.resize(out.len() + width - used.len(), 0);
    };
    let octal = |number: u64, width: usize| format!("{number:0width$o}\0", width = width - 1).into_bytes();
    text(header.name, 100);
    text(&octal(u64::from(header.mode), 8), 8);
    text(&octal(header.uid, 8), 8);
    text(&octal(header.gid, 8), 8);
    text(&octal(header.size, 12), 12);
    text(&octal(header.mtime, 12), 12);
    text(b"        ", 8);
    text(&[header.kind], 1);
    text(header.link, 100);
    text(b"ustar\x0000", 8);
    text(b"", 64);
    text(&octal(u64::from(header.device.0), 8), 8);
    text(&octal(u64::from(header.device.1), 8), 8);
    text(b"", 155 + 12);
    let sum: u64 = out.get(start..).unwrap_or_default().iter().map(|byte| u64::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    for (to, from) in out.iter_mut().skip(start + 148).zip(sum.bytes()) {
        *to = from;
    }
    debug_assert_eq!(out.len(), start + BLOCK_BYTES);
}

#[cfg(test)]
mod tests {
    use super::{put_record, time_text};
    use crate::entry::FileTime;

    #[test]
    fn a_record_counts_its_own_length() {
        // The length itself gets longer where it passes 10 and 100.
        for (value_bytes, expected) in [(1, 6), (4, 9), (5, 11), (93, 99), (94, 101), (992, 999), (993, 1001)] {
            let mut out = Vec::new();
            put_record(&mut out, b"k", &vec![b'v'; value_bytes]);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, format!("{expected} k={}\n", "v".repeat(value_bytes)));
            assert_eq!(text.len(), expected);
        }
    }

    #[test]
    fn times_are_exact() {
        for (seconds, nanoseconds, text) in [
            (1, 500_000_000, "1.5"),
            (0, 1, "0.000000001"),
            (-1, 0, "-1"),
            (-2, 500_000_000, "-1.5"),
            (-1, 999_999_999, "-0.000000001"),
            (i64::MAX, 0, "9223372036854775807"),
        ] {
            assert_eq!(time_text(FileTime { seconds, nanoseconds }), text);
        }
    }
}
