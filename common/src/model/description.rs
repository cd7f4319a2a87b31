//! What a description holds.

use std::ops::Range;

use super::activation::Activation;

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

/// A parameter's values before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// As the run's initialisation says for its layer and role, times `factor`.
    Scheme {
        /// Multiplies what is drawn.
        factor: f64,
    },
    /// All the same.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
}

impl Start {
    /// As the run's initialisation says.
    pub const SCHEME: Self = Self::Scheme { factor: 1.0 };
}

/// One tensor of theta.
#[derive(Debug, Clone, PartialEq)]
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
    /// Its values before training.
    pub start: Start,
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
    /// Normalisation over the batch, height and width.
    BatchNorm2d,
    /// Normalisation over the features of each token.
    LayerNorm,
    /// The projections of self-attention to queries, keys and values; that of its output is a linear layer.
    Attention,
    /// One learned number, added to or multiplied into everything.
    Scalar,
    /// A learned vector for a place in a sequence.
    Embedding,
}

impl LayerKind {
    /// Every kind, in the order of the `kind:` groups.
    pub const ALL: [Self; 7] = [
        Self::Conv2d,
        Self::Linear,
        Self::BatchNorm2d,
        Self::LayerNorm,
        Self::Attention,
        Self::Scalar,
        Self::Embedding,
    ];

    /// As in `kind:` groups.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Conv2d => "conv",
            Self::BatchNorm2d => "batch-norm",
            Self::LayerNorm => "layer-norm",
            Self::Attention => "attention",
            Self::Scalar => "scalar",
            Self::Embedding => "embedding",
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
    /// Inputs of one output unit: in_features, or in_channels x kernel height x kernel width (of
    /// one group). 1 for layers that draw nothing.
    pub fan_in: u32,
    /// Outputs that one input reaches: out_features, or out_channels x kernel height x kernel width. 1 for
    /// layers that draw nothing.
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

/// One operation. Shapes are [N, C, H, W] before `Flatten` and [N, F] after it; between `Tokens` and `FirstToken` they are
/// [N, S, F] with S tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
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
        /// Groups of channels that do not see each other; as many as channels for a depthwise convolution.
        groups: u32,
    },
    /// Zero rows above and below, zero columns left and right.
    ZeroPad {
        /// Above, below.
        rows: [u32; 2],
        /// Left, right.
        columns: [u32; 2],
    },
    /// A batch-norm layer.
    BatchNorm2d {
        /// Index of the layer.
        layer: usize,
        /// Added to the variance before its root is taken.
        eps: f64,
        /// Weight of a training batch's statistics in the running ones.
        momentum: f64,
    },
    /// A function of each number.
    Activate(Activation),
    /// While training each number is 0 with probability `p`, else divided by 1 - `p` (Srivastava et al. 2014); nothing
    /// otherwise.
    Dropout {
        /// 0 to 1, 1 excluded.
        p: f64,
    },
    /// Maximum over windows of `kernel` x `kernel`; what is padded is never the maximum.
    MaxPool2d {
        /// Side of the window.
        kernel: u32,
        /// From window to window.
        stride: u32,
        /// On all sides, at most half of `kernel`.
        padding: u32,
    },
    /// Mean over `side` x `side` parts that cover the image and are as equal as can be.
    AdaptiveAvgPool {
        /// Height and width of the result.
        side: u32,
    },
    /// Mean over height and width: [N, C, H, W] to [N, C].
    GlobalAvgPool,
    /// Option-A shortcut: every second row and column, then zero channels before and after.
    SubsampleAndPad {
        /// Zero channels before and after.
        pad: [u32; 2],
    },
    /// Sum of two values.
    Add,
    /// Plus the layer's one number.
    AddScalar {
        /// Index of the layer.
        layer: usize,
    },
    /// Times the layer's one number.
    MulScalar {
        /// Index of the layer.
        layer: usize,
    },
    /// [N, F, H, W] to [N, H x W, F].
    Tokens,
    /// The layer's token before all others: [N, S, F] to [N, S + 1, F].
    PrependToken {
        /// Index of the layer.
        layer: usize,
    },
    /// Plus the layer's vector for each place of the sequence.
    AddEmbedding {
        /// Index of the layer.
        layer: usize,
    },
    /// A layer-norm layer.
    LayerNorm {
        /// Index of the layer.
        layer: usize,
        /// Added to the variance before its root is taken.
        eps: f64,
    },
    /// Scaled dot-product self-attention of several heads between the projections of its input and of its output, from
    /// queries, keys and values [N, S, 3 F] to [N, S, F] (Vaswani et al. 2017, section 3.2).
    Attention {
        /// Number of heads, a divisor of F.
        heads: u32,
    },
    /// [N, S, F] to [N, F].
    FirstToken,
}

impl Op {
    /// Index of the layer whose parameters it reads.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Linear { layer }
            | Self::Conv2d { layer, .. }
            | Self::BatchNorm2d { layer, .. }
            | Self::AddScalar { layer }
            | Self::MulScalar { layer }
            | Self::PrependToken { layer }
            | Self::AddEmbedding { layer }
            | Self::LayerNorm { layer, .. } => Some(layer),
            Self::Input
            | Self::Flatten
            | Self::ZeroPad { .. }
            | Self::Activate(_)
            | Self::Dropout { .. }
            | Self::MaxPool2d { .. }
            | Self::AdaptiveAvgPool { .. }
            | Self::GlobalAvgPool
            | Self::SubsampleAndPad { .. }
            | Self::Add
            | Self::Tokens
            | Self::Attention { .. }
            | Self::FirstToken => None,
        }
    }
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq)]
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
