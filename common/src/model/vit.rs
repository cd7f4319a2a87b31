//! `vit`: the vision transformer (Dosovitskiy et al. 2021, section 3.1) with torchvision's names: class_token, conv_proj,
//! encoder.pos_embedding, encoder.layers.encoder_layer_0.ln_1, ..., heads.head.
//!
//! As in torchvision the class token begins at 0, position embeddings as normal numbers of deviation 0.02, and attention's
//! biases at 0; everything else begins as the run's initialisation says.

use serde::{Deserialize, Serialize};

use super::ShapeError;
use super::activation::Activation;
use super::builder::{Builder, Conv};
use super::description::{Description, LayerKind, Op, Start, ValueId};

/// Options of `vit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vit {
    /// Height and width of a patch; the image is parted into whole ones.
    pub patch: u32,
    /// Numbers of a token, a multiple of `heads`.
    pub dim: u32,
    /// Encoder layers.
    pub depth: u32,
    /// Attention heads of a layer.
    pub heads: u32,
    /// Units of a layer's hidden layer for each number of a token.
    pub mlp_ratio: u32,
    /// Share of the numbers that are dropped while training: after the embedding, after attention, and in the hidden
    /// layers.
    pub dropout: f64,
}

impl Default for Vit {
    fn default() -> Self {
        Self { patch: 4, dim: 192, depth: 6, heads: 3, mlp_ratio: 4, dropout: 0.0 }
    }
}

/// torchvision's.
const LAYER_NORM_EPS: f64 = 1e-6;

pub(super) fn describe(options: &Vit, input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
    let &Vit { patch, dim, depth, heads, .. } = options;
    let [channels, height, width] = input;
    let refused = |reason| ShapeError { architecture: "vit", input, reason };
    if height % patch != 0 || width % patch != 0 {
        return Err(refused(format!("patches of {patch}x{patch} do not part it")));
    }
    if dim % heads != 0 {
        return Err(refused(format!("its tokens of {dim} numbers cannot be shared by {heads} heads")));
    }
    let mut b = Builder::new("vit", input, classes);
    let class_token = b.tensor("class_token", LayerKind::Embedding, &[1, 1, dim], Start::Constant(0.0));
    let mut x = b.conv2d("conv_proj", 0, Conv::new(channels, dim, patch).stride(patch).bias(true));
    x = b.op(Op::Tokens, &[x]);
    x = b.op(Op::PrependToken { layer: class_token }, &[x]);
    let tokens = (height / patch) * (width / patch) + 1;
    let shape = [1, tokens, dim];
    let positions = b.tensor("encoder.pos_embedding", LayerKind::Embedding, &shape, Start::Normal(0.02));
    x = b.op(Op::AddEmbedding { layer: positions }, &[x]);
    x = b.dropout(options.dropout, x);
    let name = |i: u32| format!("encoder.layers.encoder_layer_{i}");
    for i in 0..depth {
        x = encoder_layer(&mut b, options, &name(i), x);
    }
    x = b.layer_norm("encoder.ln", x, dim, LAYER_NORM_EPS);
    x = b.op(Op::FirstToken, &[x]);
    b.linear("heads.head", x, dim, classes);
    b.group("stem", |layer| ["class_token", "conv_proj", "encoder.pos_embedding"].contains(&layer));
    for i in 0..depth {
        let prefix = name(i) + ".";
        b.group(&format!("stage:{}", i + 1), |layer| layer.starts_with(&prefix));
    }
    b.group("head", |layer| ["encoder.ln", "heads.head"].contains(&layer));
    b.part_by_groups();
    Ok(b.finish())
}

/// Attention on normalised tokens, then a network of two layers on normalised tokens, each added to its input.
fn encoder_layer(b: &mut Builder, options: &Vit, name: &str, x: ValueId) -> ValueId {
    let &Vit { dim, heads, mlp_ratio, dropout, .. } = options;
    let mut y = b.layer_norm(&format!("{name}.ln_1"), x, dim, LAYER_NORM_EPS);
    y = b.attention(&format!("{name}.self_attention"), y, dim, heads);
    y = b.dropout(dropout, y);
    let x = b.op(Op::Add, &[y, x]);
    y = b.layer_norm(&format!("{name}.ln_2"), x, dim, LAYER_NORM_EPS);
    y = b.linear(&format!("{name}.mlp.0"), y, dim, dim * mlp_ratio);
    y = b.activate(Activation::Gelu, y);
    y = b.dropout(dropout, y);
    y = b.linear(&format!("{name}.mlp.3"), y, dim * mlp_ratio, dim);
    y = b.dropout(dropout, y);
    b.op(Op::Add, &[x, y])
}
