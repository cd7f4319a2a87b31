//! Networks as functions of one parameter vector: `forward(theta, buffers, x)`.
//!
//! A [`Model`] interprets a [`Description`]'s graph and holds no weights. Theta is split into parameters by one
//! `split_with_sizes`, whose backward is one `cat`, so gradients come back as one vector too.
//!
//! Invariants: [`Norm::Running`] and [`Norm::Batch`] write nothing that the caller holds; the others write the buffer
//! vector and nothing else. The only random numbers are dropout's masks, pure functions of (seed, step, operation).

mod apply;
mod blocked;
pub mod device;
mod model;
mod ops;
mod score;

pub(crate) use apply::{Manner, Own, apply};
pub(crate) use model::maxima_first;
pub use model::{Model, Noise, Norm, Pass};
pub use score::{Score, Tally};
pub use transect_common::model::Description;
