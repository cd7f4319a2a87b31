//! The states that lines begin and end at.

use std::collections::BTreeMap;

use tch::{Device, Tensor};
use transect_common::checkpoint::{self, Checkpoint};
use transect_common::line::{Elsewhere, LineSpec};
use transect_common::run::{InitSpec, Tag};

use super::{LineTask, ProbeError, Subject, align::align};
use crate::train::initial;

/// States on a device, each once, which the lines of a group share.
#[derive(Debug)]
pub struct Ends {
    own: BTreeMap<Tag, [Tensor; 2]>,
    /// Ends that are no checkpoints of the run itself: those elsewhere, and those that were permuted.
    others: Vec<(Other, [Tensor; 2])>,
}

/// Names an end that is no checkpoint of the run itself.
#[derive(Debug, Clone, PartialEq)]
struct Other {
    elsewhere: Option<Elsewhere>,
    tag: Tag,
    /// The checkpoint that it was aligned with.
    aligned: Option<Tag>,
}

impl Other {
    fn of(spec: &LineSpec) -> Option<Self> {
        let is_other = spec.elsewhere.is_some() || spec.align;
        is_other.then(|| Self {
            elsewhere: spec.elsewhere.clone(),
            tag: spec.to.clone(),
            aligned: spec.align.then(|| spec.from.clone()),
        })
    }
}

impl Ends {
    /// Brings every state that `lines` need to the model's device.
    ///
    /// # Errors
    /// When one of them is not there, cannot be read, or does not have the model's size.
    pub fn new(subject: &Subject, lines: &[LineTask]) -> Result<Self, ProbeError> {
        let (model, device) = (subject.model.description(), subject.model.device());
        for (tag, checkpoint) in subject.checkpoints {
            let (theta, buffers) = (checkpoint.theta.len(), checkpoint.buffers.len());
            if (theta, buffers) != (model.theta_len(), model.buffers_len()) {
                return Err(ProbeError::Size { tag: tag.clone(), theta, buffers, architecture: model.architecture });
            }
        }
        let own = subject.checkpoints.iter().map(|(tag, state)| (tag.clone(), on_device(state, device))).collect();
        let mut others: Vec<(Other, [Tensor; 2])> = vec![];
        for spec in lines.iter().map(|task| &task.spec) {
            if let Some(other) = Other::of(spec).filter(|other| others.iter().all(|(known, _)| known != other)) {
                let mut state = far(subject, spec)?;
                if spec.align {
                    state = align(model, at(subject.checkpoints, &spec.from, spec)?, &state);
                }
                others.push((other, on_device(&state, device)));
            }
        }
        Ok(Self { own, others })
    }

    /// Theta and buffers at alpha = 0.
    pub(super) fn from(&self, spec: &LineSpec) -> Result<&[Tensor; 2], ProbeError> {
        at(&self.own, &spec.from, spec)
    }

    /// Theta and buffers at alpha = 1, before the direction is normalised.
    pub(super) fn to(&self, spec: &LineSpec) -> Result<&[Tensor; 2], ProbeError> {
        match Other::of(spec).and_then(|other| self.others.iter().find(|(known, _)| *known == other)) {
            Some((_, state)) => Ok(state),
            None => at(&self.own, &spec.to, spec),
        }
    }
}

/// The line's other end as it lies in its own run.
fn far(subject: &Subject, spec: &LineSpec) -> Result<Checkpoint, ProbeError> {
    let model = subject.model.description();
    match &spec.elsewhere {
        None => at(subject.checkpoints, &spec.to, spec).cloned(),
        Some(Elsewhere::Init { seed }) => {
            let scheme = InitSpec { layers: vec![], ..subject.init.clone() };
            Ok(initial(model, &scheme, *seed))
        }
        Some(Elsewhere::Run { run }) => {
            let bytes = subject.sources.checkpoint(run, &spec.to)?;
            checkpoint::decode(model, &bytes).map_err(|reason| ProbeError::Elsewhere {
                line: spec.mask.clone(),
                tag: spec.to.clone(),
                run: run.clone(),
                reason: Box::new(reason),
            })
        }
    }
}

fn at<'s, S>(states: &'s BTreeMap<Tag, S>, tag: &Tag, spec: &LineSpec) -> Result<&'s S, ProbeError> {
    states.get(tag).ok_or_else(|| ProbeError::Checkpoint {
        line: spec.mask.clone(),
        tag: tag.clone(),
        known: states.keys().map(ToString::to_string).collect(),
    })
}

fn on_device(state: &Checkpoint, device: Device) -> [Tensor; 2] {
    [&state.theta, &state.buffers].map(|vector| Tensor::from_slice(vector).to_device(device))
}
