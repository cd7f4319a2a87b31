//! Every architecture, in every form that changes its graph, computes what plain `PyTorch` computes: logits, loss,
//! gradient and running statistics, in evaluation and in training mode.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use tch::{Kind, Reduction, Tensor};
use transect_common::model::{
    Activation, CifarNorm, CifarResnet, EfficientnetLite, Mlp, ModelSpec, Resnet, ResnetNorm, Stem, Vgg, Vit,
};
use transect_common::run::Precision;
use transect_worker::nn::{Noise, Norm, Pass};
use truth::{Case, Fixture, assert_near, formula, values};

/// Compares `spec` on four images of `input` with the fixture's `case`, in training mode within `rough`.
#[track_caller]
fn check(case: &str, spec: &ModelSpec, input: [u32; 3], rough: f64) {
    let classes = if case.starts_with("mlp") { 5 } else { 10 };
    let truth = Fixture::open("architectures.safetensors");
    let truth = |what: &str| truth.values(&format!("{case}.{what}"));
    for (mode, norm, tolerance) in [("eval", Norm::Running, 2e-5), ("train", Norm::Train, rough)] {
        let ours = Case::with(spec.describe(input, classes).unwrap(), 4);
        // In f64, as the fixture: what rounds to 0 in f32 depends on the processor's vectors.
        let [theta, buffers, x] = [&ours.theta, &ours.buffers, &ours.x].map(|values| values.to_kind(Kind::Double));
        let theta = theta.set_requires_grad(true);
        let logits = ours.model.forward(&theta, &buffers, &x, norm);
        let loss = logits.cross_entropy_loss(&ours.labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        loss.backward();
        let of = |what: &str| format!("{case}, {mode}: {what}");
        assert_near(&values(&logits), &truth(&format!("{mode}.logits")), tolerance, &of("logits"));
        assert_near(&values(&loss), &truth(&format!("{mode}.loss")), tolerance, &of("loss"));
        let gradient = values(&theta.grad());
        let checks = truth(&format!("{mode}.gradient_checks"));
        let (checks, rest) = checks.as_chunks::<2>();
        let description = ours.model.description();
        assert_eq!((checks.len(), rest.len()), (description.parameters.len(), 0), "{}", of("parameters"));
        // A parameter whose gradient is no more than rounding has nothing to be compared with.
        let largest = checks.iter().fold(0.0, |max: f64, check| max.max(check[0]));
        for (p, &[norm, along]) in description.parameters.iter().zip(checks) {
            let own = &gradient[p.offset..p.offset + p.len];
            let ours = own.iter().map(|g| g * g).sum::<f64>().sqrt();
            let projected: f64 = own.iter().enumerate().map(|(i, g)| g * formula::unit(31, i)).sum();
            let allowed = tolerance * norm * 4.0 + 1e-6 * largest;
            assert!((ours - norm).abs() <= allowed, "{}: {} has norm {ours}, PyTorch {norm}", of("gradient"), p.name);
            let allowed = allowed * (p.len as f64).sqrt().max(1.0);
            assert!(
                (projected - along).abs() <= allowed,
                "{}: {}: {projected}, PyTorch {along}",
                of("gradient"),
                p.name
            );
        }
        if mode == "train" && description.has_batch_norm() {
            let buffers = values(&buffers);
            let sum = |b: &transect_common::model::Buffer| buffers[b.offset..b.offset + b.len].iter().sum::<f64>();
            let sums: Vec<f64> = description.buffers.iter().map(sum).collect();
            assert_near(&sums, &truth("train.buffer_sums"), 1e-5, &of("sums of running statistics"));
        }
    }
}

const IMAGE: [u32; 3] = [3, 32, 32];

#[test]
fn an_mlp_with_batch_norm_and_tanh() {
    let options = Mlp { widths: vec![10, 7], activation: Activation::Tanh, batch_norm: true, dropout: 0.0 };
    check("mlp-tanh-bn", &ModelSpec::Mlp(options), [1, 6, 6], 1e-4);
}

#[test]
fn the_simple_cnn() {
    check("simple-cnn", &ModelSpec::from_name("simple-cnn").unwrap(), IMAGE, 2e-5);
}

#[test]
fn deeper_cifar_resnets() {
    for name in ["resnet32", "resnet56"] {
        check(name, &ModelSpec::from_name(name).unwrap(), IMAGE, 1e-3);
    }
}

#[test]
fn cifar_resnets_without_batch_norm() {
    for (case, norm, width) in [
        ("resnet20-none", CifarNorm::None, 16),
        ("resnet20-scale", CifarNorm::Scale, 7),
        ("resnet20-fixup", CifarNorm::Fixup, 8),
    ] {
        let options = CifarResnet { norm, width, ..CifarResnet::default() };
        check(case, &ModelSpec::Resnet20(options), IMAGE, 2e-5);
    }
}

#[test]
fn resnet18_with_either_stem_and_without_batch_norm() {
    let options = Resnet::default();
    check("resnet18", &ModelSpec::Resnet18(options.clone()), IMAGE, 1e-3);
    check("resnet18-cifar", &ModelSpec::Resnet18(Resnet { stem: Stem::Cifar, ..options.clone() }), [3, 16, 16], 1e-3);
    check("resnet18-none", &ModelSpec::Resnet18(Resnet { norm: ResnetNorm::None, ..options }), [3, 48, 40], 2e-5);
}

#[test]
fn resnet34_and_resnet50() {
    for (name, input) in [("resnet34", IMAGE), ("resnet50", [3, 64, 64])] {
        check(name, &ModelSpec::from_name(name).unwrap(), input, 1e-3);
    }
}

#[test]
fn vgg11_and_vgg16_with_batch_norm() {
    let small = Vgg { width: 8, units: 24, dropout: 0.0, ..Vgg::default() };
    check("vgg11", &ModelSpec::Vgg11(small.clone()), IMAGE, 2e-5);
    check("vgg16-bn", &ModelSpec::Vgg16(Vgg { batch_norm: true, pool: 2, ..small }), [3, 64, 96], 1e-3);
}

#[test]
fn efficientnet_lite0_on_even_and_odd_images() {
    let spec = ModelSpec::EfficientnetLite0(EfficientnetLite { dropout: 0.0 });
    check("efficientnet-lite0", &spec, IMAGE, 1e-3);
    check("efficientnet-lite0-odd", &spec, [3, 29, 50], 1e-3);
}

#[test]
fn the_vision_transformer() {
    let options = Vit { patch: 8, dim: 48, depth: 2, heads: 3, mlp_ratio: 2, dropout: 0.0 };
    check("vit", &ModelSpec::Vit(options), IMAGE, 2e-5);
}

#[test]
fn dropout_is_of_training_steps_alone_and_differs_from_step_to_step() {
    let options = Mlp { widths: vec![50], dropout: 0.5, ..Mlp::default() };
    let case = Case::with(ModelSpec::Mlp(options).describe([1, 6, 6], 5).unwrap(), 4);
    let without = Case::with(ModelSpec::mlp([50]).describe([1, 6, 6], 5).unwrap(), 4);
    let evaluated = |case: &Case, norm| values(&case.model.forward(&case.theta, &case.buffers, &case.x, norm));
    for norm in [Norm::Running, Norm::Batch, Norm::Train] {
        assert_eq!(evaluated(&case, norm), evaluated(&without, norm));
    }
    let trained = |case: &Case, seed, step| {
        values(&case.model.forward_training(
            &case.model.parameters(&case.theta),
            &case.buffers,
            &case.x,
            Pass { noise: Noise { seed, step }, precision: Precision::Float32 },
        ))
    };
    assert_eq!(trained(&without, 1, 1), evaluated(&without, Norm::Train));
    assert_eq!(trained(&case, 1, 1), trained(&case, 1, 1));
    assert_ne!(trained(&case, 1, 1), evaluated(&case, Norm::Train));
    assert_ne!(trained(&case, 1, 1), trained(&case, 1, 2));
    assert_ne!(trained(&case, 1, 1), trained(&case, 2, 1));
}
