//! Every setting of a sweep file: its name, what it may hold, and within which bounds.

use crate::model::{Activation, ModelSpec};
use crate::run::Precision;

/// One setting of a table.
#[derive(Debug)]
pub(super) struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// What a setting holds.
#[derive(Debug)]
pub(super) enum Kind {
    /// One of some names. `what` says what they name.
    Choice { what: &'static str, of: &'static [&'static str] },
    /// The name of one of some variants of a table. `what` says what they are.
    Variant { what: &'static str, of: &'static [Variant] },
    /// A whole number within bounds.
    Whole { min: u64, max: u64 },
    /// A number in a domain.
    Number(Domain),
    /// `true` or `false`.
    Flag,
    /// Names a checkpoint of any run.
    Tag,
    /// Names a checkpoint that training makes.
    Moment,
    /// A mask as [`crate::mask`] reads it.
    Mask,
    /// A word of letters, digits, `-`, `_` and `.`.
    Name,
    /// Words as in `Name` with `/` between them, none of them `.` or `..`: a folder below the data folder.
    Path,
    /// A BLAKE3 digest: 64 hexadecimal digits.
    Digest,
    /// A list by nature, of at most `most` items; `distinct`: each at most once.
    List { of: &'static Kind, most: usize, distinct: bool },
    /// A table. With several variants, its `name` says which one.
    Table(&'static [Variant]),
}

/// One form of a table.
#[derive(Debug)]
pub(super) struct Variant {
    pub name: &'static str,
    pub settings: &'static [Setting],
}

/// Where a number may lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Domain {
    Finite,
    Positive,
    NotNegative,
    /// 0 to 1, both included.
    Share,
    /// 0 to 1, 1 excluded.
    BelowOne,
    /// 0 to 1, 0 excluded.
    UpToOne,
    /// 0 to 16, 0 excluded.
    UpTo16,
}

impl Domain {
    pub fn holds(self, x: f64) -> bool {
        x.is_finite()
            && match self {
                Self::Finite => true,
                Self::Positive => x > 0.0,
                Self::NotNegative => x >= 0.0,
                Self::Share => (0.0..=1.0).contains(&x),
                Self::BelowOne => (0.0..1.0).contains(&x),
                Self::UpToOne => x > 0.0 && x <= 1.0,
                Self::UpTo16 => x > 0.0 && x <= 16.0,
            }
    }

    /// Completes "must be ...".
    pub fn text(self) -> &'static str {
        match self {
            Self::Finite => "finite",
            Self::Positive => "above 0 and finite",
            Self::NotNegative => "at least 0 and finite",
            Self::Share => "from 0 to 1",
            Self::BelowOne => "at least 0 and below 1",
            Self::UpToOne => "above 0 and at most 1",
            Self::UpTo16 => "above 0 and at most 16",
        }
    }
}

impl Kind {
    /// Completes "must be ..." when something of another type was found.
    pub fn noun(&self) -> String {
        match self {
            Self::Choice { what, of } => format!("{what} ({})", of.join(", ")),
            Self::Variant { what, of } => format!("{what} ({})", variant_names(of).join(", ")),
            Self::Whole { .. } => "a whole number".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Tag | Self::Moment => "the name of a checkpoint, such as \"final\"".to_owned(),
            Self::Mask => "\"all\", \"each\", or the name or pattern of layers".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::Path => "a folder below the data folder, such as \"flowers/small\"".to_owned(),
            Self::Digest => "64 hexadecimal digits".to_owned(),
            Self::List { of, .. } => format!("a list, each item {}", of.noun()),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// The names of variants.
pub(super) fn variant_names(variants: &'static [Variant]) -> Vec<&'static str> {
    variants.iter().map(|variant| variant.name).collect()
}

const fn setting(name: &'static str, kind: Kind) -> Setting {
    Setting { name, kind, required: false }
}

const fn required(name: &'static str, kind: Kind) -> Setting {
    Setting { name, kind, required: true }
}

const fn number(name: &'static str, domain: Domain) -> Setting {
    setting(name, Kind::Number(domain))
}

const fn whole(name: &'static str, min: u64, max: u64) -> Setting {
    setting(name, Kind::Whole { min, max })
}

const IMAGES: u64 = u32::MAX as u64;
const LARGEST_BATCH: u64 = 65_536;
/// Seeds are kept in databases, whose integers are signed.
const LARGEST_SEED: u64 = i64::MAX as u64;

/// `[data]`.
pub(super) static DATA: [Setting; 15] = [
    required(
        "set",
        Kind::Choice {
            what: "a data set",
            of: &["mnist", "fashion-mnist", "cifar10", "cifar100", "spirals", "image-folder"],
        },
    ),
    whole("train_size", 1, IMAGES),
    whole("test_size", 1, IMAGES),
    setting("balanced", Kind::Flag),
    number("label_noise", Domain::Share),
    setting("corruption", Kind::Table(&CORRUPTIONS)),
    setting("partial", Kind::Flag),
    setting("mean", Kind::List { of: &Kind::Number(Domain::Finite), most: 16, distinct: false }),
    setting("std", Kind::List { of: &Kind::Number(Domain::Positive), most: 16, distinct: false }),
    setting("augment", Kind::Table(&[Variant { name: "", settings: &AUGMENT }])),
    setting("spirals", Kind::Table(&[Variant { name: "", settings: &SPIRALS }])),
    setting("folder", Kind::Path),
    setting("shape", Kind::List { of: &Kind::Whole { min: 1, max: 4096 }, most: 3, distinct: false }),
    whole("classes", 1, LARGEST_LABELS),
    setting("content", Kind::Digest),
];

/// Labels are bytes.
const LARGEST_LABELS: u64 = 256;

static CORRUPTIONS: [Variant; 5] = [
    Variant { name: "none", settings: &[] },
    Variant { name: "gaussian-noise", settings: &GAUSSIAN_NOISE },
    Variant { name: "blur", settings: &BLUR },
    Variant { name: "pixel-shuffle", settings: &PIXEL_SHUFFLE },
    Variant { name: "block-shuffle", settings: &BLOCK_SHUFFLE },
];

static GAUSSIAN_NOISE: [Setting; 2] =
    [required("level", Kind::Number(Domain::Positive)), whole("seed", 0, LARGEST_SEED)];

static BLUR: [Setting; 1] = [required("sigma", Kind::Number(Domain::UpTo16))];

static PIXEL_SHUFFLE: [Setting; 1] = [whole("seed", 0, LARGEST_SEED)];

static BLOCK_SHUFFLE: [Setting; 2] =
    [required("blocks", Kind::Whole { min: 2, max: 4096 }), whole("seed", 0, LARGEST_SEED)];

static SPIRALS: [Setting; 4] = [
    whole("classes", 2, LARGEST_LABELS),
    number("turns", Domain::Positive),
    number("noise", Domain::NotNegative),
    whole("seed", 0, LARGEST_SEED),
];

static AUGMENT: [Setting; 2] = [setting("flip", Kind::Flag), whole("crop", 0, 16)];

/// `[model]`, beside the options of each architecture.
pub(super) static ARCHITECTURE: Setting =
    required("architecture", Kind::Choice { what: "an architecture", of: &ModelSpec::NAMES });

const fn channels(name: &'static str) -> Setting {
    whole(name, 1, 1024)
}

const ACTIVATION: Setting = choice("activation", "an activation", &Activation::NAMES);
const DROPOUT: Setting = number("dropout", Domain::BelowOne);

const fn choice(name: &'static str, what: &'static str, of: &'static [&'static str]) -> Setting {
    setting(name, Kind::Choice { what, of })
}

static MLP: [Setting; 4] = [
    setting("widths", Kind::List { of: &Kind::Whole { min: 1, max: 65_536 }, most: 64, distinct: false }),
    ACTIVATION,
    setting("batch_norm", Kind::Flag),
    DROPOUT,
];
static SIMPLE: [Setting; 2] = [ACTIVATION, DROPOUT];
static CIFAR_RESNET: [Setting; 4] = [
    channels("width"),
    choice("norm", "a normalisation", &["batch", "none", "scale", "fixup"]),
    setting("zero_gamma", Kind::Flag),
    ACTIVATION,
];
static RESNET: [Setting; 5] = [
    choice("stem", "a stem", &["imagenet", "cifar"]),
    channels("width"),
    choice("norm", "a normalisation", &["batch", "none"]),
    setting("zero_gamma", Kind::Flag),
    ACTIVATION,
];
static VGG: [Setting; 6] = [
    channels("width"),
    whole("units", 1, 65_536),
    whole("pool", 1, 32),
    setting("batch_norm", Kind::Flag),
    DROPOUT,
    ACTIVATION,
];
static EFFICIENTNET: [Setting; 1] = [DROPOUT];
static VIT: [Setting; 6] = [
    whole("patch", 1, 64),
    whole("dim", 1, 8192),
    whole("depth", 1, 64),
    whole("heads", 1, 128),
    whole("mlp_ratio", 1, 16),
    DROPOUT,
];

/// `[model.NAME]`: the options of an architecture.
pub(super) fn options(architecture: &str) -> &'static [Setting] {
    match architecture {
        "mlp" => &MLP,
        "lenet5" | "simple-cnn" => &SIMPLE,
        "resnet20" | "resnet32" | "resnet44" | "resnet56" | "resnet110" => &CIFAR_RESNET,
        "resnet18" | "resnet34" | "resnet50" => &RESNET,
        "vgg11" | "vgg16" => &VGG,
        "efficientnet-lite0" => &EFFICIENTNET,
        "vit" => &VIT,
        _ => &[],
    }
}

/// `[init]`.
pub(super) static INIT: [Setting; 3] = [
    setting(
        "scheme",
        Kind::Choice {
            what: "an initialisation",
            of: &[
                "pytorch",
                "kaiming-uniform",
                "kaiming-normal",
                "xavier-uniform",
                "xavier-normal",
                "lecun-normal",
                "lecun-uniform",
                "orthogonal",
                "constant",
            ],
        },
    ),
    number("scale", Domain::Positive),
    whole("adversarial", 0, 100_000),
];

/// What `[init]` and `[train]` hold beside their settings.
pub(super) const INIT_TABLES: [&str; 2] = ["from", "layers"];
pub(super) const TRAIN_TABLES: [&str; 1] = ["layers"];

/// Where layers start elsewhere: `init.from`, and each of `[init.layers]`.
pub(super) static SOURCE: [Setting; 8] = [
    setting("case", Kind::Name),
    setting("with", Kind::Table(&[])),
    setting("import", Kind::Name),
    whole("seed", 0, LARGEST_SEED),
    setting("checkpoint", Kind::Tag),
    setting("between", Kind::List { of: &Kind::Tag, most: 2, distinct: true }),
    number("alpha", Domain::Finite),
    setting("skip", Kind::List { of: &Kind::Mask, most: 1000, distinct: true }),
];

/// Where a line ends, when not in the run itself.
pub(super) static TARGET: [Setting; 5] = [
    setting("case", Kind::Name),
    setting("with", Kind::Table(&[])),
    whole("seed", 0, LARGEST_SEED),
    whole("init", 0, LARGEST_SEED),
    setting("checkpoint", Kind::Tag),
];

/// `train.seed` as a table.
pub(super) static SEEDS: [Setting; 4] = [
    whole("init", 0, LARGEST_SEED),
    whole("order", 0, LARGEST_SEED),
    whole("augment", 0, LARGEST_SEED),
    whole("labels", 0, LARGEST_SEED),
];

/// One of `[train.layers]`.
pub(super) static LAYER_RECIPE: [Setting; 6] = [
    number("lr", Domain::Positive),
    number("weight_decay", Domain::NotNegative),
    number("momentum", Domain::BelowOne),
    setting("frozen", Kind::Flag),
    whole("frozen_until", 1, 100_000),
    setting("optimizer", Kind::Table(&OPTIMIZERS)),
];

/// `[train]`.
pub(super) static TRAIN: [Setting; 11] = [
    whole("seed", 0, LARGEST_SEED),
    setting("optimizer", Kind::Table(&OPTIMIZERS)),
    setting("schedule", Kind::Table(&SCHEDULES)),
    number("warmup_epochs", Domain::NotNegative),
    whole("epochs", 1, 100_000),
    whole("batch_size", 1, LARGEST_BATCH),
    number("label_smoothing", Domain::BelowOne),
    number("clip_norm", Domain::Positive),
    choice("precision", "a precision", &Precision::NAMES),
    setting("stop", Kind::Table(&[Variant { name: "", settings: &STOP }])),
    setting("keep", Kind::List { of: &Kind::Moment, most: 1000, distinct: true }),
];

static STOP: [Setting; 2] = [number("accuracy", Domain::Share), number("loss", Domain::NotNegative)];

static OPTIMIZERS: [Variant; 5] = [
    Variant { name: "sgd", settings: &SGD },
    Variant { name: "adam", settings: &ADAM },
    Variant { name: "adamw", settings: &ADAM },
    Variant { name: "rmsprop", settings: &RMSPROP },
    Variant { name: "sam", settings: &SAM },
];

static SGD: [Setting; 4] = [
    number("lr", Domain::Positive),
    number("momentum", Domain::BelowOne),
    number("weight_decay", Domain::NotNegative),
    setting("nesterov", Kind::Flag),
];

static ADAM: [Setting; 5] = [
    number("lr", Domain::Positive),
    number("beta1", Domain::BelowOne),
    number("beta2", Domain::BelowOne),
    number("eps", Domain::Positive),
    number("weight_decay", Domain::NotNegative),
];

static RMSPROP: [Setting; 5] = [
    number("lr", Domain::Positive),
    number("alpha", Domain::BelowOne),
    number("eps", Domain::Positive),
    number("momentum", Domain::BelowOne),
    number("weight_decay", Domain::NotNegative),
];

static SAM: [Setting; 4] = [
    number("lr", Domain::Positive),
    number("rho", Domain::Positive),
    number("momentum", Domain::BelowOne),
    number("weight_decay", Domain::NotNegative),
];

static SCHEDULES: [Variant; 5] = [
    Variant { name: "constant", settings: &[] },
    Variant { name: "step", settings: &STEP },
    Variant { name: "cosine", settings: &COSINE },
    Variant { name: "milestones", settings: &MILESTONES },
    Variant { name: "cyclic", settings: &CYCLIC },
];

static STEP: [Setting; 2] =
    [required("every", Kind::Whole { min: 1, max: 100_000 }), number("factor", Domain::UpToOne)];

static COSINE: [Setting; 1] = [number("floor", Domain::Share)];

static MILESTONES: [Setting; 2] = [
    required("epochs", Kind::List { of: &Kind::Whole { min: 1, max: 100_000 }, most: 1000, distinct: true }),
    number("factor", Domain::UpToOne),
];

static CYCLIC: [Setting; 2] = [required("period", Kind::Number(Domain::Positive)), number("floor", Domain::Share)];

/// `[imported]`.
pub(super) static IMPORTED: [Setting; 1] =
    [required("runs", Kind::List { of: &Kind::Name, most: super::MAX_RUNS, distinct: true })];

/// Fewest and most alphas of a line.
pub(super) const ALPHAS: std::ops::RangeInclusive<usize> = 2..=10_001;

/// `refine` of a grid.
pub(super) static REFINE: [Setting; 2] =
    [required("budget", Kind::Whole { min: 1, max: 10_000 }), required("tolerance", Kind::Number(Domain::Positive))];

/// `[[probe]]`.
pub(super) static PROBE: [Setting; 14] = [
    setting("kind", Kind::Choice { what: "a kind of probe", of: &["line"] }),
    setting("name", Kind::Name),
    setting("from", Kind::Tag),
    setting("to", Kind::Tag),
    setting("hold", Kind::Tag),
    setting("alphas", Kind::List { of: &Kind::Number(Domain::Finite), most: *ALPHAS.end(), distinct: false }),
    setting("layers", Kind::List { of: &Kind::Mask, most: 10_000, distinct: true }),
    setting(
        "splits",
        Kind::List { of: &Kind::Choice { what: "a split", of: &["train", "test"] }, most: 2, distinct: true },
    ),
    setting("batch_norm", Kind::Choice { what: "a batch-norm mode", of: &["interpolate", "recalibrate", "batch"] }),
    whole("subset", 1, IMAGES),
    whole("batch_size", 1, LARGEST_BATCH),
    setting("align", Kind::Flag),
    setting("normalize", Kind::Choice { what: "a way to scale the direction", of: &["none", "filter"] }),
    setting(
        "measures",
        Kind::List {
            of: &Kind::Choice { what: "a measure", of: &["gauss-length", "ensemble"] },
            most: 2,
            distinct: true,
        },
    ),
];

/// Names of the top-level tables.
pub(super) const TABLES: [&str; 14] = [
    "name", "extends", "data", "model", "init", "train", "imported", "case", "zip", "exclude", "include", "probe",
    "claim", "schedule",
];

/// What a case, or a run that another starts from, may say otherwise.
pub(super) const CASE_TABLES: [&str; 4] = ["data", "model", "init", "train"];

/// Dotted names of every setting, for hints about settings in the wrong table.
pub(super) fn all_names() -> Vec<String> {
    fn collect(prefix: &str, settings: &[Setting], names: &mut Vec<String>) {
        for setting in settings {
            let name = format!("{prefix}.{}", setting.name);
            if let Kind::Table(variants) = setting.kind {
                for variant in variants {
                    collect(&name, variant.settings, names);
                }
            }
            names.push(name);
        }
    }
    let mut names = vec!["name".to_owned(), "model.architecture".to_owned(), "probe.alphas.refine".to_owned()];
    let sections: [(&str, &[Setting]); 7] = [
        ("data", &DATA),
        ("init", &INIT),
        ("train", &TRAIN),
        ("imported", &IMPORTED),
        ("probe", &PROBE),
        ("probe.alphas.refine", &REFINE),
        ("schedule", &super::scheduling::SCHEDULE),
    ];
    for (prefix, settings) in sections {
        collect(prefix, settings, &mut names);
    }
    for architecture in ModelSpec::NAMES {
        collect(&format!("model.{architecture}"), options(architecture), &mut names);
    }
    names.sort();
    names.dedup();
    names
}
