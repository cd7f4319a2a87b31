//! Each kernel against libtorch's operator.

use std::ops::Range;

use proptest::prelude::*;
use tch::{Kind, Tensor};
use transect_common::model::Op;

use super::*;
use crate::nn::{Manner, Own, apply};
use crate::random::{Purpose, Stream};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, 0);
    (0..count).map(|_| stream.normal() as f32).collect()
}

/// A matrix [`depth`, `outputs`], packed.
fn packed(depth: usize, outputs: usize, matrix: &[f32]) -> Weights {
    let mut packed = Weights::room();
    packed.panels_mut(depth, outputs).for_each(|panel| panel.take(matrix));
    packed
}

/// [N, H, W, C] as libtorch has it.
fn image(x: &[f32], count: usize, shape: Shape) -> Tensor {
    let size = [count, shape.h, shape.w, shape.c].map(|length| length as i64);
    Tensor::from_slice(x).view(size).permute([0, 3, 1, 2])
}

/// Every number within `tolerance` of libtorch's [N, C, H, W], relative to the largest.
fn assert_near(ours: &[f32], truth: &Tensor, tolerance: f64) {
    let truth = Vec::<f32>::try_from(truth.permute([0, 2, 3, 1]).contiguous().flatten(0, -1)).unwrap();
    assert_eq!(ours.len(), truth.len());
    let scale = truth.iter().fold(1e-3f32, |max, v| max.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(&truth).enumerate() {
        assert!(f64::from((a - b).abs() / scale) <= tolerance, "{i}: {a} for {b} of at most {scale}");
    }
}

/// A convolution of `count` images, its scale, shift, residual and function included, each way that suits it.
fn check_convolution(
    count: usize,
    before: Shape,
    outputs: usize,
    side: usize,
    stride: usize,
    padding: usize,
    act: Act,
) {
    let over = |length: usize| (length + 2 * padding - side) / stride + 1;
    let after = Shape { h: over(before.h), w: over(before.w), c: outputs };
    let x = numbers(count * before.len(), 1);
    // As initialisations have them: results are of the size of what was read, so that of most the function leaves something,
    // and rounding is compared with numbers of its own scale. (Relu6 would leave 6 of 100.)
    let inputs = before.c * side * side;
    let weights: Vec<f32> = numbers(outputs * inputs, 2).iter().map(|w| w / (inputs as f32).sqrt()).collect();
    let (scale, shift) = (numbers(outputs, 3), numbers(outputs, 4));
    let residual = numbers(count * after.len(), 5);
    let weight = Tensor::from_slice(&weights).view([outputs, before.c, side, side].map(|n| n as i64));
    let product =
        image(&x, count, before).conv2d(&weight, None::<&Tensor>, [stride as i64; 2], [padding as i64; 2], [1, 1], 1);
    let per_channel = |values: &[f32]| Tensor::from_slice(values).view([1, -1, 1, 1]);
    let sum = product * per_channel(&scale) + per_channel(&shift) + image(&residual, count, after);
    let truth = match act {
        Act::None => sum,
        Act::Relu => sum.relu(),
        Act::Relu6 => sum.relu6(),
        Act::LeakyRelu => sum.leaky_relu(),
    };
    let epilogue = Epilogue { scale_and_shift: Some((&scale, &shift)), residual: Some(&residual), act };
    let padded_to = |padded: Shape| {
        let mut out = vec![f32::NAN; count * padded.len()];
        pad(&x, before, padded, (padding, padding), &mut out);
        out
    };
    let mut out = vec![f32::NAN; count * after.len()];
    let padded = Shape { h: before.h + 2 * padding, w: before.w + 2 * padding, c: before.c };
    let area = side * side;
    let filters = |outputs: Range<usize>| &weights[outputs.start * before.c * area..outputs.end * before.c * area];
    let mut packed = Weights::room();
    packed.panels_mut(area * before.c, outputs).for_each(|panel| {
        let filters = filters(panel.outputs());
        panel.take_filters(filters, area);
    });
    super::product(&padded_to(padded), &Rows::windows(padded, side, stride, 0), &packed, &epilogue, &mut out);
    assert_near(&out, &truth, 1e-5);
    if padding < side {
        let whole = std::mem::replace(&mut out, vec![f32::NAN; count * after.len()]);
        super::product(&x, &Rows::windows(before, side, stride, padding), &packed, &epilogue, &mut out);
        assert_eq!(out, whole, "what is padding adds nothing");
    }
    if side == 3 && stride == 1 && before.c.is_multiple_of(8) {
        let tiles = Tiles::new(before, padding);
        out.fill(f32::NAN);
        let mut packed = WinogradWeights::room(before.c, outputs);
        packed.panels_mut().for_each(|panel| {
            let filters = filters(panel.outputs());
            panel.take_filters(filters);
        });
        winograd(&x, tiles, &packed, &epilogue, &mut out);
        assert_near(&out, &truth, 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn convolutions_are_libtorchs(
        (count, h, w, c) in (1usize..4, 1usize..12, 1usize..12, prop_oneof![Just(1usize), Just(3), Just(8), Just(16), Just(40)]),
        (outputs, side, stride, padding) in (1usize..40, 1usize..4, 1usize..3, 0usize..2),
        act in prop_oneof![Just(Act::None), Just(Act::Relu), Just(Act::Relu6), Just(Act::LeakyRelu)],
    ) {
        let [h, w] = [h, w].map(|size| size.max(side.saturating_sub(2 * padding)));
        check_convolution(count, Shape { h, w, c }, outputs, side, stride, padding, act);
    }

    #[test]
    fn long_rows_are_summed_in_blocks(rows in 1usize..40, depth in 500usize..2000, outputs in 1usize..40) {
        let (x, w) = (numbers(rows * depth, 6), numbers(depth * outputs, 7));
        let packed = packed(depth, outputs, &w);
        let mut out = vec![f32::NAN; rows * outputs];
        product(&x, &Rows::pixels(Shape { h: 1, w: 1, c: depth }), &packed, &Epilogue::NONE, &mut out);
        let matrix = |values: &[f32], height: usize| Tensor::from_slice(values).view([height as i64, -1]);
        let truth = matrix(&x, rows).matmul(&matrix(&w, depth)).view([rows as i64, outputs as i64, 1, 1]);
        assert_near(&out, &truth, 1e-5);
    }

    #[test]
    fn a_matrix_is_packed_from_its_rows_or_its_columns(depth in 1usize..70, outputs in 1usize..70, before in 0usize..70) {
        let w = numbers(depth * outputs, 7);
        let transpose: Vec<f32> = (0..outputs * depth).map(|i| w[i % depth * outputs + i / depth]).collect();
        let x = numbers(3 * depth, 6);
        let multiplied = |packed: &Weights| {
            let mut out = vec![f32::NAN; 3 * outputs];
            product(&x, &Rows::pixels(Shape { h: 1, w: 1, c: depth }), packed, &Epilogue::NONE, &mut out);
            out
        };
        // Into room that had another matrix.
        let [mut by_rows, mut by_columns] = [(); 2].map(|()| packed(before, before, &numbers(before * before, 8)));
        by_rows.panels_mut(depth, outputs).for_each(|panel| panel.take(&w));
        by_columns.panels_mut(depth, outputs).for_each(|panel| panel.take_transposed(&transpose));
        let expected = multiplied(&packed(depth, outputs, &w));
        prop_assert_eq!(multiplied(&by_rows), &expected[..]);
        prop_assert_eq!(multiplied(&by_columns), &expected[..]);
    }

    #[test]
    fn a_blend_is_between_its_ends_and_its_pool_the_maximum(
        (count, h, w, c) in (1usize..3, 2usize..12, 2usize..12, 1usize..70),
        side in 1usize..4,
        has_two in any::<bool>(),
        act in prop_oneof![Just(Act::None), Just(Act::Relu), Just(Act::Relu6), Just(Act::LeakyRelu)],
    ) {
        prop_assume!(side <= h && side <= w);
        let shape = Shape { h, w, c };
        let (a, b) = (numbers(count * shape.len(), 8), numbers(count * shape.len(), 9));
        let (first, second, shift) = (numbers(c, 10), numbers(c, 11), numbers(c, 12));
        let coefficients = Blend::new(&first, has_two.then_some(&second[..]), &shift);
        let b = has_two.then_some(&b[..]);
        let mut out = vec![f32::NAN; a.len()];
        blend(&a, b, &coefficients, None, act, &mut out);
        for (i, value) in out.iter().enumerate() {
            let other = b.map_or(0.0, |b| (b[i] - a[i]) * second[i % c]);
            let expected = act.of(a[i].mul_add(first[i % c], other + shift[i % c]));
            prop_assert!((value - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{} for {}", value, expected);
        }
        let mut pooled = vec![f32::NAN; count * (h / side) * (w / side) * c];
        blend_and_pool(&a, b, &coefficients, act, shape, side, &mut pooled);
        let side = side as i64;
        let truth = image(&out, count, shape).max_pool2d([side, side], [side, side], [0, 0], [1, 1], false);
        assert_near(&pooled, &truth, 1e-6);
    }

    #[test]
    fn pools_and_depthwise_convolutions_are_libtorchs(
        (count, h, w, c) in (1usize..3, 3usize..9, 3usize..9, 1usize..20),
        stride in 1usize..3,
    ) {
        let shape = Shape { h, w, c };
        let x = numbers(count * shape.len(), 13);
        let strides = [stride as i64; 2];
        let over = |size: usize| (size + 2 - 3) / stride + 1;
        let mut out = vec![f32::NAN; count * over(h) * over(w) * c];
        max_pool(&x, shape, 3, stride, 1, &mut out);
        assert_near(&out, &image(&x, count, shape).max_pool2d([3, 3], strides, [1, 1], [1, 1], false), 1e-6);

        let weights = numbers(9 * c, 14);
        let padded = Shape { h: h + 2, w: w + 2, c };
        let mut wide = vec![f32::NAN; count * padded.len()];
        pad(&x, shape, padded, (1, 1), &mut wide);
        depthwise(&wide, padded, &weights, 3, stride, &Epilogue::NONE, &mut out);
        let weight = Tensor::from_slice(&weights).view([3, 3, 1, c as i64]).permute([3, 2, 0, 1]);
        let truth = image(&x, count, shape).conv2d(&weight, None::<&Tensor>, strides, [1, 1], [1, 1], c as i64);
        assert_near(&out, &truth, 1e-5);

        let mut means = vec![f32::NAN; count * c];
        mean_over_pixels(&x, shape, &mut means);
        assert_near(&means, &image(&x, count, shape).mean_dim([2i64, 3].as_slice(), true, Kind::Float), 1e-5);
    }

    #[test]
    fn transformers_operations_are_libtorchs(
        (count, tokens, heads, each) in (1usize..4, 1usize..40, 1usize..4, 1usize..40),
        factor in prop_oneof![Just(0.1f32), Just(1.0), Just(20.0)],
    ) {
        let features = heads * each;
        let spread = |x: Vec<f32>| x.into_iter().map(|x| x * factor).collect::<Vec<f32>>();
        let sizes = |features: usize| [count, tokens, features].map(|size| size as i64);
        let as_image = |x: Tensor| x.permute([0, 2, 1]).unsqueeze(-1);

        let shape = Shape { h: tokens, w: 1, c: 3 * features };
        let projected = spread(numbers(count * shape.len(), 18));
        let mut out = vec![f32::NAN; count * tokens * features];
        attention(&projected, shape, heads, &mut out);
        let tensor = Tensor::from_slice(&projected).view(sizes(3 * features));
        let own = Own { parameters: &[], running: None };
        let truth = apply(Op::Attention { heads: heads as u32 }, &[tensor], &own, Manner::EVALUATION);
        // Scores, whose rounding exponentials show, grow with the square.
        assert_near(&out, &as_image(truth), 1e-5 * f64::from(factor.max(1.0).powi(2)));

        let (x, gamma, beta) = (spread(numbers(out.len(), 19)), numbers(features, 20), numbers(features, 21));
        let tensor = Tensor::from_slice(&x).view(sizes(features));
        out.fill(f32::NAN);
        layer_norm(&x, &gamma, &beta, 1e-6, &mut out);
        let [weight, bias] = [&gamma, &beta].map(|vector| Tensor::from_slice(vector));
        let truth = tensor.layer_norm([features as i64], Some(&weight), Some(&bias), 1e-6, true);
        assert_near(&out, &as_image(truth), 1e-5);
    }
}

#[test]
fn gelu_is_as_near_as_libtorchs() {
    let x: Vec<f32> = (-500_000..=500_000i32).map(|step| step as f32 * 2e-5).collect();
    let mut out = vec![f32::NAN; x.len()];
    gelu(&x, &mut out);
    let tensor = Tensor::from_slice(&x).to_kind(Kind::Double);
    let truth = Vec::<f64>::try_from(tensor.gelu("none")).unwrap();
    for ((x, ours), truth) in x.iter().zip(&out).zip(truth) {
        assert!((f64::from(*ours) - truth).abs() <= 3e-7 * f64::from(x.abs()), "{x}: {ours} for {truth}");
    }
}

#[test]
fn moments_are_those_of_batch_norm() {
    let x: Vec<f32> = numbers(5 * 7, 15).into_iter().map(|v| v + 1000.0).collect();
    let (mean, var) = moments(&x, 7);
    let rows = Tensor::from_slice(&x).view([5, 7]).to_kind(Kind::Double);
    for c in 0..7 {
        let column = rows.select(1, c);
        assert!((mean[c as usize] - column.mean(Kind::Double).double_value(&[])).abs() < 1e-9);
        assert!((var[c as usize] - column.var(false).double_value(&[])).abs() < 1e-9);
    }
}

#[test]
fn nan_is_not_lost() {
    let x = [1.0, f32::NAN, 2.0, 3.0];
    let shape = Shape { h: 2, w: 2, c: 1 };
    let same = Blend::new(&[1.0], None, &[0.0]);
    for act in [Act::None, Act::Relu, Act::Relu6, Act::LeakyRelu] {
        let (mut all, mut one) = ([0.0; 4], [0.0]);
        blend(&x, None, &same, None, act, &mut all);
        assert!(all[1].is_nan(), "{act:?}");
        blend_and_pool(&x, None, &same, act, shape, 2, &mut one);
        assert!(one[0].is_nan(), "{act:?}");
    }
    let mut one = [0.0];
    max_pool(&x, shape, 2, 2, 0, &mut one);
    assert!(one[0].is_nan());
    let mut all = [0.0; 4];
    gelu(&x, &mut all);
    assert!(all[1].is_nan() && !all[2].is_nan());
    layer_norm(&x, &[1.0; 4], &[0.0; 4], 1e-6, &mut all);
    assert!(all.iter().all(|x| x.is_nan()));
    let mut all = [0.0];
    attention(&x[..3], Shape { h: 1, w: 1, c: 3 }, 1, &mut all);
    assert!(all[0].is_nan(), "a token's only score");
}

#[test]
fn a_result_does_not_depend_on_its_place_in_the_batch() {
    let shape = Shape { h: 8, w: 8, c: 32 };
    let x = numbers(9 * shape.len(), 16);
    let weights = numbers(9 * 32 * 20, 17);
    let packed = packed(32, 20, &weights);
    let tiles = Tiles::new(shape, 0);
    let mut filtered = WinogradWeights::room(32, 20);
    filtered.panels_mut().for_each(|panel| {
        let Range { start, end } = panel.outputs();
        panel.take_filters(&weights[start * 32 * 9..end * 32 * 9]);
    });
    let all = |images: &[f32]| {
        let count = images.len() / shape.len();
        let (mut rows, mut filter) = (vec![0.0; count * 64 * 20], vec![0.0; count * 36 * 20]);
        product(images, &Rows::pixels(shape), &packed, &Epilogue::NONE, &mut rows);
        winograd(images, tiles, &filtered, &Epilogue::NONE, &mut filter);
        (rows, filter)
    };
    let (rows, filter) = all(&x);
    for image in 0..9 {
        let (own_rows, own_filter) = all(&x[image * shape.len()..][..shape.len()]);
        assert_eq!(own_rows, rows[image * 64 * 20..][..64 * 20]);
        assert_eq!(own_filter, filter[image * 36 * 20..][..36 * 20]);
    }
}
