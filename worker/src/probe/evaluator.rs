//! The evaluators by name.

use std::str::FromStr;

use super::{Finding, LineTask, ProbeError, Subject, group, plain};
use crate::Stop;

/// What measures lines. All give the same points, to rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Evaluator {
    /// All lines of a group together, each thing computed once.
    #[default]
    Group,
    /// Line by line, alpha by alpha: the specification, for checking any result.
    Plain,
}

impl Evaluator {
    /// As in `--evaluator`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Plain => "plain",
        }
    }

    /// Measures the points of `lines` that are not done.
    ///
    /// # Errors
    /// As [`plain::measure`].
    pub fn measure(
        self,
        subject: &Subject,
        lines: &[LineTask],
        emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
    ) -> Result<(), ProbeError> {
        match self {
            Self::Group => group::measure(subject, lines, emit),
            Self::Plain => plain::measure(subject, lines, emit),
        }
    }
}

impl FromStr for Evaluator {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = [Self::Group, Self::Plain].into_iter().find(|evaluator| evaluator.name() == name);
        known.ok_or_else(|| format!("`{name}` is no evaluator: use group or plain"))
    }
}
