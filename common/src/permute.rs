//! Symmetries of networks: hidden units that can change places without changing what the network computes.
//!
//! A class is a set of axes that must be permuted together: the rows of the layers that write some units, whatever batch
//! norm does to each of them, and the columns of the layers that read them. Classes follow from the graph. Units whose
//! place matters belong to none: the input's, the logits', and whatever an operation treats unalike or is not known here
//! to treat alike.

use crate::checkpoint::Checkpoint;
use crate::model::{Description, LayerKind, Op};

/// Hidden units that may be permuted, and every axis that counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Number of units.
    pub size: usize,
    /// Axes of parameters.
    pub parts: Vec<Part>,
    /// Indices of buffers, one value for each unit.
    pub buffers: Vec<usize>,
}

/// One axis of one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the parameter.
    pub parameter: usize,
    /// 0 for the layer that writes the units, 1 for one that reads them.
    pub axis: usize,
    /// Neighbours on the axis that belong to one unit: after `Flatten`, height x width.
    pub block: usize,
}

/// The classes of `model`, from input to output.
pub fn classes(model: &Description) -> Vec<Class> {
    let mut search = Search { model, parents: vec![FIXED], parts: vec![], buffers: vec![] };
    let mut values: Vec<Value> = Vec::with_capacity(model.nodes.len());
    for node in &model.nodes {
        let inputs: Vec<Value> = node.inputs.iter().map(|&input| values[input]).collect();
        values.push(search.value(node.op, &inputs));
    }
    if let Some(logits) = values.last() {
        search.join(logits.class, FIXED);
    }
    search.finish()
}

/// The class of units whose places matter.
const FIXED: usize = 0;

/// What is known of a value in the graph.
#[derive(Debug, Clone, Copy)]
struct Value {
    class: usize,
    /// Number of channels, or of features before `Flatten` multiplied them; `None` where an unknown operation made it.
    size: Option<usize>,
}

/// Classes as they are found: a forest, in which joined classes have the smallest as their root.
struct Search<'m> {
    model: &'m Description,
    parents: Vec<usize>,
    parts: Vec<(usize, Part)>,
    buffers: Vec<(usize, usize)>,
}

impl Search<'_> {
    fn value(&mut self, op: Op, inputs: &[Value]) -> Value {
        match op {
            Op::Input => Value { class: FIXED, size: Some(self.model.input[0] as usize) },
            Op::Linear { layer, .. } | Op::Conv2d { layer, .. } => self.weighted(layer, inputs[0]),
            Op::BatchNorm2d { layer, .. } => {
                let layer = &self.model.layers[layer];
                let parts = layer.parameters.clone().map(|parameter| Part { parameter, axis: 0, block: 1 });
                self.parts.extend(parts.map(|part| (inputs[0].class, part)));
                self.buffers.extend(layer.buffers.clone().map(|buffer| (inputs[0].class, buffer)));
                inputs[0]
            }
            Op::Activate(_)
            | Op::Dropout { .. }
            | Op::ZeroPad { .. }
            | Op::MaxPool2d { .. }
            | Op::AdaptiveAvgPool { .. }
            | Op::GlobalAvgPool
            | Op::AddScalar { .. }
            | Op::MulScalar { .. }
            | Op::Flatten => inputs[0],
            Op::Add => {
                self.join(inputs[0].class, inputs[1].class);
                inputs[0]
            }
            // Zero channels have their places, so all the others keep theirs.
            Op::SubsampleAndPad { pad } => {
                self.join(inputs[0].class, FIXED);
                Value { class: FIXED, size: inputs[0].size.map(|size| size + pad.iter().sum::<u32>() as usize) }
            }
            // Sequences of tokens: their features keep their places.
            Op::Tokens
            | Op::PrependToken { .. }
            | Op::AddEmbedding { .. }
            | Op::LayerNorm { .. }
            | Op::Attention { .. }
            | Op::FirstToken => {
                self.join(inputs[0].class, FIXED);
                Value { class: FIXED, size: None }
            }
        }
    }

    /// A linear or convolution layer reads units and writes new ones.
    fn weighted(&mut self, layer: usize, input: Value) -> Value {
        let layer = &self.model.layers[layer];
        let weight = layer.parameters.start;
        let shape: Vec<usize> = self.model.parameters[weight].shape.iter().map(|&d| d as usize).collect();
        let (rows, columns) = (shape[0], shape[1]);
        let is_linear = layer.kind == LayerKind::Linear;
        let class = match input.size {
            Some(size) if columns == size || is_linear && columns % size == 0 => {
                self.parts.push((input.class, Part { parameter: weight, axis: 1, block: columns / size }));
                self.parents.push(self.parents.len());
                self.parents.len() - 1
            }
            // A depthwise convolution: each unit keeps its channel.
            Some(size) if columns == 1 && rows == size => input.class,
            // Other groups of channels, or features of unknown meaning.
            _ => {
                self.join(input.class, FIXED);
                FIXED
            }
        };
        let own = layer.parameters.clone().map(|parameter| (class, Part { parameter, axis: 0, block: 1 }));
        self.parts.extend(own);
        Value { class, size: Some(rows) }
    }

    fn root(&self, mut class: usize) -> usize {
        while self.parents[class] != class {
            class = self.parents[class];
        }
        class
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn finish(self) -> Vec<Class> {
        let roots = (1..self.parents.len()).filter(|&class| self.root(class) == class);
        roots
            .map(|root| {
                let parts: Vec<Part> =
                    self.parts.iter().filter(|(class, _)| self.root(*class) == root).map(|&(_, part)| part).collect();
                let buffers = self.buffers.iter().filter(|(class, _)| self.root(*class) == root);
                let first = parts.first().expect("a class begins with the rows of a weight");
                let size = self.model.parameters[first.parameter].shape[first.axis] as usize / first.block;
                Class { size, parts, buffers: buffers.map(|&(_, buffer)| buffer).collect() }
            })
            .collect()
    }
}

