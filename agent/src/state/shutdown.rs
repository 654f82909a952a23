use rackhaven_pki::durable::StateError;

use super::StateFolder;
use crate::shutdown::Record;

const SHUTDOWN: &str = "shutdown";

/// What was written down of orders to go down, and what was wrong with it.
pub fn load_shutdown(folder: &StateFolder) -> (Option<Record>, Option<String>) {
    folder.read(SHUTDOWN, 1)
}

/// Writes it down.
///
/// # Errors
/// When the disk refuses.
pub fn save_shutdown(folder: &StateFolder, record: &Record) -> Result<(), StateError> {
    folder.write(SHUTDOWN, 1, record)
}
