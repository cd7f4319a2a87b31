//! Words of `train.keep` that stand for many moments: `epochs:5`, `steps:100`, `steps:x2`.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::run::Tag;

/// Most checkpoints that one run keeps.
pub(super) const MOST: usize = 1000;

/// Many moments of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moments {
    /// Every so many epochs.
    Epochs(u32),
    /// Every so many steps.
    Steps(u64),
    /// Step 1, and from each to the next by this factor.
    Geometric(u64),
}

impl Moments {
    /// Reads the word. `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let moments = if let Some(every) = text.strip_prefix("epochs:") {
            Self::Epochs(every.parse().ok().filter(|&n| n > 0)?)
        } else if let Some(factor) = text.strip_prefix("steps:x") {
            Self::Geometric(factor.parse().ok().filter(|&n| n > 1)?)
        } else {
            Self::Steps(text.strip_prefix("steps:")?.parse().ok().filter(|&n| n > 0)?)
        };
        Some(moments)
    }

    /// The moments of a training of so many epochs and steps, at most one more than [`MOST`].
    fn tags(self, epochs: u32, steps: u64) -> Vec<Tag> {
        match self {
            Self::Epochs(every) => (1..=epochs / every).take(MOST + 1).map(|i| Tag::epoch(i * every)).collect(),
            Self::Steps(every) => (1..=steps / every).take(MOST + 1).map(|i| Tag::step(i * every)).collect(),
            Self::Geometric(factor) => std::iter::successors(Some(1u64), |step| step.checked_mul(factor))
                .take_while(|&step| step <= steps)
                .map(Tag::step)
                .collect(),
        }
    }
}

/// What `keep` means for a training of so many epochs and steps.
pub(super) fn kept(keep: &[Json], epochs: u32, steps: u64) -> BTreeSet<Tag> {
    let tags = |item: &Json| -> Vec<Tag> {
        let text = item.as_str().unwrap_or_default();
        match Moments::parse(text) {
            Some(moments) => moments.tags(epochs, steps),
            None => text.parse().into_iter().collect(),
        }
    };
    keep.iter().flat_map(tags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_moments_within_the_training() {
        let names = |word: &str| -> Vec<String> {
            kept(&[word.into()], 7, 21).iter().map(|tag| tag.as_str().to_owned()).collect()
        };
        assert_eq!(names("epochs:3"), ["epoch-3", "epoch-6"]);
        assert_eq!(names("steps:10"), ["step-10", "step-20"]);
        assert_eq!(names("steps:x2"), ["step-1", "step-2", "step-4", "step-8", "step-16"]);
        assert_eq!(names("final"), ["final"]);
        for wrong in ["epochs:0", "steps:x1", "steps:", "epochs:x2", "epoch:1"] {
            assert_eq!(Moments::parse(wrong), None, "{wrong}");
        }
    }
}
