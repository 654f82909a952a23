//! What the bytes of a terminal mean. Pure: when an escape that stands alone is the key of that name, the driver says.

/// Most bytes that are kept of one sequence; a longer one is no key.
const MAX_SEQUENCE: usize = 32;
/// Most bytes that are kept of a paste.
const MAX_PASTE: usize = 256;
/// What ends a paste (xterm's bracketed paste).
const PASTE_END: &[u8] = b"\x1b[201~";
/// Ctrl-C, which is never a part of anything else: whatever the terminal has sent before, one must be able to leave.
const INTERRUPT: u8 = 3;

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A character.
    Char(char),
    /// The same with Ctrl, as the lower-case letter.
    Ctrl(char),
    /// A function key by its number.
    Function(u8),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

/// What a person did at the keyboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Pressed a key.
    Key(Key),
    /// Pasted this, cut and without control characters.
    Paste(String),
}

/// Puts bytes together to keys.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    waiting: Vec<u8>,
    pasted: Option<Vec<u8>>,
}

impl Keyboard {
    /// What these bytes complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Input> {
        let mut inputs = Vec::new();
        for &byte in bytes {
            if byte == INTERRUPT {
                *self = Self::default();
                inputs.push(Input::Key(Key::Ctrl('c')));
            } else if self.pasted.is_some() {
                inputs.extend(self.paste(byte));
            } else {
                self.waiting.push(byte);
                self.settle(&mut inputs);
            }
        }
        inputs
    }

    /// Whether a key may be under way.
    pub(super) fn is_waiting(&self) -> bool {
        self.pasted.is_none() && !self.waiting.is_empty()
    }

    /// Nothing came for a while: an escape that waits was the key.
    pub(super) fn rest(&mut self) -> Option<Input> {
        let waiting = std::mem::take(&mut self.waiting);
        (waiting == [0x1b]).then_some(Input::Key(Key::Escape))
    }

    fn settle(&mut self, inputs: &mut Vec<Input>) {
        while !self.waiting.is_empty() {
            let (used, read) = match read(&self.waiting) {
                Read::More => return,
                // What it says is of no interest, only where it ends.
                Read::TooLong => return self.waiting.truncate(2),
                Read::Nothing(used) => (used, None),
                Read::Key(used, key) => (used, Some(key)),
                Read::Paste(used) => {
                    self.pasted = Some(Vec::new());
                    (used, None)
                }
            };
            self.waiting.drain(..used.clamp(1, self.waiting.len()));
            inputs.extend(read.map(Input::Key));
        }
    }

    fn paste(&mut self, byte: u8) -> Option<Input> {
        let pasted = self.pasted.as_mut()?;
        // The end is looked for behind whatever is too long to be kept.
        if pasted.len() >= MAX_PASTE + PASTE_END.len() {
            pasted.remove(MAX_PASTE);
        }
        pasted.push(byte);
        let text = pasted.strip_suffix(PASTE_END)?;
        let text = String::from_utf8_lossy(&text[..text.len().min(MAX_PASTE)]);
        let text: String = text.chars().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER).collect();
        self.pasted = None;
        Some(Input::Paste(text))
    }
}

enum Read {
    /// More bytes may make it a key.
    More,
    /// A sequence that goes on and on.
    TooLong,
    /// So many bytes that mean nothing here.
    Nothing(usize),
    /// So many bytes are a key.
    Key(usize, Key),
    /// So many bytes begin a paste.
    Paste(usize),
}

fn read(bytes: &[u8]) -> Read {
    match *bytes {
        [] => Read::More,
        [0x1b, ..] => escape(bytes),
        [byte @ 0..=0x7f, ..] => match byte {
            b'\r' | b'\n' => Read::Key(1, Key::Enter),
            b'\t' => Read::Key(1, Key::Tab),
            0x08 | 0x7f => Read::Key(1, Key::Backspace),
            1..=0x1a => Read::Key(1, Key::Ctrl(char::from(byte + b'a' - 1))),
            b' '..=b'~' => Read::Key(1, Key::Char(char::from(byte))),
            _ => Read::Nothing(1),
        },
        [first, ..] => {
            let length = match first {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return Read::Nothing(1),
            };
            match std::str::from_utf8(&bytes[..bytes.len().min(length)]) {
                Ok(text) => match text.chars().next() {
                    Some(c) if !c.is_control() => Read::Key(length, Key::Char(c)),
                    _ => Read::Nothing(length),
                },
                Err(error) if error.error_len().is_none() => Read::More,
                Err(_) => Read::Nothing(1),
            }
        }
    }
}

fn escape(bytes: &[u8]) -> Read {
    match *bytes {
        [_] => Read::More,
        [_, b'O'] => Read::More,
        [_, b'O', last, ..] => match named(last).or_else(|| function(last)) {
            Some(key) => Read::Key(3, key),
            None if last == b'M' => Read::Key(3, Key::Enter),
            None => Read::Nothing(3),
        },
        // The console of Linux: ESC [ [ A.
        [_, b'[', b'['] => Read::More,
        [_, b'[', b'[', last @ b'A'..=b'E', ..] => Read::Key(4, Key::Function(last - b'A' + 1)),
        [_, b'[', ..] => sequence(bytes),
        // Whatever else follows, the escape was a key and the next byte is another.
        _ => Read::Key(1, Key::Escape),
    }
}

