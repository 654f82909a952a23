use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// Longest key or value, in bytes, as in Kubernetes.
const MAX_BYTES: usize = 63;
/// Most labels of one node.
const MAX_LABELS: usize = 32;

/// Letters, digits, `-`, `_`, `.` and, in keys, `/`; begins and ends with a letter or digit.
fn check(field: &str, text: &str, inner: &[u8]) -> Result<(), Invalid> {
    let bytes = text.as_bytes();
    if bytes.len() > MAX_BYTES {
        return Err(Invalid::new(field, format!("{} bytes long, at most {MAX_BYTES} are allowed", bytes.len())));
    }
    let ends_well = |end: Option<&u8>| end.is_none_or(u8::is_ascii_alphanumeric);
    let all_allowed = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || inner.contains(byte));
    if !all_allowed || !ends_well(bytes.first()) || !ends_well(bytes.last()) {
        return Err(Invalid::new(
            field,
            format!(
                "{text:?} is not made of letters, digits and {}, beginning and ending with a letter or digit",
                String::from_utf8_lossy(inner)
            ),
        ));
    }
    Ok(())
}

/// A label's key, such as `role` or `stage`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelKey(Box<str>);

impl LabelKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("label key", "is empty"));
        }
        check("label key", text, b"-_./")?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label's value; may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelValue(Box<str>);

impl LabelValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelValue {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check("label value", text, b"-_.")?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels of one node, at most 32.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<LabelKey, LabelValue>);

impl Labels {
    /// Sets one label, in place of its old value.
    pub fn set(&mut self, key: LabelKey, value: LabelValue) -> Result<(), Invalid> {
        if !self.0.contains_key(&key) && self.0.len() == MAX_LABELS {
            return Err(Invalid::new("labels", format!("more than {MAX_LABELS}")));
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// Takes one label away; whether it was there.
    pub fn remove(&mut self, key: &LabelKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// In order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelKey, &LabelValue)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = Invalid;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut labels = Self::default();
        for (key, value) in map {
            labels.set(key.parse()?, value.parse()?)?;
        }
        Ok(labels)
    }
}

impl From<&Labels> for BTreeMap<String, String> {
    fn from(labels: &Labels) -> Self {
        labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Invalid, LabelKey, LabelValue, Labels};

    #[test]
    fn keys_and_values_are_checked() {
        assert!("rackhaven.io/stage".parse::<LabelKey>().is_ok());
        assert!("".parse::<LabelValue>().is_ok());
        for bad in ["", "-a", "a-", "a b", "a=b", "ü", &"x".repeat(64)] {
            assert!(bad.parse::<LabelKey>().is_err(), "{bad:?} was taken");
        }
        assert!("a/b".parse::<LabelValue>().is_err());
    }

    #[test]
    fn at_most_32() {
        let many: BTreeMap<_, _> = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
        let refused: Result<Labels, _> = Labels::try_from(many);
        assert_eq!(refused.map_err(|invalid: Invalid| invalid.field), Err("labels".to_owned()));
    }
}
