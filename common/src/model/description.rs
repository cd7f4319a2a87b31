//! What a description holds, and the builder that the architectures are written with.

use std::collections::BTreeSet;
use std::ops::Range;

/// A model over one parameter vector theta [P] and one buffer vector [B].
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The architecture's name.
    pub architecture: &'static str,
    /// Shape of one image: channels, height, width.
    pub input: [u32; 3],
    /// Number of classes: the logits are [N, classes].
    pub classes: u32,
    /// Parameters in theta's order, which is `PyTorch`'s `parameters()` order, one after another without gaps.
    pub parameters: Vec<Parameter>,
    /// Buffers in their vector's order.
    pub buffers: Vec<Buffer>,
    /// Layers with parameters, from input to output, each a range of theta.
    pub layers: Vec<Layer>,
    /// Named sets of parameters beside single layers.
    pub groups: Vec<Group>,
    /// Names of groups or layers that part the network from bottom to top: each parameter lies in exactly one.
    pub blocks: Vec<String>,
    /// The graph, in an order in which it can be computed. Node 0 is the input; the last gives the logits.
    pub nodes: Vec<Node>,
}

/// Which part of its layer a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weight of a linear or convolution layer, or batch norm's factor.
    Weight,
    /// Bias, or batch norm's shift.
    Bias,
}

/// One tensor of theta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `PyTorch`'s name: `conv1.weight`.
    pub name: String,
    /// Shape.
    pub shape: Vec<u32>,
    /// Where it begins in theta.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// Index of its layer.
    pub layer: usize,
    /// Which part of the layer it is.
    pub role: Role,
}

/// One tensor of the buffer vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// `PyTorch`'s name: `bn1.running_mean`.
    pub name: String,
    /// Shape.
    pub shape: Vec<u32>,
    /// Where it begins in the buffer vector.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// Index of its layer.
    pub layer: usize,
    /// Value before training: 0 for a mean, 1 for a variance.
    pub initial: f32,
}

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// x W^T + b.
    Linear,
    /// Two-dimensional cross-correlation.
    Conv2d,
    /// Normalisation over the batch, height and width; epsilon 1e-5, momentum 0.1.
    BatchNorm2d,
}

impl LayerKind {
    /// As in `kind:` groups.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Conv2d => "conv",
            Self::BatchNorm2d => "batch-norm",
        }
    }
}

/// A named range of theta: all parameters of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `PyTorch`'s module name: `layer1.0.conv1`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Inputs of one output unit: in_features, or in_channels x kernel height x kernel width. 1 for batch norm.
    pub fan_in: u32,
    /// Outputs that one input reaches: out_features, or out_channels x kernel height x kernel width. 1 for batch norm.
    pub fan_out: u32,
    /// Indices of its parameters.
    pub parameters: Range<usize>,
    /// Indices of its buffers.
    pub buffers: Range<usize>,
}

/// A named set of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `stem`, `stage:1`, `head`, `kind:conv`, `kernel:3`, ...
    pub name: String,
    /// Indices of its parameters, ascending.
    pub parameters: Vec<usize>,
}

/// Names the output of a node: its index.
pub type ValueId = usize;

/// One operation. Shapes are [N, C, H, W] before `Flatten` and [N, F] after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The images, normalised.
    Input,
    /// [N, C, H, W] to [N, C x H x W].
    Flatten,
    /// A linear layer, by index.
    Linear {
        /// Index of the layer.
        layer: usize,
    },
    /// A convolution layer.
    Conv2d {
        /// Index of the layer.
        layer: usize,
        /// Stride in both directions.
        stride: u32,
        /// Zero padding on all sides.
        padding: u32,
    },
    /// A batch-norm layer.
    BatchNorm2d {
        /// Index of the layer.
        layer: usize,
    },
    /// max(x, 0).
    Relu,
    /// Maximum over windows of `kernel` x `kernel` at the same stride.
    MaxPool2d {
        /// Side of the window.
        kernel: u32,
    },
    /// Mean over height and width: [N, C, H, W] to [N, C].
    GlobalAvgPool,
    /// Option-A shortcut: every second row and column, then `pad` zero channels before and after.
    SubsampleAndPad {
        /// Zero channels on either side.
        pad: u32,
    },
    /// Sum of two values.
    Add,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Of what: none for `Input`, two for `Add`, one for all else. Each is smaller than the node's own index.
    pub inputs: Vec<ValueId>,
}

impl Description {
    /// Length of theta.
    pub fn theta_len(&self) -> usize {
        self.parameters.last().map_or(0, |p| p.offset + p.len)
    }

    /// Length of the buffer vector.
    pub fn buffers_len(&self) -> usize {
        self.buffers.last().map_or(0, |b| b.offset + b.len)
    }

    /// Side of a convolution's kernel; `None` for other layers.
    pub fn kernel(&self, layer: &Layer) -> Option<u32> {
        let weight = self.parameters[layer.parameters.clone()].first();
        weight.filter(|_| layer.kind == LayerKind::Conv2d).and_then(|weight| weight.shape.last().copied())
    }

