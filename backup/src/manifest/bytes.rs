//! Numbers and strings in bytes. Reading trusts nothing.

use super::ManifestError;

/// Appends a number, seven bits a byte, the lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The lowest seven bits fit.
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number that may be negative; small ones of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a string with its length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, ManifestError> {
        let (first, rest) = self.0.split_first().ok_or_else(ended)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, ManifestError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                // One way to write each number, or what is read would not be what is written.
                return if byte == 0 && shift > 0 {
                    Err(ManifestError::damaged("a number is padded"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(ManifestError::damaged("a number is too large"))
    }

    pub(super) fn number32(&mut self) -> Result<u32, ManifestError> {
        u32::try_from(self.number()?).map_err(|_| ManifestError::damaged("a number is too large"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, ManifestError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], ManifestError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(ended)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(ended)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], ManifestError> {
        let len = usize::try_from(self.number()?).map_err(|_| ended())?;
        self.take(len)
    }
}

fn ended() -> ManifestError {
    ManifestError::damaged("it ends too early")
}
