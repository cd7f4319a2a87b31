//! What has to be computed of a batch for a set of states, each thing once.
//!
//! A value is named by what it is computed from: a unit, the values that it reads, and the versions of its parameters. Equal
//! names, equal numbers: so whatever lies below the lowest moving layer of a line is one value for all of its points,
//! lines share what they have in common with the held network and with each other, and ends that meet are one.
//!
//! A layer is linear in its weights. Where a layer moves and what it reads does not, its results at the ends are values of
//! their own, and those between are blends of the two.
//!
//! Invariant: how a number comes about depends on its line and its alpha alone, not on what else is in the set. (A layer's
//! result at an end may be computed at once or as a blend of one; both do the same operations.)

use std::collections::{HashMap, HashSet};

use transect_common::model::Op;

use super::network::{Core, Network, Product, Unit};
use super::prepared::{Prepared, Statistics};
use super::states::{Courses, Moving, State, Version};
use crate::kernel::Shape;

/// Names a value of a plan.
pub(super) type ValueId = usize;

/// How a unit's value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// The whole unit from what it reads.
    Whole,
    /// The products of its layer alone.
    Raw,
    /// The rest of it from its layer's products at one end, or at two.
    Blend,
}

/// The name of a value, which says how it is computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Value {
    pub(super) unit: usize,
    pub(super) form: Form,
    /// What the unit reads; of a blend the products.
    pub(super) inputs: Vec<ValueId>,
    pub(super) residual: Option<ValueId>,
    /// Of the layer's weight.
    pub(super) weights: Option<Version>,
    /// Of the layer's other parameters, and of batch norm's parameters and statistics.
    pub(super) rest: Vec<Version>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Compute a value.
    Compute(ValueId),
    /// Hand out a value: the root of this number.
    Root(usize, ValueId),
    /// Forget a value.
    Free(ValueId),
}

/// What to do with each batch, in order.
#[derive(Debug)]
pub(super) struct Plan<'p> {
    pub(super) network: &'p Network,
    pub(super) values: Vec<Value>,
    pub(super) actions: Vec<Action>,
    /// Weights and coefficients of the values.
    pub(super) prepared: Prepared,
    /// Batch norm normalises by its batch.
    pub(super) by_batch: bool,
    /// The most numbers that are held at a time for one image.
    pub(super) held: usize,
    /// How often each weight is used for one image, on average.
    pub(super) uses: f64,
}

/// Where batch norm has its statistics from.
#[derive(Debug, Clone, Copy)]
pub(super) enum BatchStatistics<'p> {
    /// From the line's buffers.
    Buffers,
    /// From the batch itself.
    Batch,
    /// They were estimated at each state.
    Estimated(&'p Estimates),
}

/// Statistics that were estimated, and where those of a state and a layer are among them.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    pub(super) statistics: Vec<Statistics>,
    pub(super) places: HashMap<(State, usize), usize>,
}

/// Collects what a set of states needs.
pub(super) struct Planner<'p> {
    courses: &'p Courses<'p>,
    network: &'p Network,
    /// For each line, what moves of each unit.
    moving: HashMap<usize, Vec<Moving>>,
    statistics: BatchStatistics<'p>,
    values: Vec<Value>,
    known: HashMap<Value, ValueId>,
    /// Packed weights, which several values may be computed with: their units and versions.
    weights: HashSet<(usize, Version)>,
    weight_bytes: usize,
    /// Bytes of weights that are read for a batch, by each value its own.
    bytes_read: usize,
    operations: f64,
}

impl<'p> Planner<'p> {
    /// Nothing yet.
    pub(super) fn new(courses: &'p Courses<'p>, network: &'p Network, statistics: BatchStatistics<'p>) -> Self {
        Self {
            courses,
            network,
            moving: HashMap::new(),
            statistics,
            values: vec![],
            known: HashMap::new(),
            weights: HashSet::new(),
            weight_bytes: 0,
            bytes_read: 0,
            operations: 0.0,
        }
    }

    /// The value of the logits at `state`.
    pub(super) fn logits(&mut self, state: State) -> ValueId {
        let last = self.network.units.len() - 1;
        self.values(last, state)[last]
    }

    /// What every batch norm reads at `state`, with its layer.
    pub(super) fn normalised(&mut self, state: State) -> Vec<(usize, ValueId)> {
        let units = self.network.units.iter();
        let norms: Vec<(usize, usize)> = units.filter_map(|unit| Some((unit.norm?.layer, unit.inputs[0]))).collect();
        let values = self.values(norms.iter().map(|norm| norm.1).max().unwrap_or(0), state);
        norms.into_iter().map(|(layer, input)| (layer, values[input])).collect()
    }

