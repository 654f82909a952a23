//! The one reviewed place for `unsafe`: the kernel interfaces for which there is no safe wrapper in the tree.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};

/// What the kernel holds of its own wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockState {
    /// The clock is in a state of error, which is also how it starts.
    pub(super) in_error: bool,
    /// No one has disciplined the clock for a while, or ever.
    pub(super) unsynchronised: bool,
}

/// Reads the state of the wall clock, changing nothing. Fails where a sandbox forbids the call.
pub(super) fn clock_state() -> io::Result<ClockState> {
    let mut timex = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: `timex` is plain integers, for which all zeroes is a value, and zero `modes` means to read only. The
    // kernel writes within the struct, whose layout the C library shares with it, and keeps no reference.
    let (state, status) = unsafe {
        let state = libc::adjtimex(timex.as_mut_ptr());
        (state, timex.assume_init().status)
    };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockState { in_error: state == libc::TIME_ERROR, unsynchronised: status & libc::STA_UNSYNC != 0 })
}

/// A message to the Raspberry Pi's firmware: one tag with one word, in and out.
#[repr(C, align(16))]
struct PropertyMessage {
    size_bytes: u32,
    code: u32,
    tag: u32,
    value_bytes: u32,
    value_code: u32,
    value: u32,
    end: u32,
    // The message is read in units of 16 bytes.
    padding: u32,
}

/// Tag of the throttling flags.
const GET_THROTTLED: u32 = 0x0003_0046;
/// The firmware's code of an answer, against 0 of a request.
const ANSWERED: u32 = 0x8000_0000;

mod ioctl {
    use super::{PropertyMessage, c_char, size_of};

    nix::ioctl_readwrite_bad!(
        property,
        // Declared with a pointer's size, whatever the message's.
        nix::request_code_readwrite!(100, 0, size_of::<*mut c_char>()),
        PropertyMessage
    );
}

/// Asks the Raspberry Pi's firmware for its throttling flags, through the opened `/dev/vcio`.
pub(super) fn firmware_throttling(mailbox: BorrowedFd<'_>) -> io::Result<u32> {
    let mut message = PropertyMessage {
        size_bytes: size_of::<PropertyMessage>() as u32,
        code: 0,
        tag: GET_THROTTLED,
        value_bytes: 4,
        value_code: 0,
        // Bits that the firmware shall forget after answering: none, for others want to read them too.
        value: 0,
        end: 0,
        padding: 0,
    };
    // SAFETY: the descriptor is open while it is borrowed. The driver copies `size_bytes` bytes in and as many back,
    // which is exactly the struct's size, and any bits are a value of its integers. Another device than the mailbox
    // does not know the request and refuses it.
    unsafe { ioctl::property(mailbox.as_raw_fd(), &mut message) }?;
    if message.code != ANSWERED || message.value_code & ANSWERED == 0 {
        return Err(io::Error::other("the firmware does not know its throttling flags"));
    }
    Ok(message.value)
}

/// Whether the mounts changed since this opened `/proc/PID/mounts` was asked last. Never true of an ordinary file.
pub(super) fn mounts_changed(mounts: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: mounts.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // SAFETY: one valid element is given and one is announced; a timeout of 0 returns at once.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLPRI != 0
}

/// Size of a memory page, bytes: 4096, or 16384 on a Raspberry Pi 5.
pub(super) fn page_bytes() -> Option<u64> {
    // SAFETY: takes a constant, touches no memory of ours, and answers -1 for what it does not know.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::{clock_state, firmware_throttling, mounts_changed, page_bytes};

    #[test]
    fn an_ordinary_file_is_no_mailbox_and_no_mount_table() {
        let file = File::open("/proc/self/stat").unwrap();
        assert!(firmware_throttling(file.as_fd()).is_err());
        let null = File::open("/dev/null").unwrap();
        assert!(firmware_throttling(null.as_fd()).is_err());
        assert!(!mounts_changed(null.as_fd()));
    }

    #[test]
    fn the_kernel_answers() {
        assert!(clock_state().is_ok());
        assert!(page_bytes().is_some_and(|bytes| bytes.is_power_of_two() && bytes >= 4096));
    }
}

/// Stands in for the walk up the stack in programs that abort and have no tables for it: without it, all that makes words of
/// a stack is taken in, a twentieth of the program. It says at once that there is no more: `_URC_END_OF_STACK` (Itanium C++
/// ABI, exception handling, 1.2).
// SAFETY: the name is the unwinder's. In a program that aborts nothing calls it but the printing of a backtrace, which takes
// this answer for the end; where a panic unwinds, the real one stays.
#[cfg(panic = "abort")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: *const std::ffi::c_void, _data: *const std::ffi::c_void) -> std::ffi::c_int {
    5
}
