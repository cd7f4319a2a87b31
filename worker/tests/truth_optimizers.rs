//! Five optimiser steps end where `PyTorch`'s do.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use tch::{Device, Reduction, Tensor};
use transect_common::run::{self, TrainSpec};
use transect_worker::nn::Norm;
use transect_worker::train::{Learner, Optimizer, State};
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

/// Five steps of a whole recipe; the first two are of epoch 1, the rest of epoch 2.
fn check_recipe(name: &str, train: &TrainSpec) -> (Vec<f64>, f64) {
    let case = Case::new(small_mlp());
    let mut state = State { theta: case.theta.copy().set_requires_grad(true), buffers: case.buffers.copy() };
    let mut learner = Learner::new(&case.model, train).unwrap();
    let mut losses = Vec::new();
    for step in 0..5 {
        let passed = learner.step(&mut state, &case.x, &case.labels, if step < 2 { 1 } else { 2 }, 1.0);
        losses.push(passed.loss.double_value(&[]));
    }
    let (theta, truth) = (values(&state.theta), Fixture::open("optimizers.safetensors"));
    assert_near(&theta, &truth.values(&format!("{name}.theta")), 1e-5, name);
    (theta, losses[0])
}

fn recipe(optimizer: run::Optimizer) -> TrainSpec {
    TrainSpec::new(0, optimizer)
}

fn sgd(lr: f64, momentum: f64, weight_decay: f64) -> run::Optimizer {
    run::Optimizer::Sgd { lr, momentum, weight_decay, nesterov: false }
}

fn with_rules(optimizer: run::Optimizer, rules: &str) -> TrainSpec {
    TrainSpec { layers: serde_json::from_str(rules).unwrap(), ..recipe(optimizer) }
}

const FREEZE: &str = r#"[{"mask": "fc1", "frozen": true}, {"mask": "fc2", "frozen_until": 1}]"#;

#[test]
fn adam_steps_as_pytorch_does() {
    let (lr, beta1, beta2, eps, weight_decay) = (0.01, 0.9, 0.999, 1e-8, 0.05);
    check_recipe("adam", &recipe(run::Optimizer::Adam { lr, beta1, beta2, eps, weight_decay }));
}

#[test]
fn rmsprop_steps_as_pytorch_does() {
    let (lr, alpha, eps) = (0.01, 0.9, 1e-8);
    let rmsprop = |momentum, weight_decay| run::Optimizer::Rmsprop { lr, alpha, eps, momentum, weight_decay };
    check_recipe("rmsprop", &recipe(rmsprop(0.0, 0.0)));
    check_recipe("rmsprop_momentum", &recipe(rmsprop(0.8, 0.05)));
}

#[test]
fn sharpness_aware_minimisation_steps_as_it_does_in_pytorch() {
    let sam = run::Optimizer::Sam { lr: 0.1, rho: 0.2, momentum: 0.9, weight_decay: 5e-3 };
    check_recipe("sam", &recipe(sam));
}

#[test]
fn running_statistics_follow_the_first_pass_of_sharpness_aware_minimisation_only() {
    let case = Case::new(truth::described("resnet20"));
    let sam = run::Optimizer::Sam { lr: 0.02, rho: 0.05, momentum: 0.0, weight_decay: 0.0 };
    let mut state = State { theta: case.theta.copy().set_requires_grad(true), buffers: case.buffers.copy() };
    let mut learner = Learner::new(&case.model, &recipe(sam)).unwrap();
    let mut step = || learner.step(&mut state, &case.x, &case.labels, 1, 1.0).loss.double_value(&[]);
    let losses = [step(), step()];
    let truth = Fixture::open("optimizers.safetensors");
    assert_near(&losses, &truth.values("sam_resnet20.losses"), 1e-4, "losses");
    assert_near(&values(&state.buffers), &truth.values("sam_resnet20.buffers"), 1e-4, "buffers");
}

#[test]
fn labels_are_smoothed_as_pytorch_does() {
    let train = TrainSpec { label_smoothing: 0.2, ..recipe(sgd(0.1, 0.0, 0.0)) };
    let (_, loss) = check_recipe("smoothing", &train);
    let truth = Fixture::open("optimizers.safetensors").values("smoothing.loss");
    assert_near(&[loss], &truth, 1e-6, "the reported loss is the smoothed one");
}

#[test]
fn gradients_are_clipped_as_pytorch_does() {
    let clip = |max_norm| TrainSpec { clip_norm: Some(max_norm), ..recipe(sgd(0.1, 0.9, 0.0)) };
    check_recipe("clip", &clip(0.3));
    let (loose, _) = check_recipe("clip_loose", &clip(1e3));
    let plain = Fixture::open("mlp.safetensors").values("theta_after_momentum");
    assert_near(&loose, &plain, 1e-6, "a norm that is never reached changes nothing");
}

#[test]
fn layers_with_settings_of_their_own_step_as_parameter_groups_do() {
    let rules = r#"[{"mask": "fc1", "lr": 0.01, "weight_decay": 0.1}, {"mask": "fc2.weight", "momentum": 0.5}]"#;
    check_recipe("groups", &with_rules(sgd(0.1, 0.9, 0.0), rules));
}

#[test]
fn layers_with_an_optimizer_of_their_own_step_as_under_two_optimizers() {
    let rules = r#"[{"mask": "fc3", "optimizer": {"name": "adam", "lr": 0.01}}]"#;
    check_recipe("two", &with_rules(sgd(0.1, 0.9, 0.0), rules));
}

#[test]
fn frozen_layers_stay_and_begin_as_new_when_they_thaw() {
    let (theta, _) = check_recipe("frozen", &with_rules(sgd(0.1, 0.9, 0.05), FREEZE));
    let case = Case::new(small_mlp());
    assert_eq!(theta[..370], values(&case.theta)[..370], "a frozen layer keeps its very numbers");
    let sam = run::Optimizer::Sam { lr: 0.1, rho: 0.2, momentum: 0.9, weight_decay: 0.05 };
    check_recipe("frozen_sam", &with_rules(sam, FREEZE));
}

#[test]
fn what_never_moves_does_not_count_in_the_gradients_norm() {
    let frozen = with_rules(sgd(0.1, 0.9, 0.05), r#"[{"mask": "fc1", "frozen": true}]"#);
    check_recipe("frozen_clip", &TrainSpec { clip_norm: Some(0.3), ..frozen });
}
