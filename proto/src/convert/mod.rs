//! From the wire to the model, once, at the edge. One file a noun; what is missing or unknown is an
//! [`Invalid`](crate::Invalid) with the field's name.

pub mod backup;
mod command;
mod event;
mod hello;
mod k3s;
pub mod k3s_node;
mod log;
mod power;
mod sample;
mod state;
