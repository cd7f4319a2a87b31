//! The state before training: the scheme's draw, in which layers are replaced by what they start from elsewhere.

use std::fmt;
use std::ops::Range;

use tch::Tensor;
use transect_common::checkpoint::{Checkpoint, CheckpointError};
use transect_common::digest::RunDigest;
use transect_common::mask::Mask;
use transect_common::model::Description;
use transect_common::run::{InitSpec, Source, Tag};

use super::named::Named;
use super::{TrainError, initial};
use crate::sources::Sources;

/// What some layers are to start from does not fit them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A file is not one of named tensors, or one of its numbers cannot be used.
    #[error("init.layers: `{mask}` cannot start from {source_name}: {error}")]
    File {
        /// The layers, as written.
        mask: String,
        /// What was read.
        source_name: String,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// Tensors are missing or have another shape.
    #[error(
        "init.layers: `{mask}` cannot start from {source_name}: {}; {}",
        misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        advice(misfits, *some_fit)
    )]
    Misfits {
        /// The layers, as written.
        mask: String,
        /// What was read.
        source_name: String,
        /// All that do not fit, at least one.
        misfits: Vec<Misfit>,
        /// False when none of the layers' tensors fits.
        some_fit: bool,
    },
}

/// A tensor that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its name.
    pub name: String,
    /// Its layer.
    pub layer: String,
    /// Its shape in the file, if it is there.
    pub found: Option<Vec<usize>>,
    /// Its shape in the model.
    pub expected: Vec<usize>,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, layer, found, expected } = self;
        match found {
            Some(found) => write!(f, "{name} of layer {layer} is {found:?} there and {expected:?} here"),
            None => write!(f, "{name} of layer {layer} is not there"),
        }
    }
}

fn advice(misfits: &[Misfit], some_fit: bool) -> String {
    if !some_fit {
        return "nothing fits: it is a file of another architecture".to_owned();
    }
    let mut layers: Vec<String> = vec![];
    for misfit in misfits {
        let layer = format!("\"{}\"", misfit.layer);
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    format!("set skip = [{}] in this source, so that these layers start otherwise", layers.join(", "))
}

/// The state of a model before training: drawn by the scheme, then replaced by what `init.layers` says, one entry after
/// another. An entry takes the parameters that its mask names, and the buffers of layers that it takes whole; nothing
/// else changes.
///
/// # Errors
/// When a mask names nothing, or a source is not there or does not fit.
pub fn start(model: &Description, init: &InitSpec, seed: u64, sources: &Sources) -> Result<Checkpoint, TrainError> {
    let mut state = initial(model, init, seed);
    for layers in &init.layers {
        let mask = Mask::resolve(&layers.mask, model).map_err(|error| TrainError::mask("init.layers", error))?;
        let taken = Taken { model, mask: &mask };
        let read = |run: &RunDigest, tag: &Tag| {
            taken.of(&sources.checkpoint(run, tag)?, &format!("checkpoint `{tag}` of run {}", run.short()))
        };
        let from = match &layers.source {
            Source::Random { seed } => initial(model, init, *seed),
            Source::Checkpoint { run, tag } => read(run, tag)?,
            Source::Point { run, from, to, alpha } => taken.between(&read(run, from)?, &read(run, to)?, *alpha),
            Source::Artifact { artifact } => {
                taken.of(&sources.artifact(artifact)?, &format!("imported file {}", artifact.short()))?
            }
        };
        replace(&mut state.theta, &from.theta, &mask.theta_ranges(model));
        replace(&mut state.buffers, &from.buffers, &mask.buffer_ranges(model));
    }
    Ok(state)
}

fn replace(target: &mut [f32], from: &[f32], ranges: &[Range<usize>]) {
    for range in ranges {
        target[range.clone()].copy_from_slice(&from[range.clone()]);
    }
}

/// Layers that start elsewhere.
struct Taken<'t> {
    model: &'t Description,
    mask: &'t Mask,
}

/// A tensor of the model that is taken from a file.
struct Wanted<'t> {
    name: &'t str,
    layer: &'t str,
    shape: Vec<usize>,
    /// Its place in theta, or else in the buffers.
    range: Range<usize>,
    is_parameter: bool,
}

