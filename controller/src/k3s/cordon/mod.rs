//! Whose cordon it is. A node that Rackhaven cordons says so itself, by annotations: they survive the controller's end
//! and the node's own, and where they are missing somebody else has cordoned it, and is not meddled with.

mod hand;
mod rules;
mod settle;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

pub use self::hand::{Done, cordon, uncordon, uncordon_ours};
pub use self::rules::{Cordoning, Fleet, Todo, to_cordon, to_do};
pub use self::settle::settle;

/// The annotation with who cordoned it.
const BY: &str = "rackhaven.io/cordoned-by";
/// The annotation with the boot that it was in then.
const BOOT_ID: &str = "rackhaven.io/cordoned-boot-id";
/// The annotation with when that was, milliseconds since 1970-01-01 UTC.
const AT: &str = "rackhaven.io/cordoned-unix-ms";
/// The longest value that is read back, characters.
const MOST_CHARS: usize = 100;

/// For whom a node is cordoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// For its way down in this outage, shutdown or drill; it is welcome again when it has come back.
    Power(u64),
    /// For somebody, who lets pods come again.
    User(String),
    /// For a sequence such as an upgrade, which lets them come again.
    Sequence(String),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(outage) => write!(f, "power/outage-{outage}"),
            Self::User(who) => f.write_str(who),
            Self::Sequence(what) => write!(f, "k3s/{what}"),
        }
    }
}

impl By {
    fn read(text: &str) -> Self {
        let plain: String = text.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect();
        if let Some(number) = plain.strip_prefix("power/outage-").and_then(|number| number.parse().ok()) {
            return Self::Power(number);
        }
        match plain.strip_prefix("k3s/") {
            Some(what) => Self::Sequence(what.to_owned()),
            None => Self::User(plain),
        }
    }
}

/// What a node that Rackhaven has cordoned says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// For whom.
    pub by: By,
    /// The boot that the API knew then.
    pub boot_id: String,
    /// When, milliseconds since 1970-01-01 UTC; 0 where that cannot be read.
    pub unix_ms: i64,
}

impl Mark {
    /// From a node's annotations; none without ours.
    pub fn read(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
        Some(Self {
            by: By::read(annotations.get(BY)?),
            boot_id: text(BOOT_ID).chars().take(MOST_CHARS).collect(),
            unix_ms: text(AT).parse().unwrap_or(0),
        })
    }

    /// The merge patch that cordons a node with it, in the state that this resource version was.
    pub fn patch(&self, resource_version: &str) -> Value {
        json!({
            "metadata": {
                "resourceVersion": resource_version,
                "annotations": {
                    BY: self.by.to_string(),
                    BOOT_ID: self.boot_id,
                    AT: self.unix_ms.to_string(),
                },
            },
            "spec": { "unschedulable": true },
        })
    }
}

/// The merge patch that lets pods come again.
pub fn uncordon_patch(resource_version: &str) -> Value {
    let mut patch = forget_patch(resource_version);
    patch["spec"] = json!({ "unschedulable": null });
    patch
}

/// The merge patch that takes our mark off and nothing else.
pub fn forget_patch(resource_version: &str) -> Value {
    json!({
        "metadata": {
            "resourceVersion": resource_version,
            "annotations": { BY: null, BOOT_ID: null, AT: null },
        },
    })
}
