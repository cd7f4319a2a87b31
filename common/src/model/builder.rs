//! The builder that the architectures are written with.

use std::collections::BTreeSet;

use super::activation::Activation;
use super::description::{Buffer, Description, Group, Layer, LayerKind, Node, Op, Parameter, Role, Start, ValueId};

/// Builds a description from input to output.
#[derive(Debug)]
pub struct Builder {
    built: Description,
}

/// A square convolution.
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    inputs: u32,
    outputs: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    groups: u32,
    bias: bool,
    start: Start,
}

impl Conv {
    /// From `inputs` to `outputs` channels by `kernel` x `kernel`, at stride 1 without padding and without bias.
    pub fn new(inputs: u32, outputs: u32, kernel: u32) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: 0, groups: 1, bias: false, start: Start::SCHEME }
    }

    /// With this stride.
    #[must_use]
    pub fn stride(self, stride: u32) -> Self {
        Self { stride, ..self }
    }

    /// With zero padding on all sides.
    #[must_use]
    pub fn padding(self, padding: u32) -> Self {
        Self { padding, ..self }
    }

    /// With a bias, or without.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// With as many groups as channels.
    #[must_use]
    pub fn depthwise(self) -> Self {
        Self { groups: self.inputs, ..self }
    }

    /// With these weights before training.
    #[must_use]
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }
}

/// A batch norm.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    channels: u32,
    eps: f64,
    momentum: f64,
    gamma: f32,
}

impl BatchNorm {
    /// Over `channels`, with `PyTorch`'s epsilon 1e-5 and momentum 0.1.
    pub fn new(channels: u32) -> Self {
        Self { channels, eps: 1e-5, momentum: 0.1, gamma: 1.0 }
    }

    /// With this epsilon and momentum.
    #[must_use]
    pub fn constants(self, eps: f64, momentum: f64) -> Self {
        Self { eps, momentum, ..self }
    }

    /// With this factor before training.
    #[must_use]
    pub fn gamma(self, gamma: f32) -> Self {
        Self { gamma, ..self }
    }
}

impl Builder {
    /// Begins with images of `input` (channels, height, width); the input is value 0.
    pub fn new(architecture: &'static str, input: [u32; 3], classes: u32) -> Self {
        let nodes = vec![Node { op: Op::Input, inputs: vec![] }];
        let built = Description {
            architecture,
            input,
            classes,
            parameters: vec![],
            buffers: vec![],
            layers: vec![],
            groups: vec![],
            blocks: vec![],
            nodes,
        };
        Self { built }
    }

