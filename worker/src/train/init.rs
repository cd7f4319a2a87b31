//! Initial parameters: computed on the CPU in plain Rust, so that they are the same on every device.

use transect_common::checkpoint::Checkpoint;
use transect_common::model::{Description, Layer, Role, Start};
use transect_common::run::{InitScheme, InitSpec};

use super::orthogonal::orthogonal;
use crate::random::{Purpose, Stream};

/// How the values of one parameter are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Draw {
    /// All the same.
    Constant(f64),
    /// Uniform in ± the bound.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// A matrix of orthonormal rows or columns, times the number.
    Orthogonal(f64),
}

impl Draw {
    fn times(self, factor: f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value * factor),
            Self::Uniform(bound) => Self::Uniform(bound * factor),
            Self::Normal(deviation) => Self::Normal(deviation * factor),
            Self::Orthogonal(scale) => Self::Orthogonal(scale * factor),
        }
    }
}

/// The state of a model as the scheme of `spec` draws it, whatever its layers start from: a pure function of its
/// arguments.
///
/// Each parameter is drawn from a stream of its own, so a parameter's values depend on its place in the description,
/// its layer's fans and its length, never on its neighbours.
pub fn initial(description: &Description, spec: &InitSpec, seed: u64) -> Checkpoint {
    let mut theta = Vec::with_capacity(description.theta_len());
    for (index, parameter) in description.parameters.iter().enumerate() {
        let draw = match parameter.start {
            Start::Scheme { factor } => {
                draw_of(&description.layers[parameter.layer], parameter.role, spec).times(factor)
            }
            Start::Constant(value) => Draw::Constant(value.into()),
            Start::Normal(deviation) => Draw::Normal(deviation.into()),
        };
        let mut stream = Stream::new(seed, Purpose::Init, index as u64);
        let len = parameter.len;
        match draw {
            Draw::Constant(value) => theta.extend(std::iter::repeat_n(value as f32, len)),
            Draw::Uniform(bound) => theta.extend((0..len).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32)),
            Draw::Normal(deviation) => theta.extend((0..len).map(|_| (stream.normal() * deviation) as f32)),
            Draw::Orthogonal(scale) => {
                let rows = parameter.shape[0] as usize;
                theta.extend(orthogonal(rows, len / rows, &mut stream).iter().map(|value| (value * scale) as f32));
            }
        }
    }
    let buffers = description.buffers.iter().flat_map(|buffer| std::iter::repeat_n(buffer.initial, buffer.len));
    Checkpoint { theta, buffers: buffers.collect() }
}

