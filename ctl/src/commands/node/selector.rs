use std::collections::BTreeMap;
use std::str::FromStr;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::{LabelKey, LabelValue};

use crate::text::Text;

/// Chooses nodes by their labels: `key=value`, `key!=value`, or `key` for any value; several with commas between, all of
/// which must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector(Vec<(LabelKey, Wanted)>);

#[derive(Debug, Clone)]
enum Wanted {
    Any,
    Equal(LabelValue),
    Other(LabelValue),
}

impl Selector {
    /// Whether these labels are chosen.
    pub(crate) fn matches(&self, labels: &BTreeMap<Text, Text>) -> bool {
        self.0.iter().all(|(key, wanted)| {
            let found = labels.get(&Text::new(key.as_str())).map(Text::as_str);
            match wanted {
                Wanted::Any => found.is_some(),
                Wanted::Equal(value) => found == Some(value.as_str()),
                Wanted::Other(value) => found != Some(value.as_str()),
            }
        })
    }
}

impl FromStr for Selector {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let condition = |part: &str| {
            if let Some((key, value)) = part.split_once("!=") {
                return Ok((key.parse()?, Wanted::Other(value.parse()?)));
            }
            match part.split_once('=') {
                Some((key, value)) => Ok((key.parse()?, Wanted::Equal(value.trim_start_matches('=').parse()?))),
                None => Ok((part.parse()?, Wanted::Any)),
            }
        };
        text.split(',').map(|part| condition(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Selector;
    use crate::text::Text;

    #[test]
    fn golden() {
        let labels: BTreeMap<_, _> =
            [("role", "worker"), ("stage", "1")].map(|(key, value)| (Text::new(key), Text::new(value))).into();
        for (selector, chosen) in [
            ("role=worker", true),
            ("role==worker", true),
            ("role=master", false),
            ("role!=master", true),
            ("rack!=a", true),
            ("stage", true),
            ("rack", false),
            ("role=worker,stage=1", true),
            ("role=worker, stage=2", false),
            ("rack=", false),
        ] {
            assert_eq!(selector.parse::<Selector>().unwrap().matches(&labels), chosen, "{selector}");
        }
        for bad in ["", "=a", "a=b=c d", "a b", ",", "role=worker,"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad:?} was taken");
        }
        assert!(Selector::default().matches(&labels));
    }
}
