//! Canonical forms: what names a run and a line, what changes that name and what does not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use transect_common::data::{Augment, Corruption, DataSet, DataSpec, Spirals, Split};
use transect_common::digest::ArtifactDigest;
use transect_common::line::{BatchNorm, Elsewhere, LineSpec, Measure, Normalize};
use transect_common::model::{Activation, CifarNorm, CifarResnet, Mlp, ModelSpec, Resnet, ResnetNorm, Stem, Vgg, Vit};
use transect_common::refine::Refine;
use transect_common::run::{
    InitScheme, InitSpec, LayerRecipe, LayerStart, Optimizer, Origin, Precision, RunSpec, Schedule, Seeds, Source,
    StopRule, Tag, TrainSpec,
};

fn plain() -> RunSpec {
    let model = ModelSpec::from_name("mlp").unwrap();
    let origin = Origin::Trained { init: InitSpec::default(), train: TrainSpec::new(0, Optimizer::sgd()) };
    RunSpec { data: DataSpec::new(DataSet::Mnist), model, origin }
}

/// A run with no setting of the first version at its default.
fn full() -> RunSpec {
    let data = DataSpec {
        set: DataSet::Cifar10,
        train_size: Some(1000),
        test_size: Some(500),
        label_noise: 0.25,
        partial: true,
        mean: Some(vec![0.5, 0.25, 0.125]),
        std: Some(vec![0.5, 0.25, 0.125]),
        augment: Augment { flip: true, crop: 4 },
        ..DataSpec::new(DataSet::Cifar10)
    };
    let optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
    let train = TrainSpec {
        seed: 3.into(),
        optimizer,
        schedule: Schedule::Step { every: 30, factor: 0.2 },
        warmup_epochs: 0.5,
        epochs: 90,
        batch_size: 64,
        keep: BTreeSet::from([Tag::last(), Tag::init(), Tag::epoch(10), Tag::epoch(9)]),
        ..TrainSpec::new(3, optimizer)
    };
    let init = InitSpec { scheme: InitScheme::KaimingNormal, scale: 2.0, layers: vec![] };
    RunSpec { data, model: ModelSpec::mlp([10]), origin: Origin::Trained { init, train } }
}

fn imported() -> RunSpec {
    let checkpoints = [Tag::init(), Tag::last(), "seed".parse().unwrap()];
    let checkpoints = checkpoints.map(|tag| (tag.clone(), ArtifactDigest::of(tag.as_str().as_bytes())));
    let origin = Origin::Imported { checkpoints: checkpoints.into() };
    RunSpec { data: DataSpec::new(DataSet::Cifar10), model: ModelSpec::resnet20(), origin }
}

fn line() -> LineSpec {
    LineSpec::new("all", vec![0.0, 0.5, 1.0], vec![Split::Train, Split::Test])
}

#[test]
fn digests_are_pinned() {
    // These name what is stored: when one changes, everything that was ever trained is trained again.
    assert_eq!(plain().digest().as_str(), "89b9f2aab5c4050f941bb74d34b4177b2dbd1a210a22b6ff80407f2fcec3b74a");
    assert_eq!(full().digest().as_str(), "0c12ee42af2a0599c903b536d52f73ef281e5385a5ff7e563fecfbad1dbf9a1b");
    assert_eq!(imported().digest().as_str(), "b355a1fe06a58f12ecc1b89b59e8d1d6e7c29754949053d4f2cbde9416121e4d");
    assert_eq!(line().digest().as_str(), "fc3e56aced3700cf2aa16b8c0db857afdbebd254e738a9f256cedeac4b8ca41e");
}

