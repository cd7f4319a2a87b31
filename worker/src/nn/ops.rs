//! Operations of the graph that libtorch has in another form, or not at all.

use tch::Tensor;
use transect_common::model::Activation;

use super::model::{Noise, Norm};
use crate::random::{Purpose, Stream};

/// The function of each number.
pub(super) fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => x.sigmoid(),
        Activation::Gelu => x.gelu("none"),
        Activation::Silu => x.silu(),
        Activation::Elu => x.elu(),
        Activation::LeakyRelu => x.leaky_relu(),
        Activation::Softplus => x.softplus(),
        Activation::Relu6 => x.relu6(),
        Activation::Identity => x.shallow_clone(),
    }
}

/// Maximum over windows of `kernel` x `kernel`; rows and columns that fill no window are left out.
///
/// Without gradients it is taken over shifted strided views, first of rows and then of columns: the same values, and on
/// a CPU ten times faster than libtorch's operator, which also finds where each maximum is.
pub(super) fn max_pool(x: &Tensor, kernel: i64, stride: i64, padding: i64) -> Tensor {
    if x.requires_grad() || x.is_mkldnn() {
        return x.max_pool2d([kernel, kernel], [stride, stride], [padding, padding], [1, 1], false);
    }
    let over = |x: &Tensor, dim: i64| {
        let size = x.size()[dim as usize];
        let last = (size - kernel) / stride * stride;
        let shifted = |i| x.slice(dim, i, last + i + 1, stride);
        (1..kernel).fold(shifted(0), |max, i| max.maximum(&shifted(i)))
    };
    if padding == 0 {
        return over(&over(x, 2), 3);
    }
    let padded = x.pad([padding, padding, padding, padding], "constant", f64::NEG_INFINITY);
    over(&over(&padded, 2), 3)
}

/// Batch norm over [N, C, H, W], or over [N, C].
pub(super) fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    running: &[Tensor; 2],
    norm: Norm,
    eps: f64,
    momentum: f64,
) -> Tensor {
    let [mean, var] = running;
    let apply = |running: Option<(&Tensor, &Tensor)>, from_batch: bool, momentum: f64| {
        let (mean, var) = (running.map(|r| r.0), running.map(|r| r.1));
        x.batch_norm(Some(weight), bias, mean, var, from_batch, momentum, eps, true)
    };
    match norm {
        Norm::Running => apply(Some((mean, var)), false, 0.0),
        Norm::Batch => apply(None, true, 0.0),
        Norm::Train => apply(Some((mean, var)), true, momentum),
        Norm::Average { seen } => apply(Some((mean, var)), true, 1.0 / (f64::from(seen) + 1.0)),
    }
}

/// Zeros with probability `p`, and everything else divided by 1 - `p`; `x` itself without noise.
pub(super) fn dropout(x: &Tensor, p: f64, noise: Option<(Noise, usize)>) -> Tensor {
    let Some((Noise { seed, step }, operation)) = noise else { return x.shallow_clone() };
    let mut stream = Stream::new(seed, Purpose::Dropout, (step << 16) + operation as u64);
    let kept = (1.0 / (1.0 - p)) as f32;
    let factors: Vec<f32> =
        (0..x.numel()).map(|_| if f64::from(stream.uniform_f32()) < p { 0.0 } else { kept }).collect();
    x * Tensor::from_slice(&factors).view_as(x).to_device(x.device())
}

/// Scaled dot-product attention of [N, S, 3 F]: queries, keys and values, each of `heads` heads; [N, S, F].
///
/// softmax(q k^T / sqrt(d)) v with d = F / heads numbers a head (Vaswani et al. 2017, equation 1).
pub(super) fn attention(projected: &Tensor, heads: i64) -> Tensor {
    let (count, tokens, all) = projected.size3().expect("tokens have three dimensions");
    let each = all / 3 / heads;
    let parts = projected.view([count, tokens, 3, heads, each]).permute([2, 0, 3, 1, 4]);
    let [queries, keys, values] = [0, 1, 2].map(|part| parts.select(0, part));
    let scores = (queries / (each as f64).sqrt()).matmul(&keys.transpose(-2, -1)).softmax(-1, None);
    scores.matmul(&values).transpose(1, 2).reshape([count, tokens, heads * each])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn pooling_without_gradients_gives_the_values_of_pooling_with_them() {
        let cases =
            [(4, 4, 2, 2, 0), (5, 7, 2, 2, 0), (7, 6, 3, 3, 0), (3, 3, 1, 1, 0), (7, 8, 3, 2, 1), (2, 1, 3, 2, 1)];
        for (height, width, kernel, stride, padding) in cases {
            let x = Tensor::randn([2, 3, height, width], (Kind::Float, Device::Cpu));
            let with = max_pool(&x.copy().set_requires_grad(true), kernel, stride, padding);
            assert_eq!(
                max_pool(&x, kernel, stride, padding),
                with,
                "{height}x{width} by {kernel}, {stride}, {padding}"
            );
        }
        let nan = Tensor::from_slice(&[1.0f32, f32::NAN, 2.0, 3.0]).view([1, 1, 2, 2]);
        assert!(max_pool(&nan, 2, 2, 0).double_value(&[0, 0, 0, 0]).is_nan(), "a NaN is not lost");
    }

    #[test]
    fn dropout_is_named_by_seed_step_and_operation_and_keeps_the_mean() {
        let x = Tensor::ones([100, 100], (Kind::Float, Device::Cpu));
        let noise = Noise { seed: 3, step: 5 };
        let once = dropout(&x, 0.25, Some((noise, 7)));
        assert_eq!(dropout(&x, 0.25, Some((noise, 7))), once);
        for (other, operation) in [(Noise { seed: 4, ..noise }, 7), (Noise { step: 6, ..noise }, 7), (noise, 8)] {
            assert_ne!(dropout(&x, 0.25, Some((other, operation))), once);
        }
        assert_eq!(dropout(&x, 0.25, None), x);
        // 10,000 draws: the share of zeros is within 0.02 of 0.25 (4.6 standard deviations).
        let zeros = once.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert!((zeros - 0.25).abs() < 0.02, "{zeros}");
        let most = once.max().double_value(&[]);
        assert!((most - 4.0 / 3.0).abs() < 1e-6, "{most}");
    }
}
