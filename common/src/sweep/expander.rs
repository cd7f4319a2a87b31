//! From picks to runs, and from what a run needs to the runs that it needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::axes::{Pick, Settings};
use super::cases::Case;
use super::moments;
use super::probes::Target;
use super::report::Report;
use super::rules::{Rules, value_of};
use super::starts::adversarial;
use super::value::grouped;
use super::{ExpandedRun, Import, MAX_RUNS};
use crate::data::Split;
use crate::digest::{ArtifactDigest, RunDigest};
use crate::line::{Elsewhere, LineSpec};
use crate::mask::Mask;
use crate::model::{Description, ModelSpec};
use crate::run::{InitSpec, LayerStart, Origin, RunSpec, Source, Tag, TrainSpec};

/// A run by its case and its picks, sorted.
pub(super) type Name = (usize, Vec<Pick>);

/// Where lines of one run lead.
pub(super) enum Led {
    /// To a random initialisation with this seed.
    Init(u64),
    /// To another run.
    Run {
        /// Where the file says so.
        at: usize,
        run: RunDigest,
        is_itself: bool,
        /// What it keeps.
        tags: BTreeSet<Tag>,
        name: Name,
    },
}

/// Makes runs, each once, and remembers which others they need.
pub(super) struct Expander<'a> {
    cases: &'a [Case],
    imports: &'a BTreeMap<String, Import>,
    /// What is not imported is taken to be there and to fit.
    supposes: bool,
    report: &'a mut Report,
    pub runs: Vec<ExpandedRun>,
    places: HashMap<RunDigest, usize>,
    specs: HashMap<Name, RunSpec>,
    /// Runs that others need, each with one that needs it.
    needed: Vec<(Name, Name)>,
}

impl<'a> Expander<'a> {
    pub fn new(
        cases: &'a [Case],
        imports: &'a BTreeMap<String, Import>,
        supposes: bool,
        report: &'a mut Report,
    ) -> Self {
        let (runs, places, specs, needed) = Default::default();
        Self { cases, imports, supposes, report, runs, places, specs, needed }
    }

    /// Adds a run of the product. None when it is there already.
    pub fn add(&mut self, case: usize, picks: &[Pick], spec: &RunSpec) -> Option<usize> {
        let digest = spec.digest();
        if self.places.contains_key(&digest) {
            return None;
        }
        let place = self.runs.len();
        self.places.insert(digest.clone(), place);
        let settings = picked(&self.cases[case], picks);
        self.runs.push(ExpandedRun { digest, spec: spec.clone(), settings, lines: Arc::default() });
        Some(place)
    }

    /// The runs of the product, then those that only others need, and theirs.
    pub fn finish(mut self, rules: &Rules) -> Vec<ExpandedRun> {
        for (name, by) in std::mem::take(&mut self.needed) {
            let (Some(spec), Some(by)) = (self.specs.get(&name).cloned(), self.specs.get(&by)) else {
                continue;
            };
            let by = by.digest();
            let (case, picks) = &name;
            let is_left_out = !self.cases[*case].is_source && !rules.keep(&self.cases[*case], picks);
            if let Some(place) = self.add(*case, picks, &spec) {
                let role = if is_left_out {
                    format!("{} (left out of the product)", by.short())
                } else {
                    by.short().to_owned()
                };
                self.runs[place].settings.insert("source of".to_owned(), role.into());
            }
        }
        if self.runs.len() > MAX_RUNS {
            let (count, most) = (grouped(self.runs.len()), grouped(MAX_RUNS));
            self.report.add(
                0,
                "",
                format!("the sweep and the runs that it starts from are {count}, at most {most} are allowed"),
            );
        }
        self.runs
    }

    /// The run of `picks`. None when something that it starts from is wrong, which is then in the report. `path` holds
    /// the runs that wait for this one.
    pub fn spec(&mut self, case: usize, picks: &[Pick], path: &mut Vec<Name>) -> Option<RunSpec> {
        let name = named(case, picks);
        if let Some(spec) = self.specs.get(&name) {
            return Some(spec.clone());
        }
        let cases = self.cases;
        let settings = &cases[case].settings;
        if path.contains(&name) {
            let chain: Vec<String> = path.iter().chain([&name]).map(|(case, _)| label(&cases[*case])).collect();
            let message = format!("a run would start from itself: {}; break the circle", chain.join(" starts from "));
            self.report.add(place_of(settings), "init", message);
            return None;
        }
        path.push(name.clone());
        let spec = self.made(case, picks, path);
        path.pop();
        let spec = spec?;
        self.specs.insert(name, spec.clone());
        Some(spec)
    }

