//! Masks: which parameters move along a line.
//!
//! A mask is written as `all`; the name of a layer (`conv1`) or group (`stage:1`); `first:2` or `last:2`, blocks counted
//! from the input or from the output; a glob (`conv*`, `*.bias`) over the names of layers and of parameters; several of
//! these joined by `+`; or `all-but:` and any of these. Buffers of a batch-norm layer move when every parameter of that
//! layer moves.

use std::collections::BTreeSet;
use std::ops::Range;

use globset::GlobBuilder;

use crate::model::Description;

/// The resolved mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// As it was written.
    pub label: String,
    /// Indices of the parameters that move, ascending, at least one.
    pub parameters: Vec<usize>,
}

/// A mask that moves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// No layer, group or parameter matches.
    #[error(
        "`{label}` matches no layer of {architecture}. Its layers: {}. Its groups: {}. It has {blocks} blocks",
        layers.join(", "),
        groups.join(", ")
    )]
    NoMatch {
        /// The mask as written.
        label: String,
        /// The architecture.
        architecture: String,
        /// Names that would match.
        layers: Vec<String>,
        /// Groups that would match.
        groups: Vec<String>,
        /// Number of blocks, for `first:K` and `last:K`.
        blocks: usize,
    },
    /// Not a glob.
    #[error("`{label}` is not a pattern: {reason}")]
    Pattern {
        /// The mask as written.
        label: String,
        /// What is wrong.
        reason: String,
    },
}

impl Mask {
    /// The parameters of `model` that `label` names.
    pub fn resolve(label: &str, model: &Description) -> Result<Self, MaskError> {
        let parameters: Vec<usize> = match label.strip_prefix("all-but:") {
            Some(rest) => {
                let rest = union(rest, model)?;
                (0..model.parameters.len()).filter(|i| !rest.contains(i)).collect()
            }
            None => union(label, model)?.into_iter().collect(),
        };
        if parameters.is_empty() {
            return Err(no_match(label, model));
        }
        Ok(Self { label: label.to_owned(), parameters })
    }

    /// Ranges of theta that move, ascending, neighbours joined.
    pub fn theta_ranges(&self, model: &Description) -> Vec<Range<usize>> {
        joined(self.parameters.iter().map(|&i| {
            let p = &model.parameters[i];
            p.offset..p.offset + p.len
        }))
    }

    /// Ranges of the buffer vector that move, ascending, neighbours joined.
    pub fn buffer_ranges(&self, model: &Description) -> Vec<Range<usize>> {
        let moves = |i: &usize| self.parameters.binary_search(i).is_ok();
        let layers = model.layers.iter().filter(|l| l.parameters.clone().all(|i| moves(&i)));
        joined(layers.flat_map(|l| l.buffers.clone()).map(|i| {
            let b = &model.buffers[i];
            b.offset..b.offset + b.len
        }))
    }
}

/// The parameters of names joined by `+`, each of which must name some.
fn union(label: &str, model: &Description) -> Result<BTreeSet<usize>, MaskError> {
    let mut union = BTreeSet::new();
    for name in label.split('+').map(str::trim) {
        let parameters = named(name, model)?;
        if parameters.is_empty() {
            return Err(no_match(name, model));
        }
        union.extend(parameters);
    }
    Ok(union)
}

fn named(name: &str, model: &Description) -> Result<Vec<usize>, MaskError> {
    let count = |prefix| name.strip_prefix(prefix).and_then(|k| k.parse::<usize>().ok());
    let blocks = model.blocks.len();
    if name == "all" {
        Ok((0..model.parameters.len()).collect())
    } else if let Some(layer) = model.layer(name) {
        Ok(layer.parameters.clone().collect())
    } else if let Some(group) = model.groups.iter().find(|g| g.name == name) {
        Ok(group.parameters.clone())
    } else if let Some(k) = count("first:").filter(|k| (1..=blocks).contains(k)) {
        in_blocks(&model.blocks[..k], model)
    } else if let Some(k) = count("last:").filter(|k| (1..=blocks).contains(k)) {
        in_blocks(&model.blocks[blocks - k..], model)
    } else {
        matching(name, model)
    }
}

fn in_blocks(blocks: &[String], model: &Description) -> Result<Vec<usize>, MaskError> {
    blocks.iter().map(|block| named(block, model)).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
}

