//! How an object of the cluster is named, and what is told of what was done with it.

use std::str::FromStr;

use clap::Args;
use rackhaven_proto::v1::WorkloadRef;
use serde::Serialize;

use crate::output::{Page, Report};
use crate::text::Text;

/// KIND/NAME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectName {
    pub(super) kind: String,
    pub(super) name: String,
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} is not KIND/NAME, such as deployment/web")),
        }
    }
}

/// Where an object is.
#[derive(Debug, Args)]
pub(super) struct NamespaceArgs {
    /// The namespace [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
}

impl NamespaceArgs {
    /// The object there.
    pub(super) fn object(&self, object: ObjectName) -> WorkloadRef {
        WorkloadRef { kind: object.kind, namespace: self.namespace.clone().unwrap_or_default(), name: object.name }
    }
}

/// What was done with an object; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
pub(super) struct DoneReport {
    kind: Text,
    namespace: Option<Text>,
    name: Text,
    done: Text,
}

impl DoneReport {
    /// `kind` as the controller names it.
    pub(super) fn new(kind: &str, object: &WorkloadRef, done: &str) -> Self {
        Self {
            kind: Text::new(kind),
            namespace: Text::given(&object.namespace),
            name: Text::new(&object.name),
            done: Text::new(done),
        }
    }
}

impl Report for DoneReport {
    fn render(&self, _: &Page) -> String {
        format!("{}/{} {}\n", self.kind, self.name, self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::ObjectName;

    #[test]
    fn names_golden() {
        let read = |text: &str| text.parse::<ObjectName>();
        assert_eq!(read("deploy/web").unwrap(), ObjectName { kind: "deploy".into(), name: "web".into() });
        for wrong in ["web", "deploy/", "/web", "a/b/c", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
