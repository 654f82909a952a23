//! Power: the one moment when everything goes off, and everything comes back.

/// The policy core.
pub mod core;
/// What an admin decided, and the fleet as the plan sees it.
pub mod policy;
#[cfg(test)]
pub(crate) mod testing;
