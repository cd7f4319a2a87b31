//! A model as units: each linear or convolution layer together with the batch norm, the sum, the function and the maximum
//! that follow it, where nothing else reads what lies between.

use transect_common::model::{Activation, Description, Node, Op};

use crate::kernel::{Act, Rows, Shape, Tiles};
use crate::nn::maxima_first;

/// How a value's numbers are meant. All lie as [N, H, W, C].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// [N, C, H, W].
    Image,
    /// [N, C x H x W]; a flattened image keeps its shape, and whoever reads it knows the order.
    Vector,
    /// [N, S, F], with H = S and C = F.
    Tokens,
}

/// A unit's main operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Core {
    /// The images.
    Input,
    /// A linear or convolution layer, by index.
    Product {
        /// Its index.
        layer: usize,
        /// How it is computed.
        how: Product,
    },
    /// Nothing: the batch norm alone.
    Norm,
    /// Any other operation, by its node.
    Other(Op),
}

/// How the products of a layer are computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Product {
    /// Row by row, each window of `side` x `side` pixels one row.
    Rows {
        /// Where the rows lie in the padded input.
        rows: Rows,
        /// Height and width of a window: the whole image for a linear layer.
        side: (usize, usize),
    },
    /// By minimal filtering.
    Winograd(Tiles),
    /// Each channel by itself.
    Depthwise {
        /// Side of the window.
        side: usize,
        /// From window to window.
        stride: usize,
    },
}

/// A batch norm within a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NormLayer {
    pub(super) layer: usize,
    pub(super) eps: f64,
}

/// One unit. Inputs are units with smaller indices.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub(super) core: Core,
    /// What the main operation reads.
    pub(super) inputs: Vec<usize>,
    /// Shape of the first input as it is, and padded for the main operation.
    pub(super) before: Shape,
    pub(super) padded: Shape,
    /// Rows and columns of zeros before the input's own.
    pub(super) offset: (usize, usize),
    /// Shape of the main operation's result.
    pub(super) middle: Shape,
    pub(super) norm: Option<NormLayer>,
    /// The unit that is added.
    pub(super) residual: Option<usize>,
    pub(super) act: Act,
    /// Side of the windows whose maximum is taken.
    pub(super) pool: Option<usize>,
    /// Shape and meaning of the whole unit's result.
    pub(super) after: Shape,
    pub(super) meaning: Meaning,
    /// Meaning of its inputs.
    pub(super) reads: Meaning,
}

impl Unit {
    /// The layer of its main operation.
    pub(super) fn layer(&self) -> Option<usize> {
        match self.core {
            Core::Product { layer, .. } => Some(layer),
            Core::Other(op) => op.layer(),
            Core::Input | Core::Norm => None,
        }
    }
}

/// A model in units, the last of which gives the logits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) units: Vec<Unit>,
}

impl Network {
    /// `model` in units. With `fold` batch norm is a factor and a shift of each channel, part of the unit before it;
    /// otherwise it normalises by its batch, and is a unit of its own.
    pub(super) fn new(model: &Description, fold: bool) -> Self {
        let model = Description { nodes: maxima_first(&model.nodes, may_wait), ..model.clone() };
        Lowering::new(&model, fold).network()
    }
}

/// Of the functions that never fall, those that libtorch computes: of a quarter of the numbers where a maximum is taken before
/// them. Those of [`Act`] cost nothing where they are.
fn may_wait(activation: Activation) -> bool {
    matches!(activation, Activation::Tanh | Activation::Sigmoid | Activation::Elu | Activation::Softplus)
}

struct Lowering<'m> {
    model: &'m Description,
    fold: bool,
    values: Vec<(Shape, Meaning)>,
    /// The nodes that read each.
    readers: Vec<Vec<usize>>,
    /// Nodes that are part of an earlier one's unit.
    taken: Vec<bool>,
}