impl Taken<'_> {
    /// A whole state that holds what a file of named tensors brings where it is taken, and 0 elsewhere.
    fn of(&self, bytes: &[u8], source_name: &str) -> Result<Checkpoint, TrainError> {
        let mask = &self.mask.label;
        let unusable = |error| StartError::File { mask: mask.clone(), source_name: source_name.to_owned(), error };
        let file = Named::open(bytes).map_err(|error| Box::new(unusable(error)))?;
        let wanted = self.wanted();
        let misfits: Vec<Misfit> = wanted.iter().filter_map(|wanted| wanted.misfit(&file)).collect();
        if !misfits.is_empty() {
            let some_fit = misfits.len() < wanted.len();
            let (mask, source_name) = (mask.clone(), source_name.to_owned());
            return Err(Box::new(StartError::Misfits { mask, source_name, misfits, some_fit }).into());
        }
        let mut state =
            Checkpoint { theta: vec![0.0; self.model.theta_len()], buffers: vec![0.0; self.model.buffers_len()] };
        for Wanted { name, range, is_parameter, .. } in wanted {
            let target = if is_parameter { &mut state.theta } else { &mut state.buffers };
            file.copy(name, &mut target[range]).map_err(|error| Box::new(unusable(error)))?;
        }
        Ok(state)
    }

    /// (1 - alpha) from + alpha to, where it is taken. In the same stretches and by the same operation as a line of this
    /// mask is measured with, so that it is the very point that was measured.
    fn between(&self, from: &Checkpoint, to: &Checkpoint, alpha: f64) -> Checkpoint {
        let mut between = from.clone();
        let lerp = |target: &mut [f32], from: &[f32], to: &[f32]| {
            let point = Tensor::from_slice(from).lerp(&Tensor::from_slice(to), alpha);
            point.copy_data(target, target.len());
        };
        for range in self.mask.theta_ranges(self.model) {
            lerp(&mut between.theta[range.clone()], &from.theta[range.clone()], &to.theta[range]);
        }
        for range in self.mask.buffer_ranges(self.model) {
            lerp(&mut between.buffers[range.clone()], &from.buffers[range.clone()], &to.buffers[range]);
        }
        between
    }

    fn wanted(&self) -> Vec<Wanted<'_>> {
        let model = self.model;
        let shape = |shape: &[u32]| shape.iter().map(|&d| d as usize).collect();
        let parameters = self.mask.parameters.iter().map(|&index| {
            let p = &model.parameters[index];
            let (layer, range) = (&model.layers[p.layer].name, p.offset..p.offset + p.len);
            Wanted { name: &p.name, layer, shape: shape(&p.shape), range, is_parameter: true }
        });
        let ranges = self.mask.buffer_ranges(model);
        let is_taken = |at: usize| ranges.iter().any(|taken| taken.contains(&at));
        let buffers = model.buffers.iter().filter(move |b| is_taken(b.offset)).map(move |b| {
            let (layer, range) = (&model.layers[b.layer].name, b.offset..b.offset + b.len);
            Wanted { name: &b.name, layer, shape: shape(&b.shape), range, is_parameter: false }
        });
        parameters.chain(buffers).collect()
    }
}