/// `ESC [`, parameters, a last byte (ECMA-48).
fn sequence(bytes: &[u8]) -> Read {
    let Some(end) = bytes.iter().skip(2).position(|byte| !(0x20..=0x3f).contains(byte)).map(|at| at + 2) else {
        return if bytes.len() > MAX_SEQUENCE { Read::TooLong } else { Read::More };
    };
    let used = end + 1;
    let key = match bytes[end] {
        b'~' => match bytes[2..end].split(|byte| *byte == b';').next() {
            Some(b"200") => return Read::Paste(used),
            Some(b"1" | b"7") => Some(Key::Home),
            Some(b"4" | b"8") => Some(Key::End),
            Some(b"5") => Some(Key::PageUp),
            Some(b"6") => Some(Key::PageDown),
            // The VT220's numbers, with a gap behind each five keys.
            Some([b'1', digit @ b'1'..=b'5']) => Some(Key::Function(digit - b'0')),
            Some([b'1', digit @ b'7'..=b'9']) => Some(Key::Function(digit - b'1')),
            Some([b'2', digit @ b'0'..=b'1']) => Some(Key::Function(digit - b'0' + 9)),
            _ => None,
        },
        b'Z' => Some(Key::BackTab),
        0x40..=0x7e => named(bytes[end]),
        // No byte of a sequence at all: what has come so far is thrown away, and that byte is looked at anew.
        _ => return Read::Nothing(end),
    };
    key.map_or(Read::Nothing(used), |key| Read::Key(used, key))
}

fn named(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

fn function(last: u8) -> Option<Key> {
    matches!(last, b'P'..=b'S').then(|| Key::Function(last - b'P' + 1))
}

#[cfg(test)]
mod tests {
    use super::{Input, Key, Keyboard};

    fn keys(bytes: &[u8]) -> Vec<Input> {
        let mut keyboard = Keyboard::default();
        let mut inputs = keyboard.take(bytes);
        inputs.extend(keyboard.rest());
        inputs
    }

    #[test]
    fn golden() {
        for (bytes, key) in [
            (&b"q"[..], Key::Char('q')),
            (b"\x03", Key::Ctrl('c')),
            (b"\x1a", Key::Ctrl('z')),
            (b"\r", Key::Enter),
            (b"\n", Key::Enter),
            (b"\t", Key::Tab),
            (b"\x7f", Key::Backspace),
            (b"\x08", Key::Backspace),
            (b"\x1b", Key::Escape),
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[1;5C", Key::Right),
            (b"\x1bOD", Key::Left),
            (b"\x1b[5~", Key::PageUp),
            (b"\x1b[6~", Key::PageDown),
            (b"\x1b[H", Key::Home),
            (b"\x1b[1~", Key::Home),
            (b"\x1b[F", Key::End),
            (b"\x1b[4~", Key::End),
            (b"\x1b[Z", Key::BackTab),
            (b"\x1bOP", Key::Function(1)),
            (b"\x1b[[A", Key::Function(1)),
            (b"\x1b[13~", Key::Function(3)),
            (b"\x1b[15~", Key::Function(5)),
            (b"\x1b[17~", Key::Function(6)),
            (b"\x1b[19~", Key::Function(8)),
            (b"\x1b[20~", Key::Function(9)),
            (b"\x1b[21~", Key::Function(10)),
            ("ü".as_bytes(), Key::Char('ü')),
            ("日".as_bytes(), Key::Char('日')),
        ] {
            assert_eq!(keys(bytes), [Input::Key(key)], "{bytes:?}");
            // However it is cut on its way.
            let mut keyboard = Keyboard::default();
            let mut inputs: Vec<_> = bytes.iter().flat_map(|byte| keyboard.take(&[*byte])).collect();
            inputs.extend(keyboard.rest());
            assert_eq!(inputs, [Input::Key(key)], "{bytes:?}, byte by byte");
        }
    }

    #[test]
    fn what_is_no_key_is_nothing_and_hides_none() {
        for garbage in [
            &b"\x1b[<0;12;7M"[..],
            b"\x1b[?1;2c",
            b"\x1bOz",
            b"\xff\xfe",
            b"\xc3",
            b"\0",
            b"\x1b[1111111111111111111111111111111111111111",
            b"\x1b[200",
        ] {
            let mut keyboard = Keyboard::default();
            assert_eq!(keyboard.take(garbage), [], "{garbage:?}");
            keyboard.rest();
            assert_eq!(keyboard.take(b"q"), [Input::Key(Key::Char('q'))], "after {garbage:?}");
        }
        assert_eq!(keys(b"\x1bj"), [Input::Key(Key::Escape), Input::Key(Key::Char('j'))]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Input::Key(Key::Escape), Input::Key(Key::Up)]);
        assert_eq!(keys(b"\x1b[1\rq"), [Input::Key(Key::Enter), Input::Key(Key::Char('q'))]);
    }

    #[test]
    fn a_paste_is_one_thing_and_bounded() {
        let pasted = keys(b"\x1b[200~pi\x1b[31m-3\r\nyq\x1b[201~j");
        assert_eq!(pasted, [Input::Paste("pi[31m-3yq".to_owned()), Input::Key(Key::Char('j'))]);
        let mut long = b"\x1b[200~".to_vec();
        long.extend([b'a'; 100_000]);
        long.extend(b"\x1b[201~");
        assert_eq!(keys(&long), [Input::Paste("a".repeat(256))]);
        // A paste that never ends can be left.
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.take(b"\x1b[200~abc"), []);
        assert!(!keyboard.is_waiting());
        assert_eq!(keyboard.take(b"\x03q"), [Input::Key(Key::Ctrl('c')), Input::Key(Key::Char('q'))]);
    }

    #[test]
    fn no_bytes_make_it_panic_or_grow() {
        let mut seed = 1_u64;
        let mut keyboard = Keyboard::default();
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            keyboard.take(&[b"\x1b[O~;200\xc3\xbc\xf0q"[(seed >> 33) as usize % 12]]);
            assert!(keyboard.waiting.len() < 64);
        }
    }
}