impl<'m> Lowering<'m> {
    fn new(model: &'m Description, fold: bool) -> Self {
        let mut readers = vec![vec![]; model.nodes.len()];
        for (index, node) in model.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| readers[input].push(index));
        }
        Self { model, fold, values: values(model), readers, taken: vec![false; model.nodes.len()] }
    }

    fn network(mut self) -> Network {
        // Units by the node that ends them, which is an order in which they can be computed; inputs are nodes still.
        let mut units = vec![];
        for index in 0..self.model.nodes.len() {
            if !self.taken[index] && !is_another_name(self.model.nodes[index].op) {
                units.push(self.unit(index));
            }
        }
        units.sort_by_key(|(last, _)| *last);
        let mut unit_of = vec![usize::MAX; self.model.nodes.len()];
        for (unit, (last, _)) in units.iter().enumerate() {
            unit_of[*last] = unit;
        }
        for (index, node) in self.model.nodes.iter().enumerate() {
            if !self.taken[index] && is_another_name(node.op) {
                unit_of[index] = unit_of[node.inputs[0]];
            }
        }
        let renamed = units.into_iter().map(|(_, mut unit)| {
            unit.inputs.iter_mut().chain(&mut unit.residual).for_each(|input| *input = unit_of[*input]);
            unit
        });
        Network { units: renamed.collect() }
    }

    /// The unit that begins at node `first`, and the node that ends it.
    fn unit(&mut self, first: usize) -> (usize, Unit) {
        let Node { op, inputs } = &self.model.nodes[first];
        let (before, reads) = inputs.first().map_or(self.values[first], |&input| self.values[input]);
        let (middle, _) = self.values[first];
        let (core, padded, offset) = self.core(*op, before, middle, reads);
        let norm = match *op {
            Op::BatchNorm2d { layer, eps, .. } => Some(NormLayer { layer, eps }),
            _ => None,
        };
        let mut unit = Unit {
            core,
            inputs: inputs.clone(),
            before,
            padded,
            offset,
            middle,
            norm,
            residual: None,
            act: Act::None,
            pool: None,
            after: middle,
            meaning: reads,
            reads,
        };
        let mut last = first;
        if matches!(unit.core, Core::Product { .. } | Core::Norm) {
            while let &[next] = self.readers[last].as_slice() {
                if self.taken[next] || !self.absorb(&mut unit, last, next) {
                    break;
                }
                self.taken[next] = true;
                last = next;
            }
        }
        (unit.after, unit.meaning) = self.values[last];
        (last, unit)
    }

    /// Makes node `next`, the only reader of `last`, part of the unit if it can be.
    fn absorb(&self, unit: &mut Unit, last: usize, next: usize) -> bool {
        let node = &self.model.nodes[next];
        let is_plain = unit.residual.is_none() && unit.act == Act::None && unit.pool.is_none();
        match node.op {
            Op::BatchNorm2d { layer, eps, .. } if self.fold && is_plain && unit.norm.is_none() => {
                unit.norm = Some(NormLayer { layer, eps });
            }
            Op::Add if is_plain && node.inputs[0] != node.inputs[1] => {
                unit.residual = node.inputs.iter().copied().find(|&input| input != last);
            }
            Op::Activate(activation) if unit.act == Act::None && unit.pool.is_none() => {
                match Act::of_network(activation) {
                    Some(act) => unit.act = act,
                    None => return false,
                }
            }
            Op::MaxPool2d { kernel, stride, padding: 0 }
                if kernel == stride && unit.pool.is_none() && unit.residual.is_none() =>
            {
                unit.pool = Some(kernel as usize);
            }
            Op::Dropout { .. } => {}
            _ => return false,
        }
        true
    }

    /// The main operation of `op`, the shape its input must be padded to, and where the input begins there.
    fn core(&self, op: Op, before: Shape, middle: Shape, reads: Meaning) -> (Core, Shape, (usize, usize)) {
        let unpadded = |core| (core, before, (0, 0));
        match op {
            Op::Input => unpadded(Core::Input),
            Op::BatchNorm2d { .. } => unpadded(Core::Norm),
            Op::Linear { layer } => {
                let (rows, side) = match reads {
                    Meaning::Tokens => (Rows::pixels(before), (1, 1)),
                    _ => (Rows::pixels(Shape { h: 1, w: 1, c: before.len() }), (before.h, before.w)),
                };
                unpadded(Core::Product { layer, how: Product::Rows { rows, side } })
            }
            Op::Conv2d { layer, stride, padding, groups } => {
                let [stride, padding, groups] = [stride, padding, groups].map(|n| n as usize);
                let weight = &self.model.parameters[self.model.layers[layer].parameters.start];
                let side = weight.shape[2] as usize;
                let padded = Shape { h: before.h + 2 * padding, w: before.w + 2 * padding, c: before.c };
                let offset = (padding, padding);
                let tiles = (side == 3 && stride == 1).then(|| Tiles::new(before, padding));
                let how = match tiles.filter(|tiles| tiles.suit(middle.c)) {
                    Some(tiles) if groups == 1 => {
                        return unpadded(Core::Product { layer, how: Product::Winograd(tiles) });
                    }
                    _ if groups == 1 => {
                        let whole = Rows::windows(padded, side, stride, 0);
                        // Of a small image windows are mostly padding: they are cut instead of padding the image.
                        let cut = (padding < side).then(|| Rows::windows(before, side, stride, padding));
                        if let Some(rows) = cut.filter(|cut| 4 * cut.products() < 3 * whole.products()) {
                            return unpadded(Core::Product { layer, how: Product::Rows { rows, side: (side, side) } });
                        }
                        Product::Rows { rows: whole, side: (side, side) }
                    }
                    _ if groups == before.c && middle.c == before.c => Product::Depthwise { side, stride },
                    _ => return unpadded(Core::Other(op)),
                };
                (Core::Product { layer, how }, padded, offset)
            }
            other => unpadded(Core::Other(other)),
        }
    }
}