impl Class {
    /// A parameter seen along one of the axes: [before, units, after], where `before` and `after` are all that lies before
    /// and after a unit's own block in memory.
    pub fn view(&self, model: &Description, part: Part) -> [usize; 3] {
        let parameter = &model.parameters[part.parameter];
        let before = parameter.shape[..part.axis].iter().map(|&d| d as usize).product::<usize>();
        [before, self.size, parameter.len / (before * self.size)]
    }

    /// Permutes the units of `checkpoint` in place: unit i becomes what unit `order[i]` was.
    ///
    /// # Panics
    /// When `order` has not one place for each unit.
    pub fn permute(&self, model: &Description, order: &[usize], checkpoint: &mut Checkpoint) {
        assert_eq!(order.len(), self.size, "one place for each unit");
        for &part in &self.parts {
            let parameter = &model.parameters[part.parameter];
            let values = &mut checkpoint.theta[parameter.offset..parameter.offset + parameter.len];
            reorder(values, self.view(model, part), order);
        }
        for &buffer in &self.buffers {
            let buffer = &model.buffers[buffer];
            reorder(&mut checkpoint.buffers[buffer.offset..buffer.offset + buffer.len], [1, self.size, 1], order);
        }
    }
}

fn reorder(values: &mut [f32], [before, units, after]: [usize; 3], order: &[usize]) {
    let old = values.to_vec();
    for outer in 0..before {
        for (unit, &source) in order.iter().enumerate() {
            let [to, from] = [unit, source].map(|u| (outer * units + u) * after);
            values[to..to + after].copy_from_slice(&old[from..from + after]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSpec;

    fn model(name: &str) -> Description {
        let spec = ModelSpec::from_name(name).unwrap();
        spec.describe(spec.usual_input(), 10).unwrap()
    }

    /// `units: parameter[axis]/block, ...; buffers`.
    fn told(model: &Description) -> Vec<String> {
        let part = |p: &Part| format!("{}[{}]/{}", model.parameters[p.parameter].name, p.axis, p.block);
        let class = |class: &Class| {
            let parts: Vec<String> = class.parts.iter().map(part).collect();
            format!("{}: {}; {}", class.size, parts.join(" "), class.buffers.len())
        };
        classes(model).iter().map(class).collect()
    }

    #[test]
    fn hidden_layers_are_permuted_with_the_columns_of_the_next() {
        assert_eq!(
            told(&model("mlp")),
            [
                "300: fc1.weight[0]/1 fc1.bias[0]/1 fc2.weight[1]/1; 0",
                "100: fc2.weight[0]/1 fc2.bias[0]/1 fc3.weight[1]/1; 0"
            ]
        );
    }

    #[test]
    fn a_flattened_channel_is_a_block_of_features() {
        assert_eq!(
            told(&model("lenet5"))[..2],
            [
                "6: conv1.weight[0]/1 conv1.bias[0]/1 conv2.weight[1]/1; 0",
                "16: conv2.weight[0]/1 conv2.bias[0]/1 fc1.weight[1]/25; 0"
            ]
        );
    }

    #[test]
    fn zero_channels_of_shortcuts_fix_what_passes_through_them() {
        let classes = told(&model("resnet20"));
        assert_eq!(classes.len(), 9, "one within each block: {classes:?}");
        let first = "16: layer1.0.conv1.weight[0]/1 layer1.0.bn1.weight[0]/1 layer1.0.bn1.bias[0]/1 layer1.0.conv2.weight[1]/1; 2";
        assert_eq!(classes[0], first);
    }

    #[test]
    fn a_permutation_and_its_inverse_leave_all_as_it_was() {
        let model = model("lenet5");
        let all: Vec<f32> = (0u16..).map(f32::from).cycle().take(model.theta_len()).collect();
        let original = Checkpoint { theta: all, buffers: vec![] };
        let mut checkpoint = original.clone();
        for class in classes(&model) {
            let turned: Vec<usize> = (0..class.size).map(|i| (i + 2) % class.size).collect();
            let back: Vec<usize> = (0..class.size).map(|i| (i + class.size - 2) % class.size).collect();
            class.permute(&model, &turned, &mut checkpoint);
            assert_ne!(checkpoint, original);
            class.permute(&model, &back, &mut checkpoint);
            assert_eq!(checkpoint, original);
        }
    }
}