    /// Bytes of weights that the values so far need.
    pub(super) fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    /// Multiplications and additions that the values so far need for one image.
    pub(super) fn operations(&self) -> f64 {
        self.operations
    }

    /// The values at `state` of all units up to `last`, one by one: blocks of a network read each value twice.
    fn values(&mut self, last: usize, state: State) -> Vec<ValueId> {
        let mut values = Vec::with_capacity(last + 1);
        for index in 0..=last {
            values.push(self.value(index, state, &values));
        }
        values
    }

    /// The value of unit `index` at `state`, which has those `below`.
    fn value(&mut self, index: usize, state: State, below: &[ValueId]) -> ValueId {
        let unit = &self.network.units[index];
        let inputs: Vec<ValueId> = unit.inputs.iter().map(|&input| below[input]).collect();
        let residual = unit.residual.map(|residual| below[residual]);
        let (weights, rest) = self.versions(unit, state);
        let whole = Value { unit: index, form: Form::Whole, inputs, residual, weights, rest };
        if !matches!(unit.core, Core::Product { .. }) || self.moving(state.line)[index].input {
            return self.named(whole);
        }
        let is_between = |version: &Version| matches!(version, Version::Between { .. });
        let ends = match weights {
            Some(Version::Between { from, to, .. }) => vec![Version::End(from), Version::End(to)],
            Some(weights) if whole.rest.iter().any(is_between) => vec![weights],
            _ => return self.named(whole),
        };
        let inputs = ends.into_iter().map(|end| self.named(whole.raw(end))).collect();
        self.named(Value { form: Form::Blend, inputs, ..whole })
    }

    /// Versions of the unit's weight, and of everything else in it.
    fn versions(&self, unit: &Unit, state: State) -> (Option<Version>, Vec<Version>) {
        let parameters = |layer: usize| self.courses.model.layers[layer].parameters.clone();
        let version = |parameter| self.courses.parameter(state, parameter);
        let mut rest: Vec<Version> = unit.layer().into_iter().flat_map(parameters).map(version).collect();
        let weights = matches!(unit.core, Core::Product { .. }).then(|| rest.remove(0));
        if let Some(norm) = unit.norm {
            rest.extend(parameters(norm.layer).map(version));
            rest.extend(match self.statistics {
                BatchStatistics::Buffers => Some(self.courses.statistics(state, norm.layer)),
                BatchStatistics::Batch => None,
                BatchStatistics::Estimated(estimates) => {
                    Some(Version::Estimated(estimates.places[&(state, norm.layer)]))
                }
            });
        }
        (weights, rest)
    }

    fn moving(&mut self, line: usize) -> &[Moving] {
        let (courses, network) = (self.courses, self.network);
        self.moving.entry(line).or_insert_with(|| courses.moving(line, network))
    }

    fn named(&mut self, value: Value) -> ValueId {
        if let Some(&id) = self.known.get(&value) {
            return id;
        }
        let unit = &self.network.units[value.unit];
        let bytes = packed_bytes(unit, value.form);
        self.bytes_read += bytes;
        if value.weights.is_some_and(|version| bytes > 0 && self.weights.insert((value.unit, version))) {
            self.weight_bytes += bytes;
        }
        self.operations += operations(unit, value.form);
        self.known.insert(value.clone(), self.values.len());
        self.values.push(value);
        self.values.len() - 1
    }

    /// The plan that computes `roots`, in this order, each as soon as it can be and with as little else kept as can be.
    pub(super) fn plan(mut self, roots: &[ValueId]) -> Plan<'p> {
        self.reuse_products();
        let Self { courses, network, values, statistics, bytes_read, operations, .. } = self;
        let mut actions = vec![];
        let mut is_there = vec![false; values.len()];
        for (number, &root) in roots.iter().enumerate() {
            compute(&values, root, &mut is_there, &mut actions);
            actions.push(Action::Root(number, root));
        }
        let actions = with_frees(&values, actions);
        let computed = |action: &Action| if let Action::Compute(value) = action { Some(*value) } else { None };
        let computed: Vec<ValueId> = actions.iter().filter_map(computed).collect();
        let estimated = match statistics {
            BatchStatistics::Estimated(estimates) => &estimates.statistics[..],
            BatchStatistics::Buffers | BatchStatistics::Batch => &[],
        };
        let prepared =
            Prepared::new(courses, network, estimated, computed.iter().map(|&value| (value, &values[value])));
        let held = most_held(network, &values, &actions);
        let by_batch = matches!(statistics, BatchStatistics::Batch);
        let uses = operations / 2.0 / (bytes_read / size_of::<f32>()).max(1) as f64;
        Plan { network, values, actions, prepared, by_batch, held, uses }
    }

    /// Whole values whose layer's products are a value as well become blends of that one.
    fn reuse_products(&mut self) {
        for value in &mut self.values {
            let Some(end) = value.weights.filter(|_| value.form == Form::Whole) else { continue };
            if let Some(&raw) = self.known.get(&value.raw(end)) {
                (value.form, value.inputs) = (Form::Blend, vec![raw]);
            }
        }
    }
}

