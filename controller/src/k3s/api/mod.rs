//! The cluster's API, as Kubernetes speaks it: over HTTPS, by the credentials of a kubeconfig.
//!
//! Every request may be sent again: what is done twice is done once. Each is bounded in time and in size.

mod call;
mod cluster;
mod error;
mod holder;
mod kubeconfig;
mod lines;
mod nodes;
mod objects;
mod pods;
mod watch;

pub use call::{Call, Place};
pub use cluster::Cluster;
pub use error::{ApiError, Refused};
pub use holder::Api;
pub use lines::{Line, Lines};
pub use nodes::NodeList;
pub use objects::{Applied, LogQuery, Page, Select};
pub use pods::Evicted;
pub use watch::{Event, Watch};