    fn made(&mut self, case: usize, picks: &[Pick], path: &mut Vec<Name>) -> Option<RunSpec> {
        let mut tree = self.cases[case].settings.assemble(picks);
        let data = serde_json::from_value(tree["data"].take()).expect("checked settings make a data description");
        if let Some(name) = tree["imported"].as_str() {
            let import = &self.imports[name];
            let origin = Origin::Imported { checkpoints: import.checkpoints.clone() };
            return Some(RunSpec { data, model: import.model.clone(), origin }.canonicalised());
        }
        let model = model(&mut tree);
        let train = recipe(tree["train"].take(), &data);
        let mut init = section(tree["init"].take());
        let mut sources: Vec<Json> = vec![];
        if let Some(epochs) = init["adversarial"].take().as_u64().filter(|&epochs| epochs > 0) {
            sources.push(serde_json::json!({ "with": adversarial(epochs) }));
        }
        match init["from"].take() {
            Json::Object(from) if !from.is_empty() => sources.push(Json::Object(from)),
            _ => {}
        }
        if let Json::Array(layers) = init["layers"].take() {
            sources.extend(layers);
        }
        if let Json::Object(init) = &mut init {
            init.retain(|_, value| !value.is_null());
        }
        let mut init: InitSpec = serde_json::from_value(init).expect("checked settings make an initialisation");
        let bare = RunSpec { data, model, origin: Origin::Trained { init: init.clone(), train: train.clone() } };
        for source in &sources {
            init.layers.push(self.start(case, picks, &bare, source, path)?);
        }
        Some(RunSpec { origin: Origin::Trained { init, train }, ..bare }.canonicalised())
    }

    /// What one source of `[init]` brings to the run `spec`.
    fn start(
        &mut self,
        case: usize,
        picks: &[Pick],
        spec: &RunSpec,
        source: &Json,
        path: &mut Vec<Name>,
    ) -> Option<LayerStart> {
        let at = place_of(&self.cases[case].settings);
        let tag = |json: &Json| json.as_str().and_then(|text| text.parse::<Tag>().ok());
        let checkpoint = tag(&source["checkpoint"]).unwrap_or_else(Tag::last);
        let mask = mask_of(source);
        if let Some(seed) = source["seed"].as_u64() {
            return Some(LayerStart { mask, source: Source::Random { seed } });
        }
        if let Some(name) = source["import"].as_str() {
            return self.imported(at, name, &checkpoint, mask, spec);
        }
        let target = match (source["case"].as_str(), &source["with"]) {
            (Some(label), _) => self.cases.iter().position(|case| case.label.as_deref() == Some(label))?,
            (None, with) => *self.cases[case].sources.get(&with.to_string())?,
        };
        let other_picks = self.matched(at, case, picks, target)?;
        let other = self.spec(target, &other_picks, path)?;
        self.needed.push((named(target, &other_picks), named(case, picks)));
        let run = other.digest();
        let source = match source["alpha"].as_f64() {
            Some(alpha) => {
                let end = |i: usize| tag(&source["between"][i]);
                let (from, to) = (end(0).unwrap_or_else(Tag::init), end(1).unwrap_or_else(Tag::last));
                Source::Point { run, from, to, alpha }
            }
            None => Source::Checkpoint { run, tag: checkpoint },
        };
        let keeps = other.tags();
        for tag in source.needs().map(|(_, tags)| tags).unwrap_or_default() {
            if !keeps.contains(tag) {
                let kept = keeps.iter().map(Tag::as_str).take(20).collect::<Vec<_>>().join(", ");
                let message =
                    format!("the run to start from does not keep `{tag}`; add it to its train.keep, which has: {kept}");
                self.report.add(at, "init", message);
                return None;
            }
        }
        let start = LayerStart { mask, source };
        let from = other.model.describe(other.data.input(), other.data.classes()).ok()?;
        self.fits(at, &start.mask, spec, &from).then_some(start)
    }

