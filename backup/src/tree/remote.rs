//! Trees on other machines, by the system's rsync: its protocol is not made again here. What is saved is decided by the
//! same walk as for every other kind, and handed to rsync as a list.

mod far;
mod listing;
mod made;
mod returned;
mod said;
mod selection;
mod transfer;

pub use far::Far;
pub use made::make_far;
pub use returned::restore_far;
