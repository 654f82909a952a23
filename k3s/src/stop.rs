//! Whether the process shall stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks for an end between two steps. Shared by threads; once asked, it stays so.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for it.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