#[test]
fn a_canonical_form_has_sorted_keys_and_no_defaults() {
    let plain_text = r#"{"data":{"set":"mnist"},"model":{"architecture":"mlp"},"origin":{"trained":{"train":{"optimizer":{"name":"sgd"},"seed":0}}}}"#;
    assert_eq!(plain().canonical(), plain_text);
    let full_text = concat!(
        r#"{"data":{"augment":{"crop":4,"flip":true},"label_noise":0.25,"mean":[0.5,0.25,0.125],"partial":true,"#,
        r#""set":"cifar10","std":[0.5,0.25,0.125],"test_size":500,"train_size":1000},"#,
        r#""model":{"architecture":"mlp","widths":[10]},"origin":{"trained":{"init":{"scale":2.0,"scheme":"kaiming-normal"},"#,
        r#""train":{"batch_size":64,"epochs":90,"keep":["init","epoch-9","epoch-10","final"],"#,
        r#""optimizer":{"lr":0.5,"momentum":0.9,"name":"sgd","nesterov":true,"weight_decay":0.0005},"#,
        r#""schedule":{"every":30,"factor":0.2,"name":"step"},"seed":3,"warmup_epochs":0.5}}}}"#,
    );
    assert_eq!(full().canonical(), full_text);
    assert_eq!(line().canonical(), r#"{"alphas":[0.0,0.5,1.0],"mask":"all","splits":["train","test"]}"#);
    let refined = LineSpec { refine: Some(Refine { budget: 20, tolerance: 0.01 }), ..line() };
    let refined_text = concat!(
        r#"{"alphas":[0.0,0.5,1.0],"mask":"all","refine":{"budget":20,"tolerance":0.01},"#,
        r#""splits":["train","test"]}"#
    );
    assert_eq!(refined.canonical(), refined_text);
}

#[test]
fn kinds_at_their_defaults_are_named_and_nothing_more() {
    let train = |spec: &RunSpec| spec.canonical().split(r#""train":"#).nth(1).unwrap().to_owned();
    let adamw = with_train(plain(), |train| train.optimizer = Optimizer::from_name("adamw").unwrap());
    assert_eq!(train(&adamw), r#"{"optimizer":{"name":"adamw"},"seed":0}}}}"#);
    let cosine = with_train(plain(), |train| train.schedule = Schedule::Cosine { floor: 0.0 });
    assert_eq!(train(&cosine), r#"{"optimizer":{"name":"sgd"},"schedule":{"name":"cosine"},"seed":0}}}}"#);
    let step = with_train(plain(), |train| train.schedule = Schedule::Step { every: 1, factor: 0.1 });
    assert_eq!(train(&step), r#"{"optimizer":{"name":"sgd"},"schedule":{"every":1,"name":"step"},"seed":0}}}}"#);
    let none_kept = with_train(plain(), |train| train.keep = BTreeSet::new());
    assert_eq!(train(&none_kept), r#"{"keep":[],"optimizer":{"name":"sgd"},"seed":0}}}}"#);
    let linear = RunSpec { model: ModelSpec::mlp([]), ..plain() };
    assert!(linear.canonical().contains(r#""model":{"architecture":"mlp","widths":[]}"#));
    let crop = with_data(plain(), |data| data.augment.crop = 2);
    assert!(crop.canonical().contains(r#""data":{"augment":{"crop":2},"set":"mnist"}"#));
    let scaled = with_origin(plain(), |init, _| init.scale = 0.5);
    assert!(scaled.canonical().contains(r#""trained":{"init":{"scale":0.5},"train""#));
}

#[test]
fn options_of_a_model_at_their_defaults_are_left_out() {
    for name in ModelSpec::NAMES {
        let run = RunSpec { model: ModelSpec::from_name(name).unwrap(), ..plain() };
        assert!(run.canonical().contains(&format!(r#""model":{{"architecture":"{name}"}}"#)), "{}", run.canonical());
    }
    let cifar = ModelSpec::Resnet18(Resnet { stem: Stem::Cifar, ..Resnet::default() });
    let text = RunSpec { model: cifar, ..plain() }.canonical();
    assert!(text.contains(r#""model":{"architecture":"resnet18","stem":"cifar"}"#), "{text}");
}

#[test]
fn what_only_repeats_the_data_set_is_no_other_data() {
    let repeated = with_data(plain(), |data| {
        data.train_size = Some(60_000);
        data.test_size = Some(10_000);
        data.mean = Some(vec![0.1307]);
        data.std = Some(vec![0.3081]);
    });
    assert_eq!(repeated.digest(), plain().digest());
    assert_eq!(repeated.canonicalised(), plain());
}

fn folder() -> DataSpec {
    DataSpec {
        folder: Some("flowers".into()),
        shape: Some([3, 8, 8]),
        classes: Some(5),
        ..DataSpec::new(DataSet::ImageFolder)
    }
}

fn data_text(data: DataSpec) -> String {
    let text = RunSpec { data, ..plain() }.canonical();
    text.strip_prefix(r#"{"data":"#).unwrap().split(r#","model""#).next().unwrap().to_owned()
}

#[test]
fn settings_of_another_set_are_no_other_data() {
    let spirals = Spirals { classes: 3, turns: 2.0, noise: 0.5, seed: 7 };
    let strange = with_data(plain(), |data| *data = DataSpec { set: DataSet::Mnist, spirals, ..folder() });
    assert_eq!(strange.digest(), plain().digest());
    assert_eq!(strange.canonicalised(), plain());
    let partial = DataSpec { partial: true, balanced: true, train_size: Some(9), ..DataSpec::new(DataSet::Spirals) };
    assert_eq!(data_text(partial), r#"{"set":"spirals","train_size":9}"#);
}

#[test]
fn each_setting_of_spirals_and_folders_names_other_data() {
    let changes: [fn(&mut Spirals); 4] = [|s| s.classes = 3, |s| s.turns = 2.0, |s| s.noise = 0.5, |s| s.seed = 7];
    let spirals = changes.map(|change| {
        let mut data = DataSpec::new(DataSet::Spirals);
        change(&mut data.spirals);
        data_text(data)
    });
    assert_eq!(spirals[0], r#"{"set":"spirals","spirals":{"classes":3}}"#);
    assert_eq!(spirals[3], r#"{"set":"spirals","spirals":{"seed":7}}"#);
    assert_eq!(BTreeSet::from(spirals).len(), 4);
    let more = DataSpec { train_size: Some(3000), test_size: Some(2000), ..DataSpec::new(DataSet::Spirals) };
    assert_eq!(data_text(more), r#"{"set":"spirals","train_size":3000}"#);

    assert_eq!(data_text(folder()), r#"{"classes":5,"folder":"flowers","set":"image-folder","shape":[3,8,8]}"#);
    let repeated = DataSpec { mean: Some(vec![0.5; 3]), std: Some(vec![0.5; 3]), partial: true, ..folder() };
    assert_eq!(data_text(repeated), data_text(folder()));
    let changes: [fn(&mut DataSpec); 4] = [
        |d| d.folder = Some("trees".into()),
        |d| d.shape = Some([3, 8, 9]),
        |d| d.classes = Some(6),
        |d| d.content = Some("0".repeat(64)),
    ];
    let others = changes.map(|change| {
        let mut data = folder();
        change(&mut data);
        data_text(data)
    });
    assert_eq!(others.into_iter().chain([data_text(folder())]).collect::<BTreeSet<_>>().len(), 5);
}

#[test]
fn a_corruption_is_written_without_its_default_seed_and_none_not_at_all() {
    let text = |corruption| data_text(DataSpec { corruption, ..DataSpec::new(DataSet::Mnist) });
    assert_eq!(text(Corruption::None), r#"{"set":"mnist"}"#);
    assert_eq!(text(Corruption::PixelShuffle { seed: 0 }), r#"{"corruption":{"name":"pixel-shuffle"},"set":"mnist"}"#);
    let noise = text(Corruption::GaussianNoise { level: 0.5, seed: 3 });
    assert_eq!(noise, r#"{"corruption":{"level":0.5,"name":"gaussian-noise","seed":3},"set":"mnist"}"#);
}

fn with_data(mut spec: RunSpec, change: impl FnOnce(&mut DataSpec)) -> RunSpec {
    change(&mut spec.data);
    spec
}

fn with_origin(mut spec: RunSpec, change: impl FnOnce(&mut InitSpec, &mut TrainSpec)) -> RunSpec {
    if let Origin::Trained { init, train } = &mut spec.origin {
        change(init, train);
    }
    spec
}

fn with_train(spec: RunSpec, change: impl FnOnce(&mut TrainSpec)) -> RunSpec {
    with_origin(spec, |_, train| change(train))
}

/// `spec` and every run that differs from it in one setting. Without `..`, so that a new field has to be added here.
fn start(mask: &str, source: Source) -> LayerStart {
    LayerStart { mask: mask.into(), source }
}

fn barrier(alpha: f64) -> Source {
    Source::Point { run: plain().digest(), from: Tag::init(), to: Tag::last(), alpha }
}

fn layer(mask: &str, change: fn(&mut LayerRecipe)) -> LayerRecipe {
    let mut recipe = LayerRecipe {
        mask: mask.into(),
        lr: None,
        weight_decay: None,
        momentum: None,
        optimizer: None,
        frozen: false,
        frozen_until: None,
    };
    change(&mut recipe);
    recipe
}

/// One change to each setting of the data.
fn data_changes() -> [fn(&mut DataSpec); 19] {
    [
        |d| (d.train_size, d.balanced) = (Some(500), true),
        |d| d.corruption = Corruption::GaussianNoise { level: 0.77, seed: 0 },
        |d| d.corruption = Corruption::GaussianNoise { level: 0.7, seed: 0 },
        |d| d.corruption = Corruption::GaussianNoise { level: 0.77, seed: 7 },
        |d| d.corruption = Corruption::Blur { sigma: 0.77 },
        |d| d.corruption = Corruption::PixelShuffle { seed: 0 },
        |d| d.corruption = Corruption::PixelShuffle { seed: 7 },
        |d| d.corruption = Corruption::BlockShuffle { blocks: 2, seed: 0 },
        |d| d.corruption = Corruption::BlockShuffle { blocks: 4, seed: 7 },
        |d| d.set = DataSet::FashionMnist,
        |d| d.train_size = Some(77),
        |d| d.test_size = Some(77),
        |d| d.label_noise = 0.77,
        |d| d.partial = !d.partial,
        |d| d.mean = Some(vec![0.77]),
        |d| d.std = Some(vec![0.77]),
        |d| d.augment.flip = !d.augment.flip,
        |d| d.augment.crop = 7,
        |d| d.label_noise = 0.770_000_000_000_000_1,
    ]
}

#[expect(clippy::too_many_lines, reason = "one line for each setting")]
fn neighbours(spec: &RunSpec) -> Vec<RunSpec> {
    let RunSpec { data, model: _, origin } = spec.clone();
    // `spirals` and the four settings of image folders are other sets': see `settings_of_another_set_are_no_other_data`.
    let DataSpec {
        set: _, train_size: _, test_size: _, balanced: _, label_noise: _, corruption: _, partial: _, ..
    } = data;
    let DataSpec { mean: _, std: _, augment, spirals: _, folder: _, shape: _, classes: _, content: _, .. } = data;
    let Augment { flip: _, crop: _ } = augment;
    let Origin::Trained { init: InitSpec { scheme: _, scale: _, layers: _ }, train } = origin else {
        panic!("a trained run is expected");
    };
    // Whoever adds a setting adds its change below.
    let TrainSpec {
        seed: _,
        optimizer: _,
        schedule: _,
        warmup_epochs: _,
        epochs: _,
        batch_size: _,
        label_smoothing: _,
        clip_norm: _,
        precision: _,
        stop: _,
        layers: _,
        keep: _,
    } = train;

    let train_changes: [fn(&mut InitSpec, &mut TrainSpec); 57] = [
        |i, _| i.scheme = InitScheme::KaimingUniform,
        |i, _| i.scheme = InitScheme::XavierUniform,
        |i, _| i.scheme = InitScheme::XavierNormal,
        |i, _| i.scale = 0.77,
        |i, _| i.scheme = InitScheme::LecunNormal,
        |i, _| i.scheme = InitScheme::LecunUniform,
        |i, _| i.scheme = InitScheme::Orthogonal,
        |i, _| i.scheme = InitScheme::Constant,
        |i, _| i.layers = vec![start("all", Source::Random { seed: 7 })],
        |i, _| i.layers = vec![start("head", Source::Random { seed: 7 })],
        |i, _| i.layers = vec![start("all", Source::Random { seed: 8 })],
        |i, _| i.layers = vec![start("all", Source::Artifact { artifact: ArtifactDigest::of(b"a") })],
        |i, _| i.layers = vec![start("all", Source::Checkpoint { run: plain().digest(), tag: Tag::last() })],
        |i, _| i.layers = vec![start("all", Source::Checkpoint { run: plain().digest(), tag: Tag::init() })],
        |i, _| i.layers = vec![start("all", barrier(0.5))],
        |i, _| i.layers = vec![start("all", barrier(0.25))],
        |_, t| t.seed = 77.into(),
        |_, t| t.seed = u64::MAX.into(),
        |_, t| t.seed = Seeds { init: 77, ..t.seed },
        |_, t| t.seed = Seeds { order: 77, ..t.seed },
        |_, t| t.seed = Seeds { augment: 77, ..t.seed },
        |_, t| t.seed = Seeds { labels: 77, ..t.seed },
        |_, t| t.label_smoothing = 0.1,
        |_, t| t.clip_norm = Some(1.0),
        |_, t| t.precision = Precision::Bfloat16,
        |_, t| t.stop = Some(StopRule { accuracy: Some(0.99), loss: None }),
        |_, t| t.stop = Some(StopRule { accuracy: None, loss: Some(0.01) }),
        |_, t| t.layers = vec![layer("fc1", |l| l.lr = Some(0.3))],
        |_, t| t.layers = vec![layer("fc1", |l| l.weight_decay = Some(0.3))],
        |_, t| t.layers = vec![layer("fc1", |l| l.momentum = Some(0.3))],
        |_, t| t.layers = vec![layer("fc1", |l| l.optimizer = Some(Optimizer::sgd()))],
        |_, t| t.layers = vec![layer("fc1", |l| l.frozen = true)],
        |_, t| t.layers = vec![layer("fc1", |l| l.frozen_until = Some(3))],
        |_, t| t.warmup_epochs = 0.77,
        |_, t| t.epochs = 77,
        |_, t| t.batch_size = 77,
        |_, t| t.keep = BTreeSet::from([Tag::epoch(7)]),
        |_, t| t.schedule = Schedule::Cosine { floor: 0.0 },
        |_, t| t.schedule = Schedule::Cosine { floor: 0.77 },
        |_, t| t.schedule = Schedule::Step { every: 77, factor: 0.1 },
        |_, t| t.schedule = Schedule::Step { every: 30, factor: 0.77 },
        |_, t| t.schedule = Schedule::Milestones { epochs: vec![30], factor: 0.2 },
        |_, t| t.schedule = Schedule::Milestones { epochs: vec![30, 60], factor: 0.1 },
        |_, t| t.schedule = Schedule::Cyclic { period: 2.0, floor: 0.0 },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.77, momentum: 0.9, weight_decay: 5e-4, nesterov: true },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.77, weight_decay: 5e-4, nesterov: true },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 0.77, nesterov: true },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 5e-4, nesterov: false },
        |_, t| t.optimizer = Optimizer::from_name("adamw").unwrap(),
        |_, t| t.optimizer = Optimizer::from_name("adam").unwrap(),
        |_, t| t.optimizer = Optimizer::from_name("rmsprop").unwrap(),
        |_, t| t.optimizer = Optimizer::from_name("sam").unwrap(),
        |_, t| t.optimizer = Optimizer::Sam { lr: 0.1, rho: 0.77, momentum: 0.0, weight_decay: 0.0 },
        |_, t| {
            let (lr, alpha, eps, momentum, weight_decay) = (0.01, 0.77, 1e-8, 0.0, 0.0);
            t.optimizer = Optimizer::Rmsprop { lr, alpha, eps, momentum, weight_decay };
        },
        |_, t| t.optimizer = Optimizer::Adamw { lr: 0.77, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2 },
        |_, t| t.optimizer = Optimizer::Adamw { lr: 1e-3, beta1: 0.77, beta2: 0.77, eps: 1e-8, weight_decay: 1e-2 },
        |_, t| t.optimizer = Optimizer::Adamw { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 0.77, weight_decay: 0.77 },
    ];
    let models = [
        ModelSpec::lenet5(),
        ModelSpec::resnet20(),
        ModelSpec::mlp([]),
        ModelSpec::mlp([7, 7]),
        ModelSpec::Mlp(Mlp { activation: Activation::Tanh, ..Mlp::default() }),
        ModelSpec::Mlp(Mlp { batch_norm: true, ..Mlp::default() }),
        ModelSpec::Mlp(Mlp { dropout: 0.77, ..Mlp::default() }),
        ModelSpec::Resnet20(CifarResnet { norm: CifarNorm::Fixup, ..CifarResnet::default() }),
        ModelSpec::Resnet56(CifarResnet { zero_gamma: true, ..CifarResnet::default() }),
        ModelSpec::Resnet18(Resnet::default()),
        ModelSpec::Resnet18(Resnet { stem: Stem::Cifar, ..Resnet::default() }),
        ModelSpec::Resnet50(Resnet { width: 7, norm: ResnetNorm::None, ..Resnet::default() }),
        ModelSpec::Vgg11(Vgg { units: 7, pool: 1, ..Vgg::default() }),
        ModelSpec::Vit(Vit { depth: 7, ..Vit::default() }),
    ];
    let mut all = vec![spec.clone()];
    all.extend(data_changes().iter().map(|change| with_data(spec.clone(), change)));
    all.extend(train_changes.iter().map(|change| with_origin(spec.clone(), change)));
    all.extend(models.into_iter().map(|model| RunSpec { model, ..spec.clone() }));
    all
}

#[test]
fn every_setting_of_a_run_changes_its_digest() {
    for spec in [plain(), full()] {
        let neighbours = neighbours(&spec);
        let digests: BTreeSet<_> = neighbours.iter().map(RunSpec::digest).collect();
        assert_eq!(digests.len(), neighbours.len());
        for neighbour in neighbours {
            let read = RunSpec::from_canonical(&neighbour.canonical()).unwrap();
            assert_eq!(read, neighbour);
        }
    }
    let one_less = Origin::Imported { checkpoints: BTreeMap::from([(Tag::init(), ArtifactDigest::of(b"init"))]) };
    let other_bytes = Origin::Imported { checkpoints: BTreeMap::from([(Tag::init(), ArtifactDigest::of(b"other"))]) };
    let none = Origin::Imported { checkpoints: BTreeMap::new() };
    let specs = [one_less, other_bytes, none].map(|origin| RunSpec { origin, ..imported() });
    let digests: BTreeSet<_> = specs.iter().chain([&imported(), &plain()]).map(RunSpec::digest).collect();
    assert_eq!(digests.len(), 5);
    for spec in specs.into_iter().chain([imported()]) {
        assert_eq!(RunSpec::from_canonical(&spec.canonical()).unwrap(), spec);
    }
}

#[test]
fn every_setting_of_a_line_changes_its_digest() {
    // Whoever adds a setting adds its change below.
    let LineSpec {
        from: _,
        to: _,
        mask: _,
        hold: _,
        alphas: _,
        batch_norm: _,
        splits: _,
        subset: _,
        batch_size: _,
        elsewhere: _,
        align: _,
        normalize: _,
        measures: _,
        refine: _,
    } = line();
    let changes: [fn(&mut LineSpec); 23] = [
        |_| {},
        |l| l.from = Tag::epoch(1),
        |l| l.to = Tag::epoch(1),
        |l| l.mask = "fc1".into(),
        |l| l.hold = Tag::init(),
        |l| l.alphas = vec![0.0, 0.25, 1.0],
        |l| l.alphas = vec![0.0, 1.0],
        |l| l.batch_norm = BatchNorm::None,
        |l| l.batch_norm = BatchNorm::Batch,
        |l| l.batch_norm = BatchNorm::Recalibrate,
        |l| l.splits = vec![Split::Test],
        |l| l.subset = Some(10),
        |l| l.batch_size = 10,
        |l| l.elsewhere = Some(Elsewhere::Run { run: plain().digest() }),
        |l| l.elsewhere = Some(Elsewhere::Run { run: full().digest() }),
        |l| l.elsewhere = Some(Elsewhere::Init { seed: 7 }),
        |l| l.align = true,
        |l| l.normalize = Normalize::Filter,
        |l| l.measures = BTreeSet::from([Measure::Ensemble]),
        |l| l.measures = BTreeSet::from([Measure::GaussLength]),
        |l| l.refine = Some(Refine { budget: 20, tolerance: 0.01 }),
        |l| l.refine = Some(Refine { budget: 21, tolerance: 0.01 }),
        |l| l.refine = Some(Refine { budget: 20, tolerance: 0.02 }),
    ];
    let lines = changes.map(|change| {
        let mut line = line();
        change(&mut line);
        line
    });
    let digests: BTreeSet<_> = lines.iter().map(LineSpec::digest).collect();
    assert_eq!(digests.len(), lines.len());
    for line in lines {
        assert_eq!(LineSpec::from_canonical(&line.canonical()).unwrap(), line);
    }
}

#[test]
fn a_form_with_an_unknown_setting_is_refused() {
    let known = plain().canonical();
    for (from, to) in [
        (r#""set""#, r#""sett":1,"set""#),
        (r#""seed""#, r#""sead":1,"seed""#),
        (r#""name":"sgd""#, r#""name":"sgd","beta1":0.5"#),
        (r#""architecture":"mlp""#, r#""architecture":"mlp","depth":1"#),
        (r#""trained""#, r#""found""#),
    ] {
        let error = RunSpec::from_canonical(&known.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.starts_with("not the canonical form of a run: "), "{error}");
    }
    assert!(LineSpec::from_canonical("{}").unwrap_err().to_string().starts_with("not the canonical form of a line: "));
}

#[test]
fn tags_are_in_the_order_of_training() {
    let mut tags: Vec<Tag> = ["final", "swa", "epoch-10", "init", "step-100", "epoch-9", "best", "step-20"]
        .iter()
        .map(|t| t.parse().unwrap())
        .collect();
    tags.sort();
    let names: Vec<_> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(names, ["init", "step-20", "step-100", "epoch-9", "epoch-10", "final", "best", "swa"]);
    for wrong in ["", "a b", "ä", "a/b", &"a".repeat(65)] {
        assert!(wrong.parse::<Tag>().is_err(), "{wrong}");
    }
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.1), Just(0.0), 0.0..1.0, Just(1e-300), Just(5e-4), Just(1.0 / 3.0)]
}

prop_compose! {
    fn any_optimizer()(sgd in any::<bool>(), n in prop::collection::vec(any_number(), 5), flag in any::<bool>()) -> Optimizer {
        if sgd {
            Optimizer::Sgd { lr: n[0], momentum: n[1], weight_decay: n[2], nesterov: flag }
        } else {
            Optimizer::Adamw { lr: n[0], beta1: n[1], beta2: n[2], eps: n[3], weight_decay: n[4] }
        }
    }
}

prop_compose! {
    fn any_seeds()(init in 0..3u64, order in 0..3u64, augment in 0..3u64, labels in 0..3u64) -> Seeds {
        Seeds { init, order, augment, labels }
    }
}

prop_compose! {
    fn any_train()(
        seed in prop_oneof![any::<u64>().prop_map(Seeds::from), any_seeds()],
        optimizer in any_optimizer(),
        schedule in prop_oneof![
            Just(Schedule::Constant),
            (1..100u32, any_number()).prop_map(|(every, factor)| Schedule::Step { every, factor }),
            any_number().prop_map(|floor| Schedule::Cosine { floor }),
        ],
        warmup_epochs in any_number(),
        epochs in prop_oneof![Just(10u32), 1..100u32],
        batch_size in prop_oneof![Just(128u32), 1..1000u32],
        keep in prop::collection::btree_set(prop_oneof![Just(Tag::init()), Just(Tag::last()), (1..9u32).prop_map(Tag::epoch)], 0..4),
    ) -> TrainSpec {
        TrainSpec { schedule, warmup_epochs, epochs, batch_size, keep, ..TrainSpec::new(seed, optimizer) }
    }
}

fn any_corruption() -> impl Strategy<Value = Corruption> {
    let seed = || prop_oneof![Just(0), any::<u64>()];
    prop_oneof![
        Just(Corruption::None),
        (any_number(), seed()).prop_map(|(level, seed)| Corruption::GaussianNoise { level, seed }),
        any_number().prop_map(|sigma| Corruption::Blur { sigma }),
        seed().prop_map(|seed| Corruption::PixelShuffle { seed }),
        (2..5u32, seed()).prop_map(|(blocks, seed)| Corruption::BlockShuffle { blocks, seed }),
    ]
}

prop_compose! {
    fn any_run()(
        set in prop::sample::select(DataSet::ALL.to_vec()),
        sizes in (prop::option::of(1..70_000u32), prop::option::of(1..20_000u32)),
        label_noise in any_number(),
        partial in any::<bool>(),
        mean in prop::option::of(prop::collection::vec(any_number(), 1..4)),
        std in prop::option::of(prop::collection::vec(any_number(), 1..4)),
        augment in (any::<bool>(), 0..17u32),
        balanced in any::<bool>(),
        corruption in any_corruption(),
        spirals in (2..5u32, prop_oneof![Just(0), any::<u64>()]),
        model in prop_oneof![
            Just(ModelSpec::lenet5()),
            Just(ModelSpec::resnet20()),
            prop::collection::vec(1..400u32, 0..4).prop_map(ModelSpec::mlp),
            Just(ModelSpec::mlp([300, 100])),
        ],
        scheme in prop::sample::select(vec![InitScheme::Pytorch, InitScheme::KaimingNormal]),
        scale in prop_oneof![Just(1.0), 0.1..3.0],
        train in any_train(),
    ) -> RunSpec {
        let (train_size, test_size) = sizes;
        let augment = Augment { flip: augment.0, crop: augment.1 };
        let data =
            DataSpec { train_size, test_size, label_noise, partial, mean, std, augment, ..DataSpec::new(set) };
        let spirals = Spirals { classes: spirals.0, seed: spirals.1, ..Spirals::default() };
        let data = DataSpec { balanced, corruption, spirals, ..data };
        RunSpec { data, model, origin: Origin::Trained { init: InitSpec { scheme, scale, layers: vec![] }, train } }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_form_is_read_back(run in any_run()) {
        let text = run.canonical();
        let read = RunSpec::from_canonical(&text).unwrap();
        prop_assert_eq!(read.canonical(), text);
        prop_assert_eq!(read.digest(), run.digest());
        prop_assert_eq!(read, run.canonicalised());
    }

    #[test]
    fn runs_have_one_digest_exactly_when_they_are_one(a in any_run(), b in any_run()) {
        prop_assert_eq!(a.digest() == b.digest(), a.canonicalised() == b.canonicalised());
    }
}
