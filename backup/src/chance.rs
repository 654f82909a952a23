//! The engine's one place where bits are drawn by chance.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// 128 bits that nobody else has.
///
/// # Errors
/// When the kernel has none.
pub(crate) fn bits() -> io::Result<[u8; 16]> {
    let mut bits = [0; 16];
    let drawn = getrandom(&mut bits, GetRandomFlags::empty())?;
    if drawn == bits.len() { Ok(bits) } else { Err(io::Error::other("the kernel gives too little chance")) }
}
