//! Five optimiser steps end where `PyTorch`'s do.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use tch::{Device, Reduction, Tensor};
use transect_common::run;
use transect_worker::nn::Norm;
use transect_worker::train::Optimizer;
use truth::{Case, Fixture, assert_near, small_mlp, values};

fn check(name: &str, spec: run::Optimizer) {
    let case = Case::new(small_mlp());
    let mut theta = case.theta.copy().set_requires_grad(true);
    let mut optimizer = Optimizer::new(&spec, case.model.description().theta_len(), Device::Cpu);
    for _ in 0..5 {
        let logits = case.model.forward(&theta, &case.buffers, &case.x, Norm::Train);
        let loss = logits.cross_entropy_loss(&case.labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        theta.zero_grad();
        loss.backward();
        let gradient = theta.grad();
        optimizer.step(&mut theta, &gradient, spec.lr());
    }
    let truth = Fixture::open("mlp.safetensors").values(&format!("theta_after_{name}"));
    assert_near(&values(&theta), &truth, 1e-5, name);
}

#[test]
fn plain_sgd_steps_as_pytorch_does() {
    check("sgd", run::Optimizer::Sgd { lr: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false });
}

#[test]
fn momentum_steps_as_pytorch_does() {
    check("momentum", run::Optimizer::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false });
}

#[test]
fn nesterov_with_weight_decay_steps_as_pytorch_does() {
    check("nesterov", run::Optimizer::Sgd { lr: 0.05, momentum: 0.9, weight_decay: 5e-4, nesterov: true });
}

#[test]
fn adamw_steps_as_pytorch_does() {
    check("adamw", run::Optimizer::Adamw { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 });
}
