//! Access control lists: as the kernel keeps them in an extended attribute, and as tar writes them.

use std::fmt::Write;

/// The kernel's version of the format.
const VERSION: u32 = 2;
/// Whose permissions an entry says: the kernel's number, the word, and whether it names somebody.
const TAGS: [(u16, &str, bool); 6] = [
    (0x01, "user", false),
    (0x02, "user", true),
    (0x04, "group", false),
    (0x08, "group", true),
    (0x10, "mask", false),
    (0x20, "other", false),
];
/// Stands for nobody in particular.
const NOBODY: u32 = u32::MAX;

/// As text, with numbers for users and groups; none when it is not what the kernel writes.
pub(super) fn to_text(value: &[u8]) -> Option<String> {
    let (version, entries) = value.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let mut text = String::new();
    for entry in entries.chunks_exact(8) {
        let (tag, rest) = entry.split_first_chunk()?;
        let (permissions, id) = rest.split_first_chunk()?;
        let (tag, permissions) = (u16::from_le_bytes(*tag), u16::from_le_bytes(*permissions));
        let (_, word, named) = TAGS.iter().find(|(number, ..)| *number == tag)?;
        let id = if *named { u32::from_le_bytes(id.try_into().ok()?).to_string() } else { String::new() };
        let letter = |bit: u16, letter| if permissions & bit == 0 { '-' } else { letter };
        let comma = if text.is_empty() { "" } else { "," };
        let (r, w, x) = (letter(4, 'r'), letter(2, 'w'), letter(1, 'x'));
        write!(text, "{comma}{word}:{id}:{r}{w}{x}").ok()?;
    }
    Some(text)
}

/// From text as [`to_text`] writes it.
pub(super) fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut value = VERSION.to_le_bytes().to_vec();
    for entry in text.split(',') {
        let mut parts = entry.split(':');
        let (word, id, permissions) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || permissions.len() != 3 {
            return None;
        }
        let (tag, ..) = TAGS.iter().find(|(_, known, named)| *known == word && *named != id.is_empty())?;
        let mut bits = 0_u16;
        for (letter, (expected, bit)) in permissions.chars().zip([('r', 4), ('w', 2), ('x', 1)]) {
            match letter {
                '-' => {}
                letter if letter == expected => bits |= bit,
                _ => return None,
            }
        }
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&bits.to_le_bytes());
        let id = if id.is_empty() { NOBODY } else { id.parse().ok()? };
        value.extend_from_slice(&id.to_le_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::{from_text, to_text};

    #[test]
    fn a_list_is_the_same_after_the_way_through_text() {
        let entries: [(u16, u16, u32); 6] = [
            (1, 7, u32::MAX),
            (2, 5, 1000),
            (4, 4, u32::MAX),
            (8, 0, 70_000),
            (0x10, 6, u32::MAX),
            (0x20, 1, u32::MAX),
        ];
        let mut value = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()).chain(id.to_le_bytes()));
        }
        let text = to_text(&value).unwrap();
        assert_eq!(text, "user::rwx,user:1000:r-x,group::r--,group:70000:---,mask::rw-,other::--x");
        assert_eq!(from_text(text.as_bytes()), Some(value.clone()));
        assert_eq!(to_text(&value[..value.len() - 1]), None);
        assert_eq!(to_text(&[3, 0, 0, 0]), None);
        for bad in ["user:rwx", "user::rwxx", "user::xwr", "other:5:rwx", "user:x:rwx", "cat::rwx", "user::rwx,"] {
            assert_eq!(from_text(bad.as_bytes()), None, "{bad}");
        }
    }
}
