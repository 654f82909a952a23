//! Stories of a whole fleet: the real programs, over loopback.

#![allow(clippy::unwrap_used, reason = "a story's helpers fail as the story does")]

mod commands;
mod commands_lost;
mod documents;
mod enrolment;
mod fuzz_replay;
mod outages;
mod sessions;
mod users;
