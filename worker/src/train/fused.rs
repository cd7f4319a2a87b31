//! Optimiser steps in one pass over memory: each number of theta, of the gradient and of what the optimiser remembers is
//! read and written once. [`super::Optimizer`] has the same formulas as operations on vectors, which are their specification
//! and what other devices run.
//!
//! A gradient comes in pieces, one after another. No number depends on another's, so results do not depend on who computes
//! which.

use crate::openmp;

/// Numbers that one thread takes at a time: few enough for its cache, many enough to be worth the asking.
const CHUNK: usize = 1 << 14;

/// Settings of a step of SGD.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sgd {
    pub(super) lr: f32,
    pub(super) momentum: f32,
    pub(super) decay: f32,
    pub(super) nesterov: bool,
}

impl Sgd {
    /// theta -= lr (g + decay theta).
    pub(super) fn step(self, theta: &mut [f32], grad: &[&[f32]]) {
        let Self { lr, decay, .. } = self;
        let shares = chunks(grad).zip(chunks_mut(theta, grad));
        openmp::for_each(shares, |(grad, theta)| {
            for (p, &g) in theta.iter_mut().zip(grad) {
                *p -= lr * (g + decay * *p);
            }
        });
    }

    /// g += decay theta; v = momentum v + g; theta -= lr (g + momentum v if nesterov, else v).
    pub(super) fn step_with(self, theta: &mut [f32], grad: &[&[f32]], velocity: &mut [f32]) {
        let Self { lr, momentum, decay, nesterov } = self;
        let shares = chunks(grad).zip(chunks_mut(theta, grad)).zip(chunks_mut(velocity, grad));
        openmp::for_each(shares, |((grad, theta), velocity)| {
            // The choice outside of the loop, so that each loop is vectorised.
            if nesterov {
                for ((p, &g), v) in theta.iter_mut().zip(grad).zip(velocity) {
                    let g = g + decay * *p;
                    *v = momentum * *v + g;
                    *p -= lr * (g + momentum * *v);
                }
            } else {
                for ((p, &g), v) in theta.iter_mut().zip(grad).zip(velocity) {
                    *v = momentum * *v + (g + decay * *p);
                    *p -= lr * *v;
                }
            }
        });
    }
}

/// Settings of a step of Adam or `AdamW`, with what follows from its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adam {
    /// Learning rate over 1 - beta1^t.
    pub(super) rate: f32,
    /// 1 - beta1.
    pub(super) mean_share: f32,
    /// 1 - beta2.
    pub(super) square_share: f32,
    /// sqrt(1 - beta2^t).
    pub(super) root: f32,
    pub(super) eps: f32,
    /// Added to the gradient, times theta (Adam).
    pub(super) decay: f32,
    /// What theta is multiplied by first (`AdamW`); 1 for Adam.
    pub(super) shrink: f32,
}

impl Adam {
    /// m and v move by their shares towards g and g^2; theta -= rate m / (sqrt(v) / root + eps).
    pub(super) fn step(self, theta: &mut [f32], grad: &[&[f32]], mean: &mut [f32], square: &mut [f32]) {
        let Self { rate, mean_share, square_share, root, eps, decay, shrink } = self;
        let moments = chunks_mut(mean, grad).zip(chunks_mut(square, grad));
        let shares = chunks(grad).zip(chunks_mut(theta, grad)).zip(moments);
        openmp::for_each(shares, |((grad, theta), (mean, square))| {
            for (((p, &g), m), v) in theta.iter_mut().zip(grad).zip(mean).zip(square) {
                let g = g + decay * *p;
                *m += mean_share * (g - *m);
                *v += square_share * (g * g - *v);
                *p = shrink * *p - rate * *m / (v.sqrt() / root + eps);
            }
        });
    }
}

/// The numbers of `pieces`, chunk after chunk.
fn chunks<'g>(pieces: &[&'g [f32]]) -> impl Iterator<Item = &'g [f32]> {
    pieces.iter().flat_map(|piece| piece.chunks(CHUNK))
}

/// Of a vector as long as all `pieces`, what belongs to each of their chunks.
fn chunks_mut<'v>(mut vector: &'v mut [f32], pieces: &[&[f32]]) -> impl Iterator<Item = &'v mut [f32]> {
    chunks(pieces).map(move |chunk| vector.split_off_mut(..chunk.len()).expect("it is as long as all pieces"))
}