    fn imported(&mut self, at: usize, name: &str, tag: &Tag, mask: String, spec: &RunSpec) -> Option<LayerStart> {
        if self.supposes && !self.imports.contains_key(name) {
            let artifact = ArtifactDigest::of(name.as_bytes());
            return Some(LayerStart { mask, source: Source::Artifact { artifact } });
        }
        let Some(import) = self.imports.get(name) else {
            let message = format!(
                "nothing is imported as `{name}`; import it first: transect import {name} --model MODEL final=FILE.safetensors"
            );
            self.report.add(at, "init", message);
            return None;
        };
        let Some(artifact) = import.checkpoints.get(tag) else {
            let has = import.checkpoints.keys().map(Tag::as_str).collect::<Vec<_>>().join(", ");
            self.report.add(at, "init", format!("import `{name}` has no checkpoint `{tag}`; it has: {has}"));
            return None;
        };
        let from = import.model.describe(import.input, import.classes).ok()?;
        let source = Source::Artifact { artifact: artifact.clone() };
        self.fits(at, &mask, spec, &from).then_some(LayerStart { mask, source })
    }

    /// True when every parameter that `mask` names is in `from` with the same shape; else it is reported.
    fn fits(&mut self, at: usize, mask: &str, spec: &RunSpec, from: &Description) -> bool {
        let Ok(model) = spec.model.describe(spec.data.input(), spec.data.classes()) else {
            return false;
        };
        let taken = match Mask::resolve(mask, &model) {
            Ok(taken) => taken,
            Err(error) => {
                self.report.add(at, "init", error.to_string());
                return false;
            }
        };
        let has = |i: &&usize| {
            let wanted = &model.parameters[**i];
            from.parameters.iter().any(|p| (&p.name, &p.shape) == (&wanted.name, &wanted.shape))
        };
        let mut layers: Vec<&str> = vec![];
        for &i in taken.parameters.iter().filter(|i| !has(i)) {
            let layer = model.layers[model.parameters[i].layer].name.as_str();
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        if layers.is_empty() {
            return true;
        }
        let skip = layers.iter().map(|layer| format!("\"{layer}\"")).collect::<Vec<_>>().join(", ");
        let message = format!(
            "{} of the source does not fit {} here in layers {}; leave them to the run's own scheme with skip = [{skip}]",
            from.architecture,
            model.architecture,
            layers.join(", ")
        );
        self.report.add(at, "init", message);
        false
    }

    /// Where lines of the run `spec` lead. None when that is wrong.
    pub fn led(&mut self, case: usize, picks: &[Pick], spec: &RunSpec, target: &Target) -> Option<Led> {
        let target = match target {
            Target::Init(seed) => return Some(Led::Init(*seed)),
            Target::Case(label) => self.cases.iter().position(|case| case.label.as_deref() == Some(label.as_str()))?,
            Target::With(with) => *self.cases[case].ends.get(with)?,
        };
        let at = self.cases[target].at;
        let other_picks = self.matched(at, case, picks, target)?;
        let other = self.spec(target, &other_picks, &mut vec![])?;
        let describe = |spec: &RunSpec| spec.model.describe(spec.data.input(), spec.data.classes()).ok();
        if describe(spec).map(|d| d.parameters) != describe(&other).map(|d| d.parameters) {
            let message = format!(
                "a line needs one model at both ends, but leads from {} to {} with other parameters",
                spec.model.name(),
                other.model.name()
            );
            self.report.add(at, "probe.to", message);
            return None;
        }
        let run = other.digest();
        let is_itself = run == spec.digest();
        Some(Led::Run { at, run, is_itself, tags: other.tags(), name: named(target, &other_picks) })
    }

    /// The line with its other end filled in. None when it leads to the run itself, or is wrong. `name` is the run's.
    pub fn line(&mut self, name: &Name, line: &LineSpec, led: &Led) -> Option<LineSpec> {
        let elsewhere = match led {
            Led::Init(seed) => Elsewhere::Init { seed: *seed },
            Led::Run { is_itself: true, .. } if line.from == line.to => return None,
            Led::Run { at, tags, .. } if !tags.contains(&line.to) => {
                let message =
                    format!("the run that a line leads to does not keep `{}`; add it to its train.keep", line.to);
                self.report.add(*at, "probe.to", message);
                return None;
            }
            Led::Run { run, name: other, .. } => {
                let need = (other.clone(), name.clone());
                if self.needed.last() != Some(&need) {
                    self.needed.push(need);
                }
                Elsewhere::Run { run: run.clone() }
            }
        };
        Some(LineSpec { elsewhere: Some(elsewhere), ..line.clone() })
    }

    /// Picks of case `target` that have the values of this run on every axis that it has.
    fn matched(&mut self, at: usize, case: usize, picks: &[Pick], target: usize) -> Option<Vec<Pick>> {
        let (here, there) = (&self.cases[case], &self.cases[target].settings);
        let mut matched: Vec<Pick> = vec![];
        for index in there.order() {
            let axis = &there.axes[index];
            if axis.when.is_some_and(|pick| !matched.contains(&pick)) {
                continue;
            }
            let leader = axis.zipped.and_then(|leader| matched.iter().find(|(axis, _)| *axis == leader));
            let value = match (leader, value_of(here, picks, &axis.key)) {
                (Some(&(_, value)), _) => Some(value),
                (None, Some(has)) => axis.values.iter().position(|value| value.json == has),
                (None, None) => None,
            };
            let only = (axis.values.len() == 1).then_some(0);
            let Some(value) = value.or(only) else {
                let values = axis.values.iter().map(|value| value.json.to_string()).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "which run of {} is meant is not clear: it has {} = {values}, and this run has none of these; give it one value there",
                    label(&self.cases[target]),
                    axis.key
                );
                self.report.add(at, "init", message);
                return None;
            };
            matched.push((index, value));
        }
        Some(matched)
    }
}

