//! What goes into the core, and what comes out of it.

use super::{Fate, PodFacts};

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// It is over then at the latest, milliseconds of the same clock as all others here.
    pub deadline_ms: u64,
    /// It is over, too, when the API has said nothing for so long, milliseconds.
    pub silence_ms: u64,
    /// Pods go that nothing would start again.
    pub bare: bool,
    /// Pods go that lose data.
    pub emptydir: bool,
    /// What pods are given to end, seconds; none for their own time. Never more than is left.
    pub grace_s: Option<u32>,
}

/// What the API has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All pods of the node.
    Listed(Vec<PodFacts>),
    /// It could not be asked for them.
    Unlisted(String),
    /// To the eviction of the pod with this uid.
    Answered(String, Answer),
    /// Nothing; time has passed.
    Tick,
}

/// What became of an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The pod ends.
    Taken,
    /// There is no such pod any more.
    Gone,
    /// A disruption budget forbids it now: which, as the API says it.
    Budget(String),
    /// Something else, as the API says it.
    Refused(String),
    /// The API did not answer.
    Silent(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask for an eviction. There is no other way for a pod to go: a budget cannot be passed by.
    Evict {
        /// Where the pod is.
        namespace: String,
        /// What it is called there.
        name: String,
        /// This one, not another of the same name.
        uid: String,
        /// What it is given to end, seconds; none for its own time.
        grace_s: Option<u32>,
    },
}

/// Why a pod is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It was not asked for yet, or the answer has not come.
    Untried,
    /// A budget forbids it.
    Budget(String),
    /// It was refused.
    Refused(String),
    /// It was taken, and the pod has not ended since then, milliseconds.
    Ends(u64),
}

/// One pod that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its name for people.
    pub pod: String,
    /// Why.
    pub trouble: Trouble,
}

/// A pod for which nothing is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name for people.
    pub pod: String,
    /// [`Fate::WantsForce`] or [`Fate::WantsData`].
    pub fate: Fate,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All have gone, so many.
    Drained(u32),
    /// The time was over; these are left.
    Late(Vec<Left>),
    /// The rules keep these, and so all stay.
    Kept(Vec<Refusal>),
    /// The API fell silent, or never spoke: why, and what was left then.
    Silent(String, Vec<Left>),
}
