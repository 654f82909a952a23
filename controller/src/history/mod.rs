//! The past of each node in figures: a mean with its least and its greatest for each minute, rolled up into ten minutes
//! and two hours. Pure; `store` keeps it.

mod level;
mod minute;
mod plan;
mod stretch;

pub use level::{Keep, Level};
pub use minute::{MinuteRow, MinuteSum, minute_point, point};
pub use plan::{MOST_POINTS, Plan, View, Window, view};
pub use stretch::{FIGURES, Spread, Stretch};
