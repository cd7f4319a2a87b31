//! The product: settings with one value, axes with several, counted and walked without being written out.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::tree::Entry;
use super::value::{Given, Val};

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Dimension {
    /// The setting, dotted.
    pub key: String,
    pub at: usize,
    /// At least one.
    pub values: Vec<Val>,
    /// The axis and value that it hangs on: it multiplies only runs with that value. That axis hangs on none itself.
    pub when: Option<(usize, usize)>,
    /// The axis that it goes along with, value by value: it multiplies nothing. That one goes along with none itself.
    pub zipped: Option<usize>,
}

/// Settings of every run of a sweep. Axes are named by their index.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub fixed: Vec<(String, Val)>,
    pub axes: Vec<Dimension>,
    /// What runs that others start from do otherwise, each as JSON text and as it was written.
    pub withs: Vec<(String, Vec<Entry>)>,
}

/// One value of one axis: their indices.
pub(super) type Pick = (usize, usize);

impl Settings {
    pub fn add(&mut self, key: String, given: Given, when: Option<(usize, usize)>) {
        match given {
            Given::One(value) => self.fixed.push((key, value)),
            Given::Axis(at, values) => self.axes.push(Dimension { key, at, values, when, zipped: None }),
        }
    }

    /// Every value that a setting has somewhere in the sweep.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Val> {
        let fixed = self.fixed.iter().filter(move |(k, _)| k == key).map(|(_, value)| value);
        fixed.chain(self.axes.iter().filter(move |axis| axis.key == key).flat_map(|axis| &axis.values))
    }

    /// Axes that hang on none and go along with none, in the file's order.
    fn roots(&self) -> Vec<usize> {
        let is_root = |&i: &usize| self.axes[i].when.is_none() && self.axes[i].zipped.is_none();
        let mut roots: Vec<usize> = (0..self.axes.len()).filter(is_root).collect();
        roots.sort_by_key(|&i| self.axes[i].at);
        roots
    }

    /// Axes by the pick that they hang on, in the file's order.
    fn hanging(&self) -> HashMap<Pick, Vec<usize>> {
        let mut hanging: HashMap<Pick, Vec<usize>> = HashMap::new();
        for (i, axis) in self.axes.iter().enumerate() {
            if let Some(pick) = axis.when {
                hanging.entry(pick).or_default().push(i);
            }
        }
        for axes in hanging.values_mut() {
            axes.sort_by_key(|&i| self.axes[i].at);
        }
        hanging
    }

    /// All axes in the order of the product: the file's, but that one which hangs on another follows it.
    pub fn order(&self) -> Vec<usize> {
        let root = |i: usize| self.axes[i].when.map_or(i, |(root, _)| root);
        let mut order: Vec<usize> = (0..self.axes.len()).collect();
        order.sort_by_key(|&i| (self.axes[root(i)].at, self.axes[i].when.is_some(), self.axes[i].at));
        order
    }

    /// The picks that one value of an axis brings: its own, then those of the axes that go along with it.
    fn together(&self, root: usize, value: usize) -> Vec<Pick> {
        let followers = (0..self.axes.len()).filter(|&i| self.axes[i].zipped == Some(root));
        std::iter::once(root).chain(followers).map(|axis| (axis, value)).collect()
    }

    /// How many ways an axis that hangs on none goes with those that hang on it.
    fn ways(&self, root: usize, hanging: &HashMap<Pick, Vec<usize>>) -> u128 {
        let below = |value: usize| {
            let axes = self.together(root, value).into_iter().flat_map(|pick| hanging.get(&pick).into_iter().flatten());
            product(axes.map(|&i| self.axes[i].values.len() as u128))
        };
        (0..self.axes[root].values.len()).map(below).fold(0, u128::saturating_add)
    }

    /// How many runs the product has.
    pub fn count(&self) -> u128 {
        let hanging = self.hanging();
        product(self.roots().into_iter().map(|root| self.ways(root, &hanging)))
    }

    /// Every run's picks, the last axis fastest. Call it only when [`Settings::count`] is small enough.
    pub fn combinations(&self) -> Vec<Vec<Pick>> {
        let hanging = self.hanging();
        let mut all: Vec<Vec<Pick>> = vec![vec![]];
        for root in self.roots() {
            let ways: Vec<Vec<Pick>> =
                (0..self.axes[root].values.len()).flat_map(|value| self.ways_below(root, value, &hanging)).collect();
            all = joined(&all, &ways);
        }
        all
    }

    fn ways_below(&self, root: usize, value: usize, hanging: &HashMap<Pick, Vec<usize>>) -> Vec<Vec<Pick>> {
        let together = self.together(root, value);
        let axes = together.iter().flat_map(|pick| hanging.get(pick).into_iter().flatten());
        axes.fold(vec![together.clone()], |ways, &axis| {
            let values: Vec<Vec<Pick>> = (0..self.axes[axis].values.len()).map(|v| vec![(axis, v)]).collect();
            joined(&ways, &values)
        })
    }

    /// Settings of one run as nested JSON: `{"train": {"epochs": 10, ...}, ...}`.
    pub fn assemble(&self, picks: &[Pick]) -> Json {
        let mut root = Json::Object(serde_json::Map::new());
        let picked = picks.iter().map(|&(axis, value)| {
            let axis = &self.axes[axis];
            (axis.key.as_str(), &axis.values[value].json)
        });
        // An axis of tables comes before the axes inside its tables, so these find their table there.
        for (key, json) in self.fixed.iter().map(|(key, value)| (key.as_str(), &value.json)).chain(picked) {
            let mut slot = &mut root;
            for part in key.split('.') {
                // A table that is not there yet begins; one that is some other value cannot be: keys are checked.
                slot = &mut slot[part];
            }
            *slot = json.clone();
        }
        root
    }
}

fn product(factors: impl Iterator<Item = u128>) -> u128 {
    factors.fold(1, u128::saturating_mul)
}

fn joined(left: &[Vec<Pick>], right: &[Vec<Pick>]) -> Vec<Vec<Pick>> {
    left.iter().flat_map(|a| right.iter().map(move |b| [a.as_slice(), b].concat())).collect()
}
