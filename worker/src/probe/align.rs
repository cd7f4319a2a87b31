//! Permutation matching by weights (Ainsworth et al. 2023, arXiv 2209.04836, section 3.2, algorithm 1).

use tch::{Kind, Tensor};
use transect_common::assignment::assignment;
use transect_common::checkpoint::Checkpoint;
use transect_common::model::Description;
use transect_common::permute::{Class, classes};

/// Rounds over all classes at most. Each changes something for the better, so the end comes sooner, but for rounding and
/// for weights that one class permutes along both axes.
const ROUNDS: usize = 100;

/// `to` with its hidden units permuted so that its parameters lie closest to those of `from`: the same function, to
/// rounding.
///
/// One class of units after another is given the best permutation while the others rest, from input to output (the paper
/// draws the order anew each round; from the input on, each class meets neighbours that are in place already), until a
/// round brings nothing. That is a local optimum. All parameters count, moving or not; buffers go with their units.
pub fn align(model: &Description, from: &Checkpoint, to: &Checkpoint) -> Checkpoint {
    let mut aligned = to.clone();
    let classes = classes(model);
    for _ in 0..ROUNDS {
        let mut is_better = false;
        for class in &classes {
            let gains = gains(model, class, from, &aligned);
            let order = assignment(&gains, class.size);
            let sum = |order: &mut dyn Iterator<Item = usize>| {
                order.enumerate().map(|(unit, source)| gains[unit * class.size + source]).sum::<f64>()
            };
            let (before, after) = (sum(&mut (0..class.size)), sum(&mut order.iter().copied()));
            if after > before + 1e-12 * before.abs() {
                class.permute(model, &order, &mut aligned);
                is_better = true;
            }
        }
        if !is_better {
            break;
        }
    }
    aligned
}

/// For each unit of `from` and each of `to` the product of their parameters, row by row [units, units] in f64: the more,
/// the less they are apart.
fn gains(model: &Description, class: &Class, from: &Checkpoint, to: &Checkpoint) -> Vec<f64> {
    let units = class.size as i64;
    let mut gains = Tensor::zeros([units, units], (Kind::Double, tch::Device::Cpu));
    for &part in &class.parts {
        let parameter = &model.parameters[part.parameter];
        let shape = class.view(model, part).map(|d| d as i64);
        let by_unit = |checkpoint: &Checkpoint| {
            let values = &checkpoint.theta[parameter.offset..parameter.offset + parameter.len];
            Tensor::from_slice(values).to_kind(Kind::Double).view(shape).permute([1, 0, 2]).reshape([units, -1])
        };
        gains += by_unit(from).matmul(&by_unit(to).transpose(0, 1));
    }
    let mut values = vec![0.0; class.size * class.size];
    gains.copy_data(&mut values, class.size * class.size);
    values
}
