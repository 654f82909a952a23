//! What the kernel knows of this process.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

/// CPU time used, milliseconds.
pub(super) fn cpu_ms() -> Option<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let ms = |time: nix::sys::time::TimeVal| time.tv_sec() * 1000 + time.tv_usec() / 1000;
    u64::try_from(ms(usage.user_time()) + ms(usage.system_time())).ok()
}

/// Resident memory, bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Open file descriptors.
pub(super) fn open_fds() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    // The folder itself was one of them.
    u64::try_from(listed.saturating_sub(1)).ok()
}

/// As many as it may have.
pub(super) fn max_fds() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}
