//! Checks of settings against each other. Axes are independent, so two settings fit in every run when each value of the
//! one fits each value of the other: no check walks the product.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;

use super::axes::Settings;
use super::probes::{Probe, masks, patterns_match};
use super::report::Report;
use super::schema;
use super::value::{Val, grouped};
use super::{MAX_JOBS, MAX_POINTS, MAX_RUNS};
use crate::data::{DataSet, DataSetInfo, Split};
use crate::model::{Description, ModelSpec};
use crate::run::{Optimizer, Tag, TrainSpec};

/// Most parameters of a model: theta is then 4 GiB.
const MAX_PARAMETERS: usize = 1 << 30;

/// Every data set of the sweep, with the place that says so.
pub(super) fn sets(settings: &Settings) -> Vec<(usize, &'static DataSetInfo)> {
    let set = |value: &Val| {
        let set = DataSet::ALL.into_iter().find(|set| set.name() == value.text())?;
        Some((value.at, set.info()))
    };
    settings.values("data.set").filter_map(set).collect()
}

/// False, and reported, when the product has too many runs.
pub(super) fn runs_fit(settings: &Settings, report: &mut Report) -> bool {
    let count = settings.count();
    if count <= MAX_RUNS as u128 {
        return true;
    }
    let mut axes = settings.order();
    let sizes: Vec<String> =
        axes.iter().map(|&i| format!("{} ({})", settings.axes[i].key, settings.axes[i].values.len())).collect();
    // The largest axis is most likely the mistake.
    axes.sort_by_key(|&i| std::cmp::Reverse(settings.axes[i].values.len()));
    let at = axes.first().map_or(0, |&i| settings.axes[i].at);
    let shown = sizes.iter().take(12).cloned().collect::<Vec<_>>().join(" x ");
    let more = if sizes.len() > 12 { " x ..." } else { "" };
    let (count, most) = (grouped(count), grouped(MAX_RUNS));
    report.add(at, "", format!("the product has {count} runs, at most {most} are allowed: {shown}{more}"));
    false
}

/// Checks `[data]` against the data sets.
pub(super) fn data(settings: &Settings, report: &mut Report) {
    for (_, set) in sets(settings) {
        for (key, whole, split) in
            [("data.train_size", set.train_size, Split::Train), ("data.test_size", set.test_size, Split::Test)]
        {
            for value in settings.values(key) {
                let size = value.json.as_u64().unwrap_or(0);
                if size > u64::from(whole) {
                    let (whole, size) = (grouped(whole), grouped(size));
                    report.add(value.at, key, format!("{} has {whole} {split} images, found {size}", set.name));
                }
            }
        }
        for key in ["data.mean", "data.std"] {
            for value in settings.values(key) {
                let (found, channels) = (value.items().len(), set.input[0] as usize);
                if found != channels {
                    let name = set.name;
                    let message = format!("{name} needs one number for each of its {channels} channels, found {found}");
                    report.add(value.at, key, message.replace("its 1 channels", "its 1 channel"));
                }
            }
        }
    }
}

/// Checks settings of `[train]` against each other.
pub(super) fn train(settings: &Settings, report: &mut Report) {
    let default = TrainSpec::new(0, Optimizer::sgd());
    let mut epochs: Vec<u64> = settings.values("train.epochs").filter_map(|value| value.json.as_u64()).collect();
    if epochs.is_empty() {
        epochs.push(u64::from(default.epochs));
    }
    // What fits the fewest epochs fits all.
    let fewest = epochs.iter().copied().min().unwrap_or(0);
    for value in settings.values("train.warmup_epochs") {
        let warmup = value.json.as_f64().unwrap_or(0.0);
        if warmup > fewest as f64 {
            let message = format!("must be at most train.epochs, which is {fewest}, found {warmup}");
            report.add(value.at, "train.warmup_epochs", message);
        }
    }
    for value in settings.values("train.keep") {
        for (i, item) in value.items().iter().enumerate() {
            let epoch = item.as_str().and_then(|text| text.parse::<Tag>().ok()).and_then(|tag| tag.as_epoch());
            if let Some(epoch) = epoch.filter(|&epoch| u64::from(epoch) > fewest) {
                let message = format!("epoch-{epoch} never comes: train.epochs is {fewest}");
                report.add(value.item_at(i), "train.keep", message);
            }
        }
    }
}

/// Checks that the checkpoints that probes ask for are kept by every run.
pub(super) fn kept(settings: &Settings, probes: &[Probe], report: &mut Report) {
    let tags = |value: &Val| -> BTreeSet<Tag> {
        value.items().iter().filter_map(|item| item.as_str()?.parse().ok()).collect()
    };
    let keeps = settings.values("train.keep").map(tags);
    let always = keeps.reduce(|a, b| &a & &b).unwrap_or_else(|| TrainSpec::new(0, Optimizer::sgd()).keep);
    let kept = always.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ");
    for ends in probes.iter().flat_map(|probe| &probe.ends) {
        for (key, (at, tag)) in [("probe.from", &ends.from), ("probe.to", &ends.to)] {
            if !always.contains(tag) {
                let message =
                    format!("checkpoint \"{tag}\" is not kept by every run; add it to train.keep, which has: {kept}");
                report.add(*at, key, message);
            }
        }
    }
}