/// True for what only gives the same numbers another meaning.
fn is_another_name(op: Op) -> bool {
    matches!(op, Op::Flatten | Op::Tokens | Op::Dropout { .. })
}

/// Shape of every node's value, of one image.
pub(in crate::probe) fn shapes(model: &Description) -> Vec<Shape> {
    values(model).into_iter().map(|(shape, _)| shape).collect()
}

/// Multiplications and additions in each layer's products for one image, one after another as they are defined; for benchmarks.
pub fn products(model: &Description) -> Vec<f64> {
    let layers = model.nodes.iter().zip(shapes(model)).filter_map(|(node, result)| {
        let (Op::Conv2d { layer, .. } | Op::Linear { layer }) = node.op else { return None };
        let weight = &model.parameters[model.layers[layer].parameters.start];
        Some(2.0 * (result.len() * weight.len) as f64 / f64::from(weight.shape[0]))
    });
    layers.collect()
}

/// Shape and meaning of every node's value.
fn values(model: &Description) -> Vec<(Shape, Meaning)> {
    let mut values: Vec<(Shape, Meaning)> = Vec::with_capacity(model.nodes.len());
    let outputs = |layer: usize| model.parameters[model.layers[layer].parameters.start].shape[0] as usize;
    for Node { op, inputs } in &model.nodes {
        let (shape, meaning) = inputs.first().map_or_else(
            || {
                let [c, h, w] = model.input.map(|size| size as usize);
                (Shape { h, w, c }, Meaning::Image)
            },
            |&input| values[input],
        );
        let Shape { h, w, c } = shape;
        let square = |over: &dyn Fn(usize) -> usize, c| Shape { h: over(h), w: over(w), c };
        let value = match *op {
            Op::Flatten => (shape, Meaning::Vector),
            Op::Linear { layer } if meaning == Meaning::Tokens => (Shape { c: outputs(layer), ..shape }, meaning),
            Op::Linear { layer } => (Shape { h: 1, w: 1, c: outputs(layer) }, meaning),
            Op::Conv2d { layer, stride, padding, .. } => {
                let side = model.parameters[model.layers[layer].parameters.start].shape[2];
                let over = |size: usize| (size + 2 * padding as usize - side as usize) / stride as usize + 1;
                (square(&over, outputs(layer)), meaning)
            }
            Op::ZeroPad { rows, columns } => {
                let more = |sides: [u32; 2]| (sides[0] + sides[1]) as usize;
                (Shape { h: h + more(rows), w: w + more(columns), c }, meaning)
            }
            Op::MaxPool2d { kernel, stride, padding } => {
                let over = |size: usize| (size + 2 * padding as usize - kernel as usize) / stride as usize + 1;
                (square(&over, c), meaning)
            }
            Op::AdaptiveAvgPool { side } => (square(&|_| side as usize, c), meaning),
            Op::GlobalAvgPool | Op::FirstToken => (Shape { h: 1, w: 1, c }, Meaning::Vector),
            Op::SubsampleAndPad { pad } => (square(&|size| size.div_ceil(2), c + (pad[0] + pad[1]) as usize), meaning),
            Op::Tokens => (Shape { h: h * w, w: 1, c }, Meaning::Tokens),
            Op::Attention { .. } => (Shape { c: c / 3, ..shape }, meaning),
            Op::PrependToken { .. } => (Shape { h: h + 1, ..shape }, meaning),
            Op::Input
            | Op::BatchNorm2d { .. }
            | Op::Activate(_)
            | Op::Dropout { .. }
            | Op::Add
            | Op::AddScalar { .. }
            | Op::MulScalar { .. }
            | Op::AddEmbedding { .. }
            | Op::LayerNorm { .. } => (shape, meaning),
        };
        values.push(value);
    }
    values
}

