//! Every setting of a sweep file: its name, what it may hold, and within which bounds.

use crate::model::{Activation, ModelSpec};

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
        }
    }
}

impl Kind {
    /// Completes "must be ..." when something of another type was found.
    pub fn noun(&self) -> String {
        match self {
            Self::Choice { what, of } => format!("{what} ({})", of.join(", ")),
            Self::Whole { .. } => "a whole number".to_owned(),
            Self::Number(_) => "a number".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Tag | Self::Moment => "the name of a checkpoint, such as \"final\"".to_owned(),
            Self::Mask => "\"all\", \"each\", or the name or pattern of layers".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::List { of, .. } => format!("a list, each item {}", of.noun()),
            Self::Table(_) => "a table".to_owned(),
        }
    }
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
pub(super) static DATA: [Setting; 8] = [
    required("set", Kind::Choice { what: "a data set", of: &["mnist", "fashion-mnist", "cifar10"] }),
    whole("train_size", 1, IMAGES),
    whole("test_size", 1, IMAGES),
    number("label_noise", Domain::Share),
    setting("partial", Kind::Flag),
    setting("mean", Kind::List { of: &Kind::Number(Domain::Finite), most: 16, distinct: false }),
    setting("std", Kind::List { of: &Kind::Number(Domain::Positive), most: 16, distinct: false }),
    setting("augment", Kind::Table(&[Variant { name: "", settings: &AUGMENT }])),
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
pub(super) static INIT: [Setting; 2] = [
    setting(
        "scheme",
        Kind::Choice {
            what: "an initialisation",
            of: &["pytorch", "kaiming-uniform", "kaiming-normal", "xavier-uniform", "xavier-normal"],
        },
    ),
    number("scale", Domain::Positive),
];

/// `[train]`.
pub(super) static TRAIN: [Setting; 7] = [
    whole("seed", 0, LARGEST_SEED),
    setting("optimizer", Kind::Table(&OPTIMIZERS)),
    setting("schedule", Kind::Table(&SCHEDULES)),
    number("warmup_epochs", Domain::NotNegative),
    whole("epochs", 1, 100_000),
    whole("batch_size", 1, LARGEST_BATCH),
    setting("keep", Kind::List { of: &Kind::Moment, most: 1000, distinct: true }),
];

static OPTIMIZERS: [Variant; 2] =
    [Variant { name: "sgd", settings: &SGD }, Variant { name: "adamw", settings: &ADAMW }];

static SGD: [Setting; 4] = [
    number("lr", Domain::Positive),
    number("momentum", Domain::BelowOne),
    number("weight_decay", Domain::NotNegative),
    setting("nesterov", Kind::Flag),
];

static ADAMW: [Setting; 5] = [
    number("lr", Domain::Positive),
    number("beta1", Domain::BelowOne),
    number("beta2", Domain::BelowOne),
    number("eps", Domain::Positive),
    number("weight_decay", Domain::NotNegative),
];

static SCHEDULES: [Variant; 3] = [
    Variant { name: "constant", settings: &[] },
    Variant { name: "step", settings: &STEP },
    Variant { name: "cosine", settings: &COSINE },
];

static STEP: [Setting; 2] =
    [required("every", Kind::Whole { min: 1, max: 100_000 }), number("factor", Domain::UpToOne)];

static COSINE: [Setting; 1] = [number("floor", Domain::Share)];

/// `[imported]`.
pub(super) static IMPORTED: [Setting; 1] =
    [required("runs", Kind::List { of: &Kind::Name, most: super::MAX_RUNS, distinct: true })];

/// Fewest and most alphas of a line.
pub(super) const ALPHAS: std::ops::RangeInclusive<usize> = 2..=10_001;

/// `[[probe]]`.
pub(super) static PROBE: [Setting; 11] = [
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
];

/// Names of the top-level tables.
pub(super) const TABLES: [&str; 7] = ["name", "data", "model", "init", "train", "imported", "probe"];

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
    let mut names = vec!["name".to_owned(), "model.architecture".to_owned()];
    let sections: [(&str, &[Setting]); 5] =
        [("data", &DATA), ("init", &INIT), ("train", &TRAIN), ("imported", &IMPORTED), ("probe", &PROBE)];
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
