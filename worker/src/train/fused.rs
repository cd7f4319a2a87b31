//! Optimiser steps in one pass over memory: each number of theta, of the gradient and of what the optimiser remembers is
//! read and written once. [`super::Optimizer`] has the same formulas as operations on vectors, which are their specification
//! and what other devices run.

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
    pub(super) fn step(self, theta: &mut [f32], grad: &[f32]) {
        for (p, &g) in theta.iter_mut().zip(grad) {
            *p -= self.lr * (g + self.decay * *p);
        }
    }

    /// g += decay theta; v = momentum v + g; theta -= lr (g + momentum v if nesterov, else v).
    pub(super) fn step_with(self, theta: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
        let Self { lr, momentum, decay, nesterov } = self;
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
    pub(super) fn step(self, theta: &mut [f32], grad: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let Self { rate, mean_share, square_share, root, eps, decay, shrink } = self;
        for (((p, &g), m), v) in theta.iter_mut().zip(grad).zip(mean).zip(square) {
            let g = g + decay * *p;
            *m += mean_share * (g - *m);
            *v += square_share * (g * g - *v);
            *p = shrink * *p - rate * *m / (v.sqrt() / root + eps);
        }
    }
}