    /// Adds an operation without parameters.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.built.nodes.push(Node { op, inputs: inputs.to_vec() });
        self.built.nodes.len() - 1
    }

    /// Adds a function of each number.
    pub fn activate(&mut self, activation: Activation, x: ValueId) -> ValueId {
        self.op(Op::Activate(activation), &[x])
    }

    /// Adds dropout, or nothing where `p` is 0.
    pub fn dropout(&mut self, p: f64, x: ValueId) -> ValueId {
        if p > 0.0 { self.op(Op::Dropout { p }, &[x]) } else { x }
    }

    /// Adds a maximum over windows that touch.
    pub fn max_pool(&mut self, kernel: u32, x: ValueId) -> ValueId {
        self.op(Op::MaxPool2d { kernel, stride: kernel, padding: 0 }, &[x])
    }

    /// Adds a linear layer with bias.
    pub fn linear(&mut self, name: &str, x: ValueId, fan_in: u32, fan_out: u32) -> ValueId {
        self.linear_from(name, x, [fan_in, fan_out], Start::SCHEME)
    }

    /// Adds a linear layer with bias, whose weights and biases begin so.
    pub fn linear_from(&mut self, name: &str, x: ValueId, fans: [u32; 2], start: Start) -> ValueId {
        let [fan_in, fan_out] = fans;
        let layer = self.begin_layer(name, LayerKind::Linear, fan_in, fan_out);
        self.parameter(layer, "weight", Role::Weight, &[fan_out, fan_in], start);
        self.parameter(layer, "bias", Role::Bias, &[fan_out], start);
        self.op(Op::Linear { layer }, &[x])
    }

    /// Adds a convolution.
    pub fn conv2d(&mut self, name: &str, x: ValueId, conv: Conv) -> ValueId {
        let Conv { inputs, outputs, kernel, stride, padding, groups, bias, start } = conv;
        let (seen, area) = (inputs / groups, kernel * kernel);
        let layer = self.begin_layer(name, LayerKind::Conv2d, seen * area, outputs * area);
        self.parameter(layer, "weight", Role::Weight, &[outputs, seen, kernel, kernel], start);
        if bias {
            self.parameter(layer, "bias", Role::Bias, &[outputs], Start::SCHEME);
        }
        self.op(Op::Conv2d { layer, stride, padding, groups }, &[x])
    }

    /// Adds batch norm.
    pub fn batch_norm(&mut self, name: &str, x: ValueId, norm: BatchNorm) -> ValueId {
        let BatchNorm { channels, eps, momentum, gamma } = norm;
        let layer = self.begin_layer(name, LayerKind::BatchNorm2d, 1, 1);
        self.parameter(layer, "weight", Role::Weight, &[channels], Start::Constant(gamma));
        self.parameter(layer, "bias", Role::Bias, &[channels], Start::Constant(0.0));
        self.buffer(layer, "running_mean", channels, 0.0);
        self.buffer(layer, "running_var", channels, 1.0);
        self.op(Op::BatchNorm2d { layer, eps, momentum }, &[x])
    }

    /// Adds layer norm over the last dimension.
    pub fn layer_norm(&mut self, name: &str, x: ValueId, features: u32, eps: f64) -> ValueId {
        let layer = self.begin_layer(name, LayerKind::LayerNorm, 1, 1);
        self.parameter(layer, "weight", Role::Weight, &[features], Start::Constant(1.0));
        self.parameter(layer, "bias", Role::Bias, &[features], Start::Constant(0.0));
        self.op(Op::LayerNorm { layer, eps }, &[x])
    }

    /// Adds self-attention with the projections of its input and its output.
    pub fn attention(&mut self, name: &str, x: ValueId, features: u32, heads: u32) -> ValueId {
        let layer = self.begin_layer(name, LayerKind::Attention, features, 3 * features);
        self.parameter(layer, "in_proj_weight", Role::Weight, &[3 * features, features], Start::SCHEME);
        self.parameter(layer, "in_proj_bias", Role::Bias, &[3 * features], Start::Constant(0.0));
        let x = self.op(Op::Linear { layer }, &[x]);
        let x = self.op(Op::Attention { heads }, &[x]);
        self.linear(&format!("{name}.out_proj"), x, features, features)
    }

    /// Adds a layer that is one tensor of the same name, for an operation to use.
    pub fn tensor(&mut self, name: &str, kind: LayerKind, shape: &[u32], start: Start) -> usize {
        let layer = self.begin_layer(name, kind, 1, 1);
        self.push(layer, name.to_owned(), Role::Weight, shape, start);
        layer
    }

    /// Names the parameters of all layers whose name `belongs`.
    pub fn group(&mut self, name: &str, belongs: impl Fn(&str) -> bool) {
        self.group_where(name, |layer, _| belongs(&layer.name));
    }

    /// Says which groups or layers part the network from bottom to top. Without it each layer is a block.
    pub fn blocks(&mut self, names: impl IntoIterator<Item = String>) {
        self.built.blocks = names.into_iter().collect();
    }

    /// Names `stem`, `stage:1` to `stage:STAGES` and `head`, which part the network: the layers `of_stem`, those whose
    /// names begin with `layer1.` and so on, and those `of_head`.
    pub fn stages(&mut self, of_stem: &[&str], stages: u32, of_head: &[&str]) {
        self.group("stem", |layer| of_stem.contains(&layer));
        for stage in 1..=stages {
            let prefix = format!("layer{stage}.");
            self.group(&format!("stage:{stage}"), |layer| layer.starts_with(&prefix));
        }
        self.group("head", |layer| of_head.contains(&layer));
        self.part_by_groups();
    }

    /// Says that the groups so far, in their order, part the network.
    pub fn part_by_groups(&mut self) {
        self.built.blocks = self.built.groups.iter().map(|group| group.name.clone()).collect();
    }

    /// Adds the groups that every architecture has (`kind:conv`, `kind:linear`, `kind:batch-norm` and so on where there
    /// are such layers, `kind:bias` for the biases of layers that are not norms, `kernel:K` for the convolutions of
    /// K x K) and returns the description.
    pub fn finish(mut self) -> Description {
        for kind in LayerKind::ALL {
            self.group_where(&format!("kind:{}", kind.name()), |layer, _| layer.kind == kind);
        }
        let is_norm = |kind| matches!(kind, LayerKind::BatchNorm2d | LayerKind::LayerNorm);
        self.group_where("kind:bias", |layer, role| role == Role::Bias && !is_norm(layer.kind));
        let kernel = |layer: &Layer| Some((layer.name.clone(), self.built.kernel(layer)?));
        let kernels: Vec<(String, u32)> = self.built.layers.iter().filter_map(kernel).collect();
        for side in kernels.iter().map(|(_, side)| *side).collect::<BTreeSet<_>>() {
            let own: BTreeSet<&str> = kernels.iter().filter(|k| k.1 == side).map(|k| k.0.as_str()).collect();
            self.group_where(&format!("kernel:{side}"), |layer, _| own.contains(layer.name.as_str()));
        }
        if self.built.blocks.is_empty() {
            self.built.blocks = self.built.layers.iter().map(|layer| layer.name.clone()).collect();
        }
        self.built
    }

    fn group_where(&mut self, name: &str, belongs: impl Fn(&Layer, Role) -> bool) {
        let built = &mut self.built;
        let parameters: Vec<usize> = (0..built.parameters.len())
            .filter(|&i| belongs(&built.layers[built.parameters[i].layer], built.parameters[i].role))
            .collect();
        if !parameters.is_empty() {
            built.groups.push(Group { name: name.to_owned(), parameters });
        }
    }

    fn begin_layer(&mut self, name: &str, kind: LayerKind, fan_in: u32, fan_out: u32) -> usize {
        let built = &mut self.built;
        let (p, b) = (built.parameters.len(), built.buffers.len());
        built.layers.push(Layer { name: name.to_owned(), kind, fan_in, fan_out, parameters: p..p, buffers: b..b });
        built.layers.len() - 1
    }

    fn parameter(&mut self, layer: usize, part: &str, role: Role, shape: &[u32], start: Start) {
        let name = format!("{}.{part}", self.built.layers[layer].name);
        self.push(layer, name, role, shape, start);
    }

    fn push(&mut self, layer: usize, name: String, role: Role, shape: &[u32], start: Start) {
        let built = &mut self.built;
        let offset = built.theta_len();
        let len = shape.iter().map(|&d| d as usize).product();
        built.parameters.push(Parameter { name, shape: shape.to_vec(), offset, len, layer, role, start });
        built.layers[layer].parameters.end += 1;
    }

    fn buffer(&mut self, layer: usize, part: &str, len: u32, initial: f32) {
        let built = &mut self.built;
        let offset = built.buffers_len();
        let name = format!("{}.{part}", built.layers[layer].name);
        built.buffers.push(Buffer { name, shape: vec![len], offset, len: len as usize, layer, initial });
        built.layers[layer].buffers.end += 1;
    }
}
