//! Checks of settings against each other. Axes are independent, so two settings fit in every run when each value of the
//! one fits each value of the other: no check walks the product.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::axes::Settings;
use super::cases::Case;
use super::check_data::sets;
use super::moments;
use super::nearest::nearest;
use super::probes::{Probe, Target, masks, patterns_match};
use super::report::Report;
use super::schema;
use super::value::{Val, grouped};
use super::{MAX_JOBS, MAX_POINTS, MAX_RUNS};
use crate::data::Split;
use crate::mask::Mask;
use crate::model::{Description, ModelSpec};
use crate::run::{Optimizer, Tag, TrainSpec};

/// Most parameters of a model: theta is then 4 GiB.
const MAX_PARAMETERS: usize = 1 << 30;

/// False, and reported, when the product has too many runs.
pub(super) fn runs_fit(cases: &[Case], report: &mut Report) -> bool {
    let visible = || cases.iter().filter(|case| !case.is_source);
    let count = visible().fold(0, |sum: u128, case| sum.saturating_add(case.settings.count()));
    let Some(largest) = visible().max_by_key(|case| case.settings.count()).filter(|_| count > MAX_RUNS as u128) else {
        return true;
    };
    let settings = &largest.settings;
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

/// Checks that what lines lead to, and what runs start from, are cases of the sweep.
pub(super) fn targets(cases: &[Case], probes: &[Probe], report: &mut Report) {
    let labels: Vec<&str> = cases.iter().filter_map(|case| case.label.as_deref()).collect();
    let mut check = |at: usize, key: &str, label: &str| {
        if !labels.contains(&label) {
            let known =
                if labels.is_empty() { "no cases".to_owned() } else { format!("the cases {}", labels.join(", ")) };
            let hint = nearest(label, labels.iter().copied());
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            report.add(at, key, format!("there is no case \"{label}\"; this sweep has {known}{hint}"));
        }
    };
    for case in cases {
        for value in case.settings.values("init.from") {
            if let Some(label) = value.json["case"].as_str() {
                check(value.at, "init.from", label);
            }
        }
        for value in case.settings.values("init.layers") {
            for label in value.items().iter().filter_map(|source| source["case"].as_str()) {
                check(value.at, "init.layers", label);
            }
        }
    }
    for ends in probes.iter().flat_map(|probe| &probe.ends) {
        if let Some(Target::Case(label)) = &ends.target {
            check(ends.to.0, "probe.to", label);
        }
    }
}

/// Checks settings of `[train]` against each other.
pub(super) fn train(settings: &Settings, is_source: bool, report: &mut Report) {
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
    for value in settings.values("train.schedule.epochs") {
        let epochs: Vec<u64> = value.items().iter().filter_map(Json::as_u64).collect();
        if epochs.windows(2).any(|pair| pair[0] >= pair[1]) {
            report.add(value.at, "train.schedule.epochs", "milestones must rise from one to the next");
        }
    }
    for value in settings.values("train.keep").filter(|_| !is_source) {
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
    let default = TrainSpec::new(0, Optimizer::sgd());
    let fewest =
        |key: &str, default: u64| settings.values(key).filter_map(|value| value.json.as_u64()).min().unwrap_or(default);
    let epochs = fewest("train.epochs", default.epochs.into()) as u32;
    let images = sets(settings).iter().filter_map(|(_, data)| data.images(Split::Train)).min();
    let images = fewest("data.train_size", images.unwrap_or(u32::MAX).into());
    let batch = settings.values("train.batch_size").filter_map(|value| value.json.as_u64()).max();
    let steps = u64::from(epochs) * images.div_ceil(batch.unwrap_or(default.batch_size.into()).max(1));
    let keeps = settings.values("train.keep").map(|value| moments::kept(value.items(), epochs, steps));
    let always = keeps.reduce(|a, b| &a & &b).unwrap_or(default.keep);
    let listed = always.iter().map(Tag::as_str).take(20).collect::<Vec<_>>().join(", ");
    let kept = if always.len() > 20 { format!("{listed}, ...") } else { listed };
    if always.len() > moments::MOST {
        let at = settings.values("train.keep").next().map_or(0, |value| value.at);
        report.add(at, "train.keep", format!("a run keeps at most {} checkpoints; keep fewer", moments::MOST));
        return;
    }
    for ends in probes.iter().flat_map(|probe| &probe.ends) {
        let to = (!matches!(ends.target, Some(Target::Init(_)))).then_some(("probe.to", &ends.to));
        for (key, (at, tag)) in [("probe.from", &ends.from)].into_iter().chain(to) {
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
pub(super) fn models_and_probes(settings: &Settings, probes: &[Probe], work: &mut Work, report: &mut Report) {
    let models = models(settings);
    let mut known: HashMap<(&str, Vec<String>), Work> = HashMap::new();
    let runs = settings.count() / models.len().max(1) as u128;
    for model in &models {
        for (i, (_, data)) in sets(settings).into_iter().enumerate() {
            let description = match model.spec.describe(data.input(), data.classes()) {
                Ok(description) => description,
                Err(error) => {
                    report.add(model.at, "model", format!("{error} ({})", data.set.name()));
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
                layers_match(settings, &description, report);
                Work::of_one(probes, &description)
            });
            // The data set does not matter to the number of lines either: the first stands for all.
            if i == 0 {
                work.add(runs, one);
                work.jobs = work.jobs.saturating_add(runs);
            }
        }
    }
}

/// Reports rules and starts of layers that the model does not have.
fn layers_match(settings: &Settings, model: &Description, report: &mut Report) {
    let mut check = |at: usize, key: &str, mask: Option<&str>| {
        if let Some(Err(error)) = mask.map(|mask| Mask::resolve(mask, model)) {
            report.add(at, key, error.to_string());
        }
    };
    for value in settings.values("train.layers") {
        value.items().iter().for_each(|rule| check(value.at, "train.layers", rule["mask"].as_str()));
    }
    for value in settings.values("init.layers") {
        value.items().iter().for_each(|source| check(value.at, "init.layers", source["layers"].as_str()));
    }
    for value in settings.values("init.from") {
        let skipped = value.json["skip"].as_array().into_iter().flatten();
        for mask in skipped.chain([&value.json["layers"]]) {
            check(value.at, "init.from", mask.as_str());
        }
    }
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
