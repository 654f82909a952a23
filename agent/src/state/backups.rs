use rackhaven_pki::durable::StateError;

use super::StateFolder;
use crate::backup::core::Record;

const BACKUPS: &str = "backups";

/// What of backups was under way; the second part is what was wrong with its record.
pub fn load_backups(folder: &StateFolder) -> (Option<Record>, Option<String>) {
    folder.read(BACKUPS, 1)
}

/// Keeps what of backups is under way.
///
/// # Errors
/// When the disk refuses.
pub fn save_backups(folder: &StateFolder, record: &Record) -> Result<(), StateError> {
    folder.write(BACKUPS, 1, record)
}
