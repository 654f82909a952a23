//! Alerts: what an admin must know, from firing to resolved, and the ways to reach them.

pub mod channel;