impl Value {
    /// The products of its layer with the weights of `end`.
    fn raw(&self, end: Version) -> Self {
        let inputs = self.inputs.clone();
        Self { unit: self.unit, form: Form::Raw, inputs, residual: None, weights: Some(end), rest: vec![] }
    }

    fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs.iter().copied().chain(self.residual)
    }

    /// The shape of its numbers.
    pub(super) fn shape(&self, network: &Network) -> Shape {
        let unit = &network.units[self.unit];
        if self.form == Form::Raw { unit.middle } else { unit.after }
    }
}

/// Computes what `value` reads and then it, as far as it is not there yet.
fn compute(values: &[Value], value: ValueId, is_there: &mut [bool], actions: &mut Vec<Action>) {
    if !std::mem::replace(&mut is_there[value], true) {
        values[value].reads().for_each(|read| compute(values, read, is_there, actions));
        actions.push(Action::Compute(value));
    }
}

/// The same actions, each value freed after the last that reads it.
fn with_frees(values: &[Value], actions: Vec<Action>) -> Vec<Action> {
    let mut is_needed = vec![false; values.len()];
    let mut backwards = vec![];
    for action in actions.into_iter().rev() {
        let reads: Vec<ValueId> = match action {
            Action::Compute(value) => values[value].reads().collect(),
            Action::Root(_, value) | Action::Free(value) => vec![value],
        };
        for read in reads {
            if !std::mem::replace(&mut is_needed[read], true) {
                backwards.push(Action::Free(read));
            }
        }
        backwards.push(action);
    }
    backwards.reverse();
    backwards
}

/// The most numbers of one image that are held at a time.
fn most_held(network: &Network, values: &[Value], actions: &[Action]) -> usize {
    let (mut held, mut most) = (0, 0);
    for action in actions {
        match *action {
            Action::Compute(value) => {
                held += values[value].shape(network).len();
                let unit = &network.units[values[value].unit];
                most = most.max(held + unit.padded.len() + unit.middle.len());
            }
            Action::Free(value) => held -= values[value].shape(network).len(),
            Action::Root(..) => {}
        }
    }
    most
}

/// Bytes of the packed weights that a unit's value is computed with.
pub(super) fn packed_bytes(unit: &Unit, form: Form) -> usize {
    let Core::Product { how, .. } = &unit.core else { return 0 };
    let (inputs, outputs) = (unit.before.c, unit.middle.c);
    let numbers = match (form, how) {
        (Form::Blend, _) => 0,
        (_, Product::Rows { side: (height, width), .. }) => height * width * inputs * outputs,
        (_, Product::Winograd(_)) => 36 * inputs * outputs,
        (_, Product::Depthwise { side, .. }) => side * side * outputs,
    };
    numbers * size_of::<f32>()
}

/// Multiplications and additions of a unit for one image.
fn operations(unit: &Unit, form: Form) -> f64 {
    let products = match &unit.core {
        Core::Product { how: Product::Rows { rows, .. }, .. } => 2.0 * (rows.products() * unit.middle.c) as f64,
        // 36 products for 16 results.
        Core::Product { how: Product::Winograd(_), .. } => 4.5 * (unit.middle.len() * unit.before.c) as f64,
        Core::Product { how: Product::Depthwise { side, .. }, .. } => 2.0 * (unit.middle.len() * side * side) as f64,
        // Queries with keys, and scores with values.
        Core::Other(Op::Attention { .. }) => 4.0 * (unit.before.h * unit.after.len()) as f64,
        Core::Input | Core::Norm | Core::Other(_) => 0.0,
    };
    match form {
        Form::Raw => products,
        Form::Blend => 4.0 * unit.middle.len() as f64,
        Form::Whole => products + 4.0 * unit.middle.len() as f64,
    }
}