pub(super) fn named(case: usize, picks: &[Pick]) -> Name {
    let mut picks = picks.to_vec();
    picks.sort_unstable();
    (case, picks)
}

fn label(case: &Case) -> String {
    case.label.as_ref().map_or_else(|| "the run".to_owned(), |label| format!("case \"{label}\""))
}

/// Where the file says what runs start from.
fn place_of(settings: &Settings) -> usize {
    ["init.from", "init.layers", "init.adversarial"]
        .iter()
        .find_map(|key| settings.values(key).next().map(|value| value.at))
        .unwrap_or(0)
}

fn mask_of(source: &Json) -> String {
    let skip: Vec<&str> = source["skip"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    match source["layers"].as_str() {
        Some(layers) if layers != "all" => layers.to_owned(),
        _ if skip.is_empty() => "all".to_owned(),
        _ => format!("all-but:{}", skip.join("+")),
    }
}

fn section(json: Json) -> Json {
    if json.is_null() { Json::Object(Map::new()) } else { json }
}

fn model(tree: &mut Json) -> ModelSpec {
    let architecture = tree["model"]["architecture"].take();
    let mut model = section(tree["model"][architecture.as_str().unwrap_or_default()].take());
    model["architecture"] = architecture;
    serde_json::from_value(model).expect("checked options make a model")
}

/// The recipe, with words of `keep` written out.
fn recipe(json: Json, data: &crate::data::DataSpec) -> TrainSpec {
    let mut train = section(json);
    if train["seed"].is_null() {
        train["seed"] = Json::from(0);
    }
    if train["stop"].as_object().is_some_and(Map::is_empty) {
        train["stop"] = Json::Null;
    }
    let keep = train["keep"].take();
    if let Json::Object(train) = &mut train {
        train.retain(|_, value| !value.is_null());
    }
    let mut spec: TrainSpec = serde_json::from_value(train).expect("checked settings make a recipe");
    if let Json::Array(keep) = keep {
        let images = data.images(Split::Train).map_or(0, u64::from);
        let steps = u64::from(spec.epochs) * images.div_ceil(spec.batch_size.into());
        spec.keep = moments::kept(&keep, spec.epochs, steps);
        // A source may be trained for fewer epochs than the run that it takes its other settings from.
        spec.keep.retain(|tag| tag.as_epoch().is_none_or(|epoch| epoch <= spec.epochs));
    }
    spec
}

/// Settings of one run: its case, then its axes in their order.
fn picked(case: &Case, picks: &[Pick]) -> Map<String, Json> {
    let order = case.settings.order();
    let mut picks = picks.to_vec();
    picks.sort_by_key(|(axis, _)| order.iter().position(|known| known == axis));
    let label = case.label.iter().map(|label| ("case".to_owned(), label.as_str().into()));
    let setting = |(axis, value): Pick| {
        let axis = &case.settings.axes[axis];
        (axis.key.clone(), axis.values[value].json.clone())
    };
    label.chain(picks.into_iter().map(setting)).collect()
}