#[cfg(test)]
mod tests {
    use transect_common::model::ModelSpec;

    use super::*;

    fn network(name: &str, fold: bool) -> Network {
        let spec = ModelSpec::from_name(name).unwrap();
        Network::new(&spec.describe(spec.usual_input(), 10).unwrap(), fold)
    }

    #[test]
    fn what_follows_a_layer_is_part_of_its_unit() {
        let lenet = network("lenet5", true);
        let shown: Vec<_> = lenet.units.iter().map(|u| (u.act == Act::Relu, u.pool, u.after.len())).collect();
        let expected = [
            (false, None, 784),
            (true, Some(2), 6 * 14 * 14),
            (true, Some(2), 400),
            (true, None, 120),
            (true, None, 84),
            (false, None, 10),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn smooth_functions_are_taken_of_maxima() {
        let network = network("simple-cnn", true);
        let shown: Vec<_> = network.units.iter().map(|u| (u.layer(), u.pool, u.after.len())).collect();
        let expected = [
            (None, None, 3 * 32 * 32),
            (Some(0), Some(2), 16 * 16 * 16),
            (None, None, 16 * 16 * 16),
            (Some(1), Some(2), 32 * 8 * 8),
            (None, None, 32 * 8 * 8),
            (Some(2), Some(2), 32 * 4 * 4),
            (None, None, 32 * 4 * 4),
            (Some(3), None, 10),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn products_are_counted_once_for_each_place() {
        let spec = ModelSpec::from_name("lenet5").unwrap();
        let model = spec.describe(spec.usual_input(), 10).unwrap();
        let windows = [28 * 28 * 6 * 25, 10 * 10 * 16 * 6 * 25];
        let expected = windows.into_iter().chain([400 * 120, 120 * 84, 84 * 10]).map(|n| 2.0 * f64::from(n));
        assert_eq!(products(&model), expected.collect::<Vec<_>>());
    }

    #[test]
    fn batch_norm_and_the_sum_of_a_block_are_folded_or_stand_alone() {
        let folded = network("resnet20", true);
        // Input, 19 convolutions with all that follows, two shortcuts that subsample, the mean, the head.
        assert_eq!(folded.units.len(), 1 + 19 + 2 + 1 + 1);
        assert_eq!(folded.units.iter().filter(|u| u.residual.is_some()).count(), 9);
        let apart = network("resnet20", false);
        assert_eq!(apart.units.iter().filter(|u| u.core == Core::Norm).count(), 19);
        for network in
            [folded, apart, network("vit", true), network("efficientnet-lite0", true), network("resnet50", true)]
        {
            for (index, unit) in network.units.iter().enumerate() {
                assert!(unit.inputs.iter().chain(&unit.residual).all(|&input| input < index), "{index}: {unit:?}");
            }
        }
    }
}
