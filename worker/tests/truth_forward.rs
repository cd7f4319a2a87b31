//! Forward passes, gradients and running statistics agree with plain `PyTorch`.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use tch::{Reduction, Tensor};
use transect_worker::nn::{Model, Norm, Tally};
use truth::{Case, Fixture, assert_near, described, formula, small_mlp, values};

/// Mean cross-entropy of the case, and its gradient in theta.
fn loss_and_gradient(case: &Case, norm: Norm) -> (Tensor, Tensor, Tensor) {
    let theta = case.theta.copy().set_requires_grad(true);
    let logits = case.model.forward(&theta, &case.buffers, &case.x, norm);
    let loss = logits.cross_entropy_loss(&case.labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
    loss.backward();
    (logits, loss, theta.grad())
}

/// For each parameter the norm of its gradient and two projections, each on the scale of norm times direction.
fn gradient_checks(model: &Model, gradient: &[f64]) -> Vec<[f64; 3]> {
    let project = |g: &[f64], seed| g.iter().enumerate().map(|(i, g)| g * formula::unit(seed, i)).sum::<f64>();
    let check = |p: &transect_common::model::Parameter| {
        let g = &gradient[p.offset..p.offset + p.len];
        [g.iter().map(|g| g * g).sum::<f64>().sqrt(), project(g, 31), project(g, 32)]
    };
    model.description().parameters.iter().map(check).collect()
}

#[track_caller]
fn assert_gradients_near(case: &Case, gradient: &Tensor, truth: &[f64], tolerance: f64) {
    let ours = gradient_checks(&case.model, &values(gradient));
    let (truth, rest) = truth.as_chunks::<3>();
    assert!(rest.is_empty());
    assert_eq!(ours.len(), truth.len());
    for ((ours, truth), parameter) in ours.iter().zip(truth).zip(&case.model.description().parameters) {
        // A projection is a sum of `len` products of either sign: its rounding is on the scale of the whole vector.
        let scale = truth[0] * (parameter.len as f64).sqrt().max(1.0);
        for (a, b) in ours.iter().zip(truth) {
            assert!((a - b).abs() <= tolerance * scale, "{}: ours {a}, PyTorch {b}, norm {}", parameter.name, truth[0]);
        }
    }
}

#[test]
fn the_mlp_computes_what_pytorch_computes() {
    let (case, truth) = (Case::new(small_mlp()), Fixture::open("mlp.safetensors"));
    let (logits, loss, gradient) = loss_and_gradient(&case, Norm::Running);
    assert_near(&values(&logits), &truth.values("logits"), 1e-5, "logits");
    assert_near(&values(&loss), &truth.values("loss"), 1e-5, "loss");
    assert_near(&values(&gradient), &truth.values("gradient"), 1e-5, "gradient");
}

#[test]
fn lenet5_computes_what_pytorch_computes() {
    let (case, truth) = (Case::new(described("lenet5")), Fixture::open("lenet5.safetensors"));
    let (logits, loss, gradient) = loss_and_gradient(&case, Norm::Running);
    assert_near(&values(&logits), &truth.values("logits"), 1e-5, "logits");
    assert_near(&values(&loss), &truth.values("loss"), 1e-5, "loss");
    assert_gradients_near(&case, &gradient, &truth.values("gradient_checks"), 1e-5);
}

#[test]
fn resnet20_computes_what_pytorch_computes_in_evaluation_mode() {
    let (case, truth) = (Case::new(described("resnet20")), Fixture::open("resnet20.safetensors"));
    let before = values(&case.buffers);
    let (logits, loss, gradient) = loss_and_gradient(&case, Norm::Running);
    assert_near(&values(&logits), &truth.values("eval.logits"), 1e-5, "logits");
    assert_near(&values(&loss), &truth.values("eval.loss"), 1e-5, "loss");
    assert_gradients_near(&case, &gradient, &truth.values("eval.gradient_checks"), 1e-5);
    assert_eq!(values(&case.buffers), before, "evaluation writes no statistics");
}

#[test]
fn resnet20_computes_what_pytorch_computes_in_training_mode_and_moves_its_statistics() {
    let (case, truth) = (Case::new(described("resnet20")), Fixture::open("resnet20.safetensors"));
    let (logits, loss, gradient) = loss_and_gradient(&case, Norm::Train);
    assert_near(&values(&logits), &truth.values("train.logits"), 1e-5, "logits");
    assert_near(&values(&loss), &truth.values("train.loss"), 1e-5, "loss");
    assert_gradients_near(&case, &gradient, &truth.values("train.gradient_checks"), 1e-4);
    assert_near(&values(&case.buffers), &truth.values("train.buffers"), 1e-5, "running statistics");
}

#[test]
fn batch_statistics_alone_give_the_same_outputs_and_leave_the_buffers() {
    let (case, truth) = (Case::new(described("resnet20")), Fixture::open("resnet20.safetensors"));
    let before = values(&case.buffers);
    let logits = case.model.forward(&case.theta, &case.buffers, &case.x, Norm::Batch);
    assert_near(&values(&logits), &truth.values("train.logits"), 1e-5, "logits");
    assert_eq!(values(&case.buffers), before);
}

#[test]
fn averaged_statistics_are_those_of_a_pytorch_recalibration() {
    let (case, truth) = (Case::new(described("resnet20")), Fixture::open("resnet20.safetensors"));
    let _no_grad = tch::no_grad_guard();
    for (seen, (start, len)) in [(0, 5), (5, 3)].into_iter().enumerate() {
        let x = case.x.narrow(0, start, len);
        let _ = case.model.forward(&case.theta, &case.buffers, &x, Norm::Average { seen: seen as u32 });
    }
    assert_near(&values(&case.buffers), &truth.values("average.buffers"), 1e-5, "running statistics");
}

#[test]
fn the_tally_of_parts_is_the_loss_of_the_whole() {
    let (case, truth) = (Case::new(described("lenet5")), Fixture::open("lenet5.safetensors"));
    let _no_grad = tch::no_grad_guard();
    let mut tally = Tally::new(case.model.device());
    for (start, len) in [(0, 3), (3, 3), (6, 2)] {
        let logits = case.model.forward(&case.theta, &case.buffers, &case.x.narrow(0, start, len), Norm::Running);
        tally.add(&logits, &case.labels.narrow(0, start, len));
    }
    let score = tally.score();
    assert_eq!(score.count, 8);
    assert_near(&[score.loss], &truth.values("loss"), 1e-5, "loss");
}
