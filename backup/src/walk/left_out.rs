//! What a walk left out, for a program that goes through the same folders by itself.

/// A list of it that stays short.
#[derive(Debug, Default)]
pub(super) struct LeftOuts {
    at_most: usize,
    list: Vec<LeftOut>,
    too_many: bool,
}

/// One thing that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// This, with all that is in it.
    Whole(Vec<u8>),
    /// What is in this folder, but for one name.
    Content(Vec<u8>, Option<Vec<u8>>),
}

impl LeftOuts {
    pub(super) fn at_most(at_most: usize) -> Self {
        Self { at_most, ..Self::default() }
    }

    pub(super) fn note(&mut self, left_out: impl FnOnce() -> LeftOut) {
        if self.list.len() < self.at_most {
            self.list.push(left_out());
        } else {
            self.too_many = true;
        }
    }

    /// All of it, unless that is more than was to be kept.
    pub(super) fn all(&self) -> Option<&[LeftOut]> {
        (!self.too_many).then_some(&*self.list)
    }
}