impl Wanted<'_> {
    fn misfit(&self, file: &Named) -> Option<Misfit> {
        let found = file.shape(self.name);
        let (name, layer) = (self.name.to_owned(), self.layer.to_owned());
        (found.as_ref() != Some(&self.shape)).then(|| Misfit { name, layer, found, expected: self.shape.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use tch::Device;
    use transect_common::checkpoint::encode;
    use transect_common::digest::ArtifactDigest;
    use transect_common::line::LineSpec;
    use transect_common::model::ModelSpec;
    use transect_common::run::LayerStart;

    use super::*;
    use crate::data::{Data, Images};
    use crate::nn::Model;
    use crate::probe::{Ends, Line, LineTask, Subject};
    use crate::sources::SourceError;

    fn describe(name: &str, classes: u32) -> Description {
        let spec = ModelSpec::from_name(name).unwrap();
        spec.describe(spec.usual_input(), classes).unwrap()
    }

    fn init(layers: &[(&str, Source)]) -> InitSpec {
        let start = |(mask, source): &(&str, Source)| LayerStart { mask: (*mask).into(), source: source.clone() };
        InitSpec { layers: layers.iter().map(start).collect(), ..InitSpec::default() }
    }

    /// A state whose buffers differ from those before training.
    fn trained(model: &Description, seed: u64) -> Checkpoint {
        let mut state = initial(model, &InitSpec::default(), seed);
        state.buffers.iter_mut().zip(0u16..).for_each(|(b, i)| *b += f32::from(i) * 0.01 + seed as f32);
        state
    }

    fn run() -> RunDigest {
        RunDigest::of(b"another run")
    }

    /// Files in a folder of their own, as checkpoints of `run()`; dropped with the folder.
    struct Files(tempfile::TempDir, Sources);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), Sources::default())
        }

        fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }

        fn with(mut self, tag: &Tag, bytes: &[u8]) -> Self {
            let path = self.write(tag.as_str(), bytes);
            self.1.checkpoints.insert((run(), tag.clone()), path);
            self
        }
    }

    fn checkpoint(tag: Tag) -> Source {
        Source::Checkpoint { run: run(), tag }
    }

    /// True for each value of theta and of the buffers that lies in the mask.
    fn inside(model: &Description, mask: &str) -> [Vec<bool>; 2] {
        let mask = Mask::resolve(mask, model).unwrap();
        let within =
            |len: usize, ranges: Vec<Range<usize>>| (0..len).map(|i| ranges.iter().any(|r| r.contains(&i))).collect();
        [within(model.theta_len(), mask.theta_ranges(model)), within(model.buffers_len(), mask.buffer_ranges(model))]
    }

    /// `state` is `there` in the mask and `here` elsewhere, to the bit.
    #[track_caller]
    fn assert_taken(model: &Description, mask: &str, state: &Checkpoint, there: &Checkpoint, here: &Checkpoint) {
        let [theta, buffers] = inside(model, mask);
        let pick = |inside: &[bool], there: &[f32], here: &[f32]| -> Vec<f32> {
            inside
                .iter()
                .zip(there.iter().zip(here))
                .map(|(&is_in, (&there, &here))| if is_in { there } else { here })
                .collect()
        };
        assert!(state.theta == pick(&theta, &there.theta, &here.theta), "theta");
        assert!(state.buffers == pick(&buffers, &there.buffers, &here.buffers), "buffers");
    }

    #[test]
    fn layers_start_from_a_checkpoint_and_nothing_else_changes() {
        let model = describe("resnet20", 10);
        let (plain, there) = (initial(&model, &InitSpec::default(), 1), trained(&model, 9));
        let files = Files::new().with(&Tag::last(), &encode(&model, &there));
        for mask in ["all", "stem", "all-but:linear", "first:2", "bn1.weight", "*.bias"] {
            let state = start(&model, &init(&[(mask, checkpoint(Tag::last()))]), 1, &files.1).unwrap();
            assert_taken(&model, mask, &state, &there, &plain);
        }
    }

    #[test]
    fn a_point_is_the_very_one_that_the_line_measures() {
        let model = describe("resnet20", 10);
        let (from, to) = (trained(&model, 2), trained(&model, 3));
        let files = Files::new().with(&Tag::init(), &encode(&model, &from)).with(&Tag::last(), &encode(&model, &to));
        let checkpoints = [(Tag::init(), from), (Tag::last(), to)].into();
        let network = Model::new(model.clone(), Device::Cpu);
        let nothing = Images { pixels: vec![0; 3072], labels: vec![0], shape: [3, 32, 32] };
        let data = Data::new(&nothing, &nothing, &[0.0; 3], &[1.0; 3], Device::Cpu);
        let (init_spec, sources) = (InitSpec::default(), Sources::default());
        let subject =
            Subject { model: &network, data: &data, init: &init_spec, checkpoints: &checkpoints, sources: &sources };
        for alpha in [0.0, 0.3, 0.7, 1.0, 1.5] {
            for mask in ["all", "layer2.0.conv1"] {
                let source = Source::Point { run: run(), from: Tag::init(), to: Tag::last(), alpha };
                let state = start(&model, &init(&[(mask, source)]), 1, &files.1).unwrap();
                let spec = LineSpec { hold: Tag::init(), ..LineSpec::new(mask, vec![alpha], vec![]) };
                let ends = Ends::new(&subject, &[LineTask::new(spec.clone())]).unwrap();
                let line = Line::new(&spec, &model, &ends).unwrap();
                let values = |vector: Tensor| Vec::<f32>::try_from(vector).unwrap();
                let there = Checkpoint { theta: values(line.theta(alpha)), buffers: values(line.buffers(alpha)) };
                assert_taken(&model, mask, &state, &there, &initial(&model, &InitSpec::default(), 1));
            }
        }
    }

    #[test]
    fn another_seed_draws_by_the_same_scheme_and_the_later_entry_counts() {
        let model = describe("lenet5", 10);
        let entries = init(&[("all", Source::Random { seed: 5 }), ("fc3", Source::Random { seed: 6 })]);
        let state = start(&model, &InitSpec { scale: 2.0, ..entries }, 1, &Sources::default()).unwrap();
        let drawn = |seed| initial(&model, &InitSpec { scale: 2.0, ..InitSpec::default() }, seed);
        assert_taken(&model, "fc3", &state, &drawn(6), &drawn(5));
    }

    #[test]
    fn a_file_may_hold_more_than_is_taken() {
        let model = describe("resnet20", 10);
        let there = trained(&describe("resnet20", 100), 4);
        let bytes = encode(&describe("resnet20", 100), &there);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let count = 7_i64.to_le_bytes();
        let counter = TensorView::new(Dtype::I64, vec![], &count).unwrap();
        let mut tensors = file.tensors();
        tensors.push(("bn1.num_batches_tracked".into(), counter));
        let bytes = safetensors::serialize(tensors, None).unwrap();
        let mut files = Files::new();
        let artifact = ArtifactDigest::of(&bytes);
        let path = files.write("imported", &bytes);
        files.1.artifacts.insert(artifact.clone(), path);
        let source = Source::Artifact { artifact };
        let state = start(&model, &init(&[("all-but:linear", source.clone())]), 1, &files.1).unwrap();
        let plain = initial(&model, &InitSpec::default(), 1);
        // The head is the last in the vector, so all before it lies at the same places.
        assert_taken(&model, "all-but:linear", &state, &there, &plain);
        let error = start(&model, &init(&[("all", source)]), 1, &files.1).unwrap_err().to_string();
        let short = ArtifactDigest::of(&bytes);
        let expected = format!(
            "init.layers: `all` cannot start from imported file {}: linear.weight of layer linear is [100, 64] there and \
             [10, 64] here; linear.bias of layer linear is [100] there and [10] here; set skip = [\"linear\"] in this \
             source, so that these layers start otherwise",
            short.short()
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_layers() {
        let model = describe("resnet20", 10);
        let files =
            Files::new().with(&Tag::last(), &encode(&describe("lenet5", 10), &trained(&describe("lenet5", 10), 1)));
        let error = start(&model, &init(&[("bn1", checkpoint(Tag::last()))]), 1, &files.1).unwrap_err().to_string();
        for said in
            ["bn1.weight of layer bn1 is not there", "bn1.running_var of layer bn1 is not there", "nothing fits"]
        {
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_told_apart() {
        let model = describe("lenet5", 10);
        let entry = init(&[("fc1", checkpoint(Tag::last()))]);
        let error = start(&model, &entry, 1, &Sources::default()).unwrap_err();
        assert!(matches!(error, TrainError::Source(SourceError::Absent(_))), "{error:?}");
        let mut files = Files::new();
        files.1.checkpoints.insert((run(), Tag::last()), files.0.path().join("nowhere"));
        let error = start(&model, &entry, 1, &files.1).unwrap_err();
        assert!(matches!(error, TrainError::Source(SourceError::Unreadable { .. })), "{error:?}");
        let files = Files::new().with(&Tag::last(), b"not tensors");
        let error = start(&model, &entry, 1, &files.1).unwrap_err().to_string();
        let begins =
            format!("init.layers: `fc1` cannot start from checkpoint `final` of run {}: not a readable", run().short());
        assert!(error.starts_with(&begins), "{error}");
        let mut bad = trained(&model, 1);
        bad.theta.fill(f32::NAN);
        let files = Files::new().with(&Tag::last(), &encode(&model, &bad));
        let error = start(&model, &entry, 1, &files.1).unwrap_err().to_string();
        assert!(error.contains("tensor `fc1.weight` holds NaN at element 0"), "{error}");
        let error = start(&model, &init(&[("fc9", checkpoint(Tag::last()))]), 1, &files.1).unwrap_err().to_string();
        assert!(error.starts_with("init.layers: `fc9` matches no layer of lenet5"), "{error}");
    }
}
