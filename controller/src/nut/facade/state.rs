use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The variable that says how the UPS is.
pub(super) const STATUS: &str = "ups.status";
/// The word that means: shut down now.
const FSD: &str = "FSD";

/// What the facade tells at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FacadeState {
    /// The variables of the UPS.
    pub vars: Arc<BTreeMap<String, String>>,
    /// Whether they are too old to be told.
    pub stale: bool,
    /// Stages that go down: their clients read `FSD`.
    pub fsd_stages: BTreeSet<String>,
    /// Whether all go down, those without a stage too.
    pub fsd_all: bool,
}

impl FacadeState {
    /// Whether a client of this stage is to shut down.
    pub(super) fn fsd(&self, stage: Option<&str>) -> bool {
        self.fsd_all || stage.is_some_and(|stage| self.fsd_stages.contains(stage))
    }

    /// The variables as a client of this stage is to read them; none when they are stale. The word to shut down is
    /// told even then: a UPS that was lost on battery must not keep anybody up.
    pub(super) fn vars(&self, stage: Option<&str>) -> Option<Vars<'_>> {
        let fsd = self.fsd(stage);
        (fsd || !self.stale).then_some(Vars { vars: &self.vars, fsd })
    }
}

/// Variables as one client reads them.
pub(super) struct Vars<'a> {
    vars: &'a BTreeMap<String, String>,
    fsd: bool,
}

impl<'a> Vars<'a> {
    /// The value of one.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.vars.get(name).map(String::as_str);
        if name != STATUS || !self.fsd {
            return value.map(Cow::Borrowed);
        }
        Some(match value {
            None => Cow::Borrowed("FSD OB LB"),
            Some(status) if status.split_whitespace().any(|word| word == FSD) => Cow::Borrowed(status),
            Some(status) => Cow::Owned(format!("{FSD} {status}")),
        })
    }

    /// All of them, in order of their names.
    pub(super) fn all(&self) -> Vec<(&'a str, Cow<'a, str>)> {
        let untold = (self.fsd && !self.vars.contains_key(STATUS)).then_some(STATUS);
        let names = self.vars.keys().map(String::as_str).chain(untold);
        names.filter_map(|name| Some((name, self.get(name)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: Option<&str>, stale: bool, stages: &[&str], all: bool) -> FacadeState {
        let vars = status.map(|status| (STATUS.to_owned(), status.to_owned()));
        FacadeState {
            vars: Arc::new(vars.into_iter().collect()),
            stale,
            fsd_stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
            fsd_all: all,
        }
    }

    #[test]
    fn who_reads_fsd() {
        for (state, stage, status) in [
            (state(Some("OB"), false, &[], false), Some("nas"), Some("OB")),
            (state(Some("OB"), false, &["nas"], false), Some("nas"), Some("FSD OB")),
            (state(Some("OB"), false, &["nas"], false), Some("boards"), Some("OB")),
            (state(Some("OB"), false, &["nas"], false), None, Some("OB")),
            (state(Some("OB"), false, &[], true), None, Some("FSD OB")),
            (state(Some("OB"), false, &[], true), Some("nas"), Some("FSD OB")),
            (state(Some("FSD OB"), false, &[], true), None, Some("FSD OB")),
            (state(Some("OB"), true, &[], false), Some("nas"), None),
            (state(Some("OB"), true, &["nas"], false), Some("nas"), Some("FSD OB")),
            (state(Some("OB"), true, &["nas"], false), None, None),
            (state(None, true, &["nas"], false), Some("nas"), Some("FSD OB LB")),
            (state(None, false, &[], false), Some("nas"), None),
        ] {
            let vars = state.vars(stage);
            let got = vars.as_ref().and_then(|vars| vars.get(STATUS));
            assert_eq!(got.as_deref(), status, "{state:?} {stage:?}");
            let listed = vars.and_then(|vars| vars.all().into_iter().find(|(name, _)| *name == STATUS));
            assert_eq!(listed.map(|(_, value)| value).as_deref(), status, "{state:?} {stage:?}");
        }
    }
}
