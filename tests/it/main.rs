//! Stories of a whole fleet: the real programs, over loopback.

#![allow(clippy::unwrap_used, reason = "a story's helpers fail as the story does")]

mod documents;
mod fuzz_replay;
