//! Archives that plain tar and zstd open.
