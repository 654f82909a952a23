//! The timeline of an outage as a drawing: events make bars, an axis gives them columns, rows show them.

mod axis;
mod bars;
mod drawing;
mod lines;
mod span;

pub(super) use bars::{Shade, bar};
pub(super) use drawing::drawing;
pub(super) use lines::{EventLines, event_table};
pub(super) use span::Span;
