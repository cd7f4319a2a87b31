//! The evaluators by name.

use std::str::FromStr;

use tch::Device;

use super::{Finding, LineTask, ProbeError, Subject, group, plain, stacked};
use crate::Stop;

/// What measures lines. All give the same points, to rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Evaluator {
    /// All lines of a group together, each thing computed once; [`Evaluator::Stacked`] where the model is not on a CPU.
    #[default]
    Group,
    /// Line by line, the alphas of a line stacked into the batch, in libtorch's operators: made for GPUs, right anywhere.
    Stacked,
    /// Line by line, alpha by alpha: the specification, for checking any result.
    Plain,
}

impl Evaluator {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Group, Self::Stacked, Self::Plain];

    /// As in `--evaluator`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Stacked => "stacked",
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
            Self::Group if subject.model.device() == Device::Cpu => group::measure(subject, lines, emit),
            Self::Group | Self::Stacked => stacked::measure(subject, lines, emit),
            Self::Plain => plain::measure(subject, lines, emit),
        }
    }
}

impl FromStr for Evaluator {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|evaluator| evaluator.name() == name);
        known.ok_or_else(|| format!("`{name}` is no evaluator: use group, stacked or plain"))
    }
}

/// Measures the points of `lines` that are not done, with what suits the model's device.
///
/// # Errors
/// As [`plain::measure`].
pub fn measure(
    subject: &Subject,
    lines: &[LineTask],
    emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), ProbeError> {
    Evaluator::default().measure(subject, lines, emit)
}