/// One model of a sweep and the place that says so: its options if it has any, else its architecture.
#[derive(Debug)]
pub(super) struct Variant {
    pub at: usize,
    pub spec: ModelSpec,
}

/// Every model of the sweep: each architecture with each combination of its options.
pub(super) fn models(settings: &Settings) -> Vec<Variant> {
    let mut models = vec![];
    for architecture in settings.values("model.architecture") {
        let mut forms = vec![(architecture.at, serde_json::json!({ "architecture": architecture.text() }))];
        for option in schema::options(architecture.text()) {
            let key = format!("model.{}.{}", architecture.text(), option.name);
            let values: Vec<&Val> = settings.values(&key).collect();
            if !values.is_empty() {
                let with = |form: &Json, value: &Val| {
                    let mut form = form.clone();
                    form[option.name] = value.json.clone();
                    (value.at, form)
                };
                forms = forms.iter().flat_map(|(_, form)| values.iter().map(move |value| with(form, value))).collect();
            }
        }
        models.extend(forms.into_iter().map(|(at, form)| Variant {
            at,
            spec: serde_json::from_value(form).expect("checked options make a model"),
        }));
    }
    models
}

/// Checks every model against every data set and every probe, and the number of jobs.
pub(super) fn models_and_probes(settings: &Settings, probes: &[Probe], report: &mut Report) {
    let models = models(settings);
    let mut work = Work::default();
    let mut known: HashMap<(&str, Vec<String>), Work> = HashMap::new();
    let runs = settings.count() / models.len().max(1) as u128;
    for model in &models {
        for (i, (_, set)) in sets(settings).into_iter().enumerate() {
            let description = match model.spec.describe(set.input, set.classes) {
                Ok(description) => description,
                Err(error) => {
                    report.add(model.at, "model", format!("{error} ({})", set.name));
                    continue;
                }
            };
            if description.theta_len() > MAX_PARAMETERS {
                let (found, most) = (grouped(description.theta_len()), grouped(MAX_PARAMETERS));
                let message =
                    format!("{} would have {found} parameters, at most {most} are allowed", model.spec.name());
                report.add(model.at, "model", message);
                continue;
            }
            // Masks depend on the architecture and the names of its layers alone.
            let layers = description.layers.iter().map(|layer| layer.name.clone()).collect();
            let one = known.entry((model.spec.name(), layers)).or_insert_with(|| {
                patterns_match(probes, &description, report);
                Work::of_one(probes, &description)
            });
            // The data set does not matter to the number of lines either: the first stands for all.
            if i == 0 {
                work.add(runs, one);
                work.jobs = work.jobs.saturating_add(runs);
            }
        }
    }
    work.fits(probes, report);
}

/// How much the probes of a sweep measure.
#[derive(Debug, Default)]
pub(super) struct Work {
    jobs: u128,
    points: u128,
}

impl Work {
    /// The lines of one run.
    pub fn of_one(probes: &[Probe], model: &Description) -> Self {
        let mut work = Self::default();
        for probe in probes {
            let lines = (probe.lines_per_mask(model) as u128).saturating_mul(masks(probe, model).len() as u128);
            work.jobs = work.jobs.saturating_add(lines);
            work.points = work.points.saturating_add(lines.saturating_mul(probe.points_per_line() as u128));
        }
        work
    }

    /// Adds the lines of `runs` runs.
    pub fn add(&mut self, runs: u128, one: &Self) {
        self.jobs = self.jobs.saturating_add(runs.saturating_mul(one.jobs));
        self.points = self.points.saturating_add(runs.saturating_mul(one.points));
    }

    /// Reports a sweep with too many jobs or points.
    pub fn fits(&self, probes: &[Probe], report: &mut Report) {
        let at = probes.first().map_or(0, |probe| probe.at);
        if self.jobs > MAX_JOBS as u128 {
            let (jobs, most) = (grouped(self.jobs), grouped(MAX_JOBS));
            let message =
                format!("the sweep has {jobs} jobs, at most {most} are allowed; take fewer runs, layers or probes");
            report.add(at, "probe", message);
        } else if self.points > u128::from(MAX_POINTS) {
            let (points, most) = (grouped(self.points), grouped(MAX_POINTS));
            let message = format!(
                "the sweep measures {points} points, at most {most} are allowed; take fewer alphas, layers or runs"
            );
            report.add(at, "probe", message);
        }
    }
}