fn draw_of(layer: &Layer, role: Role, spec: &InitSpec) -> Draw {
    let (fan_in, fan_out) = (f64::from(layer.fan_in), f64::from(layer.fan_out));
    match (role, spec.scheme) {
        (_, InitScheme::Pytorch) => Draw::Uniform(spec.scale / fan_in.sqrt()),
        (Role::Bias, _) => Draw::Constant(0.0),
        (_, InitScheme::KaimingUniform) => Draw::Uniform(spec.scale * (6.0 / fan_in).sqrt()),
        (_, InitScheme::KaimingNormal) => Draw::Normal(spec.scale * (2.0 / fan_in).sqrt()),
        (_, InitScheme::XavierUniform) => Draw::Uniform(spec.scale * (6.0 / (fan_in + fan_out)).sqrt()),
        (_, InitScheme::LecunNormal) => Draw::Normal(spec.scale / fan_in.sqrt()),
        (_, InitScheme::LecunUniform) => Draw::Uniform(spec.scale * (3.0 / fan_in).sqrt()),
        (_, InitScheme::Constant) => Draw::Constant(spec.scale),
        (_, InitScheme::Orthogonal) => Draw::Orthogonal(spec.scale),
        (_, InitScheme::XavierNormal) => Draw::Normal(spec.scale * (2.0 / (fan_in + fan_out)).sqrt()),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers are exact")]
mod tests {
    use transect_common::model::ModelSpec;

    use super::*;

    fn describe(name: &str, input: [u32; 3]) -> Description {
        ModelSpec::from_name(name).unwrap().describe(input, 10).unwrap()
    }

    fn values<'c>(description: &Description, checkpoint: &'c Checkpoint, name: &str) -> &'c [f32] {
        let parameter = description.parameters.iter().find(|p| p.name == name).unwrap();
        &checkpoint.theta[parameter.offset..parameter.offset + parameter.len]
    }

    fn spread(values: &[f32]) -> (f64, f64) {
        let largest = values.iter().fold(0.0_f64, |most, v| most.max(f64::from(v.abs())));
        let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64;
        (largest, square.sqrt())
    }

    #[test]
    fn every_scheme_has_its_published_spread() {
        let description = describe("mlp", [1, 28, 28]);
        let (fan_in, fan_out) = (784.0_f64, 300.0);
        let uniform = |bound: f64| (bound, bound / 3.0_f64.sqrt());
        let normal = |deviation: f64| (f64::INFINITY, deviation);
        let cases = [
            (InitScheme::Pytorch, uniform(1.0 / fan_in.sqrt())),
            (InitScheme::KaimingUniform, uniform((6.0 / fan_in).sqrt())),
            (InitScheme::KaimingNormal, normal((2.0 / fan_in).sqrt())),
            (InitScheme::XavierUniform, uniform((6.0 / (fan_in + fan_out)).sqrt())),
            (InitScheme::XavierNormal, normal((2.0 / (fan_in + fan_out)).sqrt())),
        ];
        for (scheme, (bound, deviation)) in cases {
            let checkpoint = initial(&description, &InitSpec { scheme, ..InitSpec::default() }, 3);
            let (largest, root) = spread(values(&description, &checkpoint, "fc1.weight"));
            assert!(largest <= bound * (1.0 + 1e-6), "{scheme:?}: {largest} is beyond {bound}");
            // 235,200 draws: the root mean square is within 1 % of its expectation.
            assert!((root / deviation - 1.0).abs() < 0.01, "{scheme:?}: {root} for {deviation}");
            let has_bias = values(&description, &checkpoint, "fc1.bias").iter().any(|&b| b != 0.0);
            assert_eq!(has_bias, scheme == InitScheme::Pytorch);
        }
    }

    #[test]
    fn orthogonal_weights_are_orthonormal_up_to_their_scale() {
        let description = describe("lenet5", [1, 28, 28]);
        let spec = InitSpec { scheme: InitScheme::Orthogonal, scale: 2.0, ..InitSpec::default() };
        let checkpoint = initial(&description, &spec, 1);
        // [16, 6 x 5 x 5] and [120, 400] have fewer rows, [6, 25] too.
        for (name, rows) in [("conv1.weight", 6), ("conv2.weight", 16), ("fc1.weight", 120), ("fc3.weight", 10)] {
            let weight = values(&description, &checkpoint, name);
            let row = |i: usize| &weight[i * weight.len() / rows..(i + 1) * weight.len() / rows];
            for (i, j) in (0..rows).flat_map(|i| (0..rows).map(move |j| (i, j))) {
                let product: f64 = row(i).iter().zip(row(j)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                assert!((product / 4.0 - f64::from(u8::from(i == j))).abs() < 1e-6, "{name}: {i}, {j}: {product}");
            }
        }
        assert!(values(&description, &checkpoint, "fc1.bias").iter().all(|&b| b == 0.0));
    }

    #[test]
    fn the_further_schemes_have_their_published_spread_too() {
        let description = describe("mlp", [1, 28, 28]);
        let weights = |scheme| {
            let checkpoint = initial(&description, &InitSpec { scheme, scale: 0.5, ..InitSpec::default() }, 3);
            values(&description, &checkpoint, "fc1.weight").to_vec()
        };
        assert!(weights(InitScheme::Constant).iter().all(|&w| w == 0.5));
        let (_, root) = spread(&weights(InitScheme::LecunNormal));
        assert!((root / (0.5 / 28.0) - 1.0).abs() < 0.01, "{root}");
        let (largest, root) = spread(&weights(InitScheme::LecunUniform));
        assert!(largest <= 0.5 * 3.0_f64.sqrt() / 28.0 && (root / (0.5 / 28.0) - 1.0).abs() < 0.01, "{root}");
    }

    #[test]
    fn scale_multiplies_weights_and_biases_but_not_batch_norm() {
        let description = describe("resnet20", [3, 32, 32]);
        let one = initial(&description, &InitSpec::default(), 1);
        let two = initial(&description, &InitSpec { scale: 2.0, ..InitSpec::default() }, 1);
        for name in ["conv1.weight", "linear.weight", "linear.bias"] {
            let doubled: Vec<f32> = values(&description, &one, name).iter().map(|v| 2.0 * v).collect();
            assert_eq!(values(&description, &two, name), doubled);
        }
        assert!(values(&description, &two, "bn1.weight").iter().all(|&v| v == 1.0));
        assert!(values(&description, &two, "bn1.bias").iter().all(|&v| v == 0.0));
        let buffer = |name: &str| description.buffers.iter().find(|b| b.name == name).unwrap();
        assert_eq!(two.buffers[buffer("bn1.running_mean").offset], 0.0);
        assert_eq!(two.buffers[buffer("bn1.running_var").offset], 1.0);
        assert_eq!(two.buffers.len(), description.buffers_len());
    }

    #[test]
    fn parameters_with_a_start_of_their_own_have_it() {
        use transect_common::model::{CifarNorm, CifarResnet, Vit};
        let described = |spec: ModelSpec| spec.describe([3, 32, 32], 10).unwrap();
        let resnet = |norm| described(ModelSpec::Resnet20(CifarResnet { norm, ..CifarResnet::default() }));
        let (plain, fixup) = (resnet(CifarNorm::Batch), resnet(CifarNorm::Fixup));
        let spec = InitSpec { scheme: InitScheme::KaimingNormal, ..InitSpec::default() };
        let start = initial(&fixup, &spec, 1);
        let of = |name| spread(values(&fixup, &start, name)).1;
        assert_eq!((of("layer2.1.conv2.weight"), of("linear.bias"), of("layer2.1.scale")), (0.0, 0.0, 1.0));
        // Nine blocks: a third of sqrt(2 / 288), within the 2 % that 9,216 draws allow.
        assert!((of("layer2.1.conv1.weight") * 3.0 / (2.0_f64 / 288.0).sqrt() - 1.0).abs() < 0.02);
        let usual = initial(&plain, &spec, 1);
        assert_eq!(spread(values(&plain, &usual, "layer2.1.bn2.weight")), (1.0, 1.0));
        let vit = described(ModelSpec::Vit(Vit::default()));
        let start = initial(&vit, &spec, 1);
        let of = |name| spread(values(&vit, &start, name)).1;
        assert_eq!((of("class_token"), of("encoder.ln.weight"), of("encoder.ln.bias")), (0.0, 1.0, 0.0));
        assert!((of("encoder.pos_embedding") / 0.02 - 1.0).abs() < 0.03);
    }

    #[test]
    fn seeds_and_parameters_have_streams_of_their_own() {
        let description = describe("lenet5", [1, 28, 28]);
        let theta = |seed| initial(&description, &InitSpec::default(), seed).theta;
        assert_eq!(theta(1), theta(1));
        assert!(theta(1).iter().zip(&theta(2)).all(|(a, b)| a != b));
        // The convolutions' values do not depend on the image size, which changes conv1's padding only.
        let larger = describe("lenet5", [1, 32, 32]);
        assert_eq!(initial(&larger, &InitSpec::default(), 1).theta, theta(1));
    }
}