    /// True when the model has batch norm.
    pub fn has_batch_norm(&self) -> bool {
        self.layers.iter().any(|l| l.kind == LayerKind::BatchNorm2d)
    }

    /// The layer of that name.
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|l| l.name == name)
    }

    /// Indices of the parameters of the layer or group of that name, ascending.
    pub fn named(&self, name: &str) -> Option<Vec<usize>> {
        let layer = || self.layer(name).map(|layer| layer.parameters.clone().collect());
        layer().or_else(|| self.groups.iter().find(|g| g.name == name).map(|g| g.parameters.clone()))
    }

    /// The range of theta that `layer` occupies.
    pub fn layer_range(&self, layer: &Layer) -> Range<usize> {
        let parameters = &self.parameters[layer.parameters.clone()];
        match (parameters.first(), parameters.last()) {
            (Some(first), Some(last)) => first.offset..last.offset + last.len,
            _ => 0..0,
        }
    }
}

/// Builds a description from input to output.
#[derive(Debug)]
pub struct Builder {
    built: Description,
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

    /// Adds a linear layer with bias.
    pub fn linear(&mut self, name: &str, x: ValueId, fan_in: u32, fan_out: u32) -> ValueId {
        let layer = self.begin_layer(name, LayerKind::Linear, fan_in, fan_out);
        self.parameter(layer, "weight", Role::Weight, &[fan_out, fan_in]);
        self.parameter(layer, "bias", Role::Bias, &[fan_out]);
        self.op(Op::Linear { layer }, &[x])
    }

    /// Adds a square convolution of `[out, in, kernel, kernel]`.
    pub fn conv2d(
        &mut self,
        name: &str,
        x: ValueId,
        shape: [u32; 3],
        stride: u32,
        padding: u32,
        bias: bool,
    ) -> ValueId {
        let [out, in_, kernel] = shape;
        let area = kernel * kernel;
        let layer = self.begin_layer(name, LayerKind::Conv2d, in_ * area, out * area);
        self.parameter(layer, "weight", Role::Weight, &[out, in_, kernel, kernel]);
        if bias {
            self.parameter(layer, "bias", Role::Bias, &[out]);
        }
        self.op(Op::Conv2d { layer, stride, padding }, &[x])
    }

    /// Adds batch norm over `channels`.
    pub fn batch_norm(&mut self, name: &str, x: ValueId, channels: u32) -> ValueId {
        let layer = self.begin_layer(name, LayerKind::BatchNorm2d, 1, 1);
        self.parameter(layer, "weight", Role::Weight, &[channels]);
        self.parameter(layer, "bias", Role::Bias, &[channels]);
        self.buffer(layer, "running_mean", channels, 0.0);
        self.buffer(layer, "running_var", channels, 1.0);
        self.op(Op::BatchNorm2d { layer }, &[x])
    }

    /// Names the parameters of all layers whose name `belongs`.
    pub fn group(&mut self, name: &str, belongs: impl Fn(&str) -> bool) {
        let layers = &self.built.layers;
        let parameters = (0..self.built.parameters.len())
            .filter(|&i| belongs(&layers[self.built.parameters[i].layer].name))
            .collect();
        self.built.groups.push(Group { name: name.to_owned(), parameters });
    }

    /// Says which groups or layers part the network from bottom to top. Without it each layer is a block.
    pub fn blocks(&mut self, names: impl IntoIterator<Item = String>) {
        self.built.blocks = names.into_iter().collect();
    }

    /// Adds the groups that every architecture has (`kind:conv`, `kind:linear`, `kind:batch-norm` where there are such
    /// layers, `kind:bias` for the biases of linear and convolution layers, `kernel:K` for the convolutions of K x K) and
    /// returns the description.
    pub fn finish(mut self) -> Description {
        for kind in [LayerKind::Conv2d, LayerKind::Linear, LayerKind::BatchNorm2d] {
            self.group_where(&format!("kind:{}", kind.name()), |layer, _| layer.kind == kind);
        }
        self.group_where("kind:bias", |layer, role| role == Role::Bias && layer.kind != LayerKind::BatchNorm2d);
        for kernel in self.kernels() {
            let side = |layer: &Layer| self.built.kernel(layer);
            let own: Vec<usize> = (0..self.built.parameters.len())
                .filter(|&i| side(&self.built.layers[self.built.parameters[i].layer]) == Some(kernel))
                .collect();
            self.built.groups.push(Group { name: format!("kernel:{kernel}"), parameters: own });
        }
        if self.built.blocks.is_empty() {
            self.built.blocks = self.built.layers.iter().map(|layer| layer.name.clone()).collect();
        }
        self.built
    }

    /// Sides of the convolutions' kernels, ascending.
    fn kernels(&self) -> BTreeSet<u32> {
        self.built.layers.iter().filter_map(|layer| self.built.kernel(layer)).collect()
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

    fn parameter(&mut self, layer: usize, part: &str, role: Role, shape: &[u32]) {
        let built = &mut self.built;
        let offset = built.theta_len();
        let len = shape.iter().map(|&d| d as usize).product();
        let name = format!("{}.{part}", built.layers[layer].name);
        built.parameters.push(Parameter { name, shape: shape.to_vec(), offset, len, layer, role });
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
