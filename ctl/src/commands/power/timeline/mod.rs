//! The timeline of an outage as a drawing: events make bars, an axis gives them columns, rows show them.

mod axis;
mod bars;
mod drawing;
mod lines;

pub(super) use bars::{Shade, bar};
pub(super) use drawing::{Span, drawing};
pub(super) use lines::{EventLines, event_table};