fn no_match(label: &str, model: &Description) -> MaskError {
    MaskError::NoMatch {
        label: label.to_owned(),
        architecture: model.architecture.to_owned(),
        layers: model.layers.iter().map(|l| l.name.clone()).collect(),
        groups: model.groups.iter().map(|g| g.name.clone()).collect(),
        blocks: model.blocks.len(),
    }
}

/// The glob's parameters: those it matches by name, and all of the layers that it matches.
fn matching(label: &str, model: &Description) -> Result<Vec<usize>, MaskError> {
    let glob = GlobBuilder::new(label)
        .build()
        .map_err(|e| MaskError::Pattern { label: label.to_owned(), reason: e.kind().to_string() })?
        .compile_matcher();
    Ok((0..model.parameters.len())
        .filter(|&i| {
            let parameter = &model.parameters[i];
            glob.is_match(&parameter.name) || glob.is_match(&model.layers[parameter.layer].name)
        })
        .collect())
}

fn joined(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = vec![];
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
mod tests {
    use super::*;
    use crate::model::ModelSpec;

    fn model(name: &str) -> Description {
        let spec = ModelSpec::from_name(name).unwrap();
        spec.describe(spec.usual_input(), 10).unwrap()
    }

    fn names(label: &str, model: &Description) -> Vec<String> {
        let mask = Mask::resolve(label, model).unwrap();
        mask.parameters.iter().map(|&i| model.parameters[i].name.clone()).collect()
    }

    #[test]
    fn layers_groups_and_globs_name_parameters() {
        let lenet = model("lenet5");
        assert_eq!(names("conv1", &lenet), ["conv1.weight", "conv1.bias"]);
        assert_eq!(names("conv1.weight", &lenet), ["conv1.weight"]);
        assert_eq!(names("fc[12]", &lenet), ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
        assert_eq!(names("*.bias", &lenet).len(), 5);
        assert_eq!(names("kind:bias", &lenet), names("*.bias", &lenet));
        assert_eq!(names("all", &lenet).len(), 10);
        assert_eq!(names("head", &lenet), ["fc3.weight", "fc3.bias"]);
    }

    #[test]
    fn masks_are_joined_counted_in_blocks_and_turned_round() {
        let lenet = model("lenet5");
        assert_eq!(names("fc3+conv1.bias", &lenet), ["conv1.bias", "fc3.weight", "fc3.bias"]);
        assert_eq!(names("first:2", &lenet), names("conv*", &lenet));
        assert_eq!(names("last:1", &lenet), names("head", &lenet));
        assert_eq!(names("all-but:first:1+fc3", &lenet), names("conv2+fc1+fc2", &lenet));
        let resnet = model("resnet20");
        assert_eq!(names("first:1", &resnet), names("stem", &resnet));
        assert_eq!(names("all-but:last:4", &resnet), names("stem", &resnet));
        assert_eq!(names("first:5", &resnet), names("all", &resnet));
        for wrong in ["first:0", "first:9", "fc1+fc9", "all-but:all", "all-but:fc9", ""] {
            assert!(Mask::resolve(wrong, &lenet).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mask_that_matches_nothing_lists_the_layers() {
        let error = Mask::resolve("conv9", &model("lenet5")).unwrap_err().to_string();
        assert!(error.contains("`conv9` matches no layer of lenet5"), "{error}");
        assert!(error.contains("conv1, conv2, fc1, fc2, fc3"), "{error}");
    }

    #[test]
    fn ranges_are_joined_and_buffers_move_with_their_whole_layer() {
        let resnet = model("resnet20");
        let all = Mask::resolve("all", &resnet).unwrap();
        assert_eq!(all.theta_ranges(&resnet), [0..resnet.theta_len()]);
        assert_eq!(all.buffer_ranges(&resnet), [0..resnet.buffers_len()]);
        let bias = Mask::resolve("bn1.bias", &resnet).unwrap();
        assert!(bias.buffer_ranges(&resnet).is_empty());
        let bn1 = Mask::resolve("bn1", &resnet).unwrap();
        assert_eq!(bn1.buffer_ranges(&resnet), [0..32]);
    }

    #[test]
    fn parameter_counts_are_the_known_ones() {
        assert_eq!(model("mlp").theta_len(), 266_610);
        assert_eq!(model("lenet5").theta_len(), 61_706);
        assert_eq!(model("resnet20").theta_len(), 269_722);
    }
}
