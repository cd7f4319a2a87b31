//! Canonical forms: what names a run and a line, what changes that name and what does not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use transect_common::data::{Augment, DataSet, DataSpec, Split};
use transect_common::digest::ArtifactDigest;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::{Activation, CifarNorm, CifarResnet, Mlp, ModelSpec, Resnet, ResnetNorm, Stem, Vgg, Vit};
use transect_common::run::{InitScheme, InitSpec, Optimizer, Origin, RunSpec, Schedule, Tag, TrainSpec};

fn plain() -> RunSpec {
    let model = ModelSpec::from_name("mlp").unwrap();
    let origin = Origin::Trained { init: InitSpec::default(), train: TrainSpec::new(0, Optimizer::sgd()) };
    RunSpec { data: DataSpec::new(DataSet::Mnist), model, origin }
}

/// A run with no setting at its default.
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
    };
    let optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
    let train = TrainSpec {
        seed: 3,
        optimizer,
        schedule: Schedule::Step { every: 30, factor: 0.2 },
        warmup_epochs: 0.5,
        epochs: 90,
        batch_size: 64,
        keep: BTreeSet::from([Tag::last(), Tag::init(), Tag::epoch(10), Tag::epoch(9)]),
    };
    let init = InitSpec { scheme: InitScheme::KaimingNormal, scale: 2.0 };
    RunSpec { data, model: ModelSpec::mlp([10]), origin: Origin::Trained { init, train } }
}

fn imported() -> RunSpec {
    let checkpoints = [Tag::init(), Tag::last(), "seed".parse().unwrap()];
    let checkpoints = checkpoints.map(|tag| (tag.clone(), ArtifactDigest::of(tag.as_str().as_bytes())));
    let origin = Origin::Imported { checkpoints: checkpoints.into() };
    RunSpec { data: DataSpec::new(DataSet::Cifar10), model: ModelSpec::resnet20(), origin }
}

fn line() -> LineSpec {
    LineSpec {
        from: Tag::init(),
        to: Tag::last(),
        mask: "all".into(),
        hold: Tag::last(),
        alphas: vec![0.0, 0.5, 1.0],
        batch_norm: BatchNorm::Interpolate,
        splits: vec![Split::Train, Split::Test],
        subset: None,
        batch_size: 500,
    }
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
}

#[test]
fn kinds_at_their_defaults_are_named_and_nothing_more() {
    let train = |spec: &RunSpec| spec.canonical().split(r#""train":"#).nth(1).unwrap().to_owned();
    let adamw = with_train(plain(), |train| train.optimizer = Optimizer::adamw());
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
fn neighbours(spec: &RunSpec) -> Vec<RunSpec> {
    let RunSpec { data, model: _, origin } = spec.clone();
    let DataSpec { set: _, train_size: _, test_size: _, label_noise: _, partial: _, mean: _, std: _, augment } = data;
    let Augment { flip: _, crop: _ } = augment;
    let Origin::Trained { init: InitSpec { scheme: _, scale: _ }, train } = origin else {
        panic!("a trained run is expected");
    };
    let TrainSpec { seed: _, optimizer: _, schedule: _, warmup_epochs: _, epochs: _, batch_size: _, keep: _ } = train;

    let data_changes: [fn(&mut DataSpec); 10] = [
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
    ];
    let train_changes: [fn(&mut InitSpec, &mut TrainSpec); 22] = [
        |i, _| i.scheme = InitScheme::KaimingUniform,
        |i, _| i.scheme = InitScheme::XavierUniform,
        |i, _| i.scheme = InitScheme::XavierNormal,
        |i, _| i.scale = 0.77,
        |_, t| t.seed = 77,
        |_, t| t.seed = u64::MAX,
        |_, t| t.warmup_epochs = 0.77,
        |_, t| t.epochs = 77,
        |_, t| t.batch_size = 77,
        |_, t| t.keep = BTreeSet::from([Tag::epoch(7)]),
        |_, t| t.schedule = Schedule::Cosine { floor: 0.0 },
        |_, t| t.schedule = Schedule::Cosine { floor: 0.77 },
        |_, t| t.schedule = Schedule::Step { every: 77, factor: 0.1 },
        |_, t| t.schedule = Schedule::Step { every: 30, factor: 0.77 },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.77, momentum: 0.9, weight_decay: 5e-4, nesterov: true },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.77, weight_decay: 5e-4, nesterov: true },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 0.77, nesterov: true },
        |_, t| t.optimizer = Optimizer::Sgd { lr: 0.5, momentum: 0.9, weight_decay: 5e-4, nesterov: false },
        |_, t| t.optimizer = Optimizer::adamw(),
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
    all.extend(data_changes.iter().map(|change| with_data(spec.clone(), change)));
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
    let LineSpec { from: _, to: _, mask: _, hold: _, alphas: _, batch_norm: _, splits: _, subset: _, batch_size: _ } =
        line();
    let changes: [fn(&mut LineSpec); 13] = [
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
    let mut tags: Vec<Tag> =
        ["final", "swa", "epoch-10", "init", "epoch-9", "best"].iter().map(|t| t.parse().unwrap()).collect();
    tags.sort();
    let names: Vec<_> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(names, ["init", "epoch-9", "epoch-10", "final", "best", "swa"]);
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
    fn any_train()(
        seed in any::<u64>(),
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
        TrainSpec { seed, optimizer, schedule, warmup_epochs, epochs, batch_size, keep }
    }
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
        let data = DataSpec { set, train_size, test_size, label_noise, partial, mean, std, augment };
        RunSpec { data, model, origin: Origin::Trained { init: InitSpec { scheme, scale }, train } }
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
