//! Weights packed for the kernels, and coefficients, for every value of a plan.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::network::{Core, Network, Product, Unit};
use super::plan::{Form, Value, ValueId};
use super::states::{Courses, Version};
use crate::kernel::{Blend, Weights, WinogradWeights};
use crate::openmp::for_each;

/// The weights of a layer as its kernel wants them.
#[derive(Debug)]
pub(super) enum Packed {
    Rows(Weights),
    Winograd(WinogradWeights),
    /// [side x side, C].
    Depthwise(Vec<f32>),
}

/// The part of a unit that is no product.
#[derive(Debug)]
pub(super) enum Rest {
    /// Nothing: the product itself.
    Nothing,
    /// A factor and a shift of each channel.
    Scale(Vec<f32>, Vec<f32>),
    /// Coefficients of one or two products.
    Blend(Blend),
    /// The parameters of any other operation, with their shapes.
    Parameters(Vec<(Vec<f32>, Vec<i64>)>),
}

/// Statistics that were estimated: means and unbiased variances of a batch norm's channels.
pub(super) type Statistics = (Vec<f64>, Vec<f64>);

/// By value.
#[derive(Debug)]
pub(super) struct Prepared {
    weights: Vec<Option<Arc<Packed>>>,
    rests: Vec<Option<Arc<Rest>>>,
}

impl Prepared {
    /// Prepares what the values of a plan need; what several of them share, once.
    pub(super) fn new<'v>(
        courses: &Courses,
        network: &Network,
        estimated: &[Statistics],
        values: impl Iterator<Item = (ValueId, &'v Value)>,
    ) -> Self {
        let maker = Maker { courses, estimated };
        let mut prepared = Self { weights: vec![], rests: vec![] };
        let (mut weights, mut rests) = (HashMap::new(), HashMap::new());
        for (id, value) in values {
            let unit = &network.units[value.unit];
            if prepared.rests.len() <= id {
                prepared.weights.resize(id + 1, None);
                prepared.rests.resize(id + 1, None);
            }
            if let (Some(version), Form::Whole | Form::Raw) = (value.weights, value.form) {
                let packed =
                    weights.entry((value.unit, version)).or_insert_with(|| Arc::new(maker.packed(unit, version)));
                prepared.weights[id] = Some(Arc::clone(packed));
            }
            let between = value.weights.filter(|version| matches!(version, Version::Between { .. }));
            let name = (value.unit, value.form, between.filter(|_| value.form == Form::Blend), &value.rest);
            let rest = rests.entry(name).or_insert_with(|| Arc::new(maker.rest(unit, value)));
            prepared.rests[id] = Some(Arc::clone(rest));
        }
        prepared
    }

    /// The weights that a value is computed with.
    pub(super) fn weights(&self, value: ValueId) -> &Packed {
        self.weights[value].as_ref().expect("products have weights")
    }

    /// The rest of what a value is computed with.
    pub(super) fn rest(&self, value: ValueId) -> &Rest {
        self.rests[value].as_ref().expect("every value of a plan was prepared")
    }
}

struct Maker<'m> {
    courses: &'m Courses<'m>,
    estimated: &'m [Statistics],
}

impl Maker<'_> {
    /// By all threads, each panel from as many filters as it holds: a large layer's weights lie nowhere a second time.
    fn packed(&self, unit: &Unit, version: Version) -> Packed {
        let Core::Product { layer, how } = &unit.core else { unreachable!("only products have weights") };
        let parameter = &self.courses.model.parameters[self.courses.model.layers[*layer].parameters.start];
        let (inputs, outputs) = (unit.before.c, unit.middle.c);
        let filters = |some: Range<usize>| {
            let one = parameter.len / outputs;
            self.courses.theta(version, parameter.offset + some.start * one..parameter.offset + some.end * one)
        };
        match how {
            Product::Rows { side: (height, width), .. } => {
                let (area, mut packed) = (height * width, Weights::room());
                for_each(packed.panels_mut(area * inputs, outputs), |panel| {
                    let filters = filters(panel.outputs());
                    panel.take_filters(&filters, area);
                });
                Packed::Rows(packed)
            }
            Product::Winograd(_) => {
                let mut packed = WinogradWeights::room(inputs, outputs);
                for_each(packed.panels_mut(), |panel| {
                    let filters = filters(panel.outputs());
                    panel.take_filters(&filters);
                });
                Packed::Winograd(packed)
            }
            Product::Depthwise { side, .. } => {
                let (area, weights) = (side * side, filters(0..outputs));
                Packed::Depthwise((0..area * inputs).map(|k| weights[k % inputs * area + k / inputs]).collect())
            }
        }
    }

    fn rest(&self, unit: &Unit, value: &Value) -> Rest {
        if value.form == Form::Raw {
            return Rest::Nothing;
        }
        match unit.core {
            Core::Input => Rest::Nothing,
            Core::Other(op) => {
                let own = op.layer().map_or(0..0, |layer| self.courses.model.layers[layer].parameters.clone());
                let shape = |parameter: usize| {
                    self.courses.model.parameters[parameter].shape.iter().map(|&size| size.into()).collect()
                };
                let parameters = own.zip(&value.rest).map(|(p, &version)| (self.parameter(p, version), shape(p)));
                Rest::Parameters(parameters.collect())
            }
            Core::Product { .. } | Core::Norm => {
                let (scale, shift) = self.scale_and_shift(unit, value);
                let narrow =
                    |values: &[f64], factor: f64| values.iter().map(|v| (v * factor) as f32).collect::<Vec<_>>();
                match (value.form, value.weights) {
                    (Form::Blend, Some(Version::Between { alpha, .. })) => {
                        let second = narrow(&scale, f64::from_bits(alpha));
                        Rest::Blend(Blend::new(&narrow(&scale, 1.0), Some(&second), &narrow(&shift, 1.0)))
                    }
                    (Form::Blend, _) => Rest::Blend(Blend::new(&narrow(&scale, 1.0), None, &narrow(&shift, 1.0))),
                    _ => Rest::Scale(narrow(&scale, 1.0), narrow(&shift, 1.0)),
                }
            }
        }
    }

    /// What becomes of each channel's products: y = product * scale + shift, with bias b and batch norm
    /// (product + b - mean) / sqrt(var + eps) * gamma + beta; in f64.
    fn scale_and_shift(&self, unit: &Unit, value: &Value) -> (Vec<f64>, Vec<f64>) {
        let model = self.courses.model;
        let mut rest = value.rest.iter().copied();
        let mut next = |parameter: Option<usize>| -> Option<Vec<f64>> {
            let (parameter, version) = (parameter?, rest.next()?);
            Some(self.parameter(parameter, version).into_iter().map(f64::from).collect())
        };
        let channels = unit.middle.c;
        let bias = unit.layer().and_then(|layer| next(model.layers[layer].parameters.clone().nth(1)));
        let mut scale = vec![1.0; channels];
        let mut shift = bias.unwrap_or_else(|| vec![0.0; channels]);
        if let Some(norm) = unit.norm {
            let own = model.layers[norm.layer].parameters.clone();
            let gamma = next(own.clone().next()).unwrap_or_else(|| vec![1.0; channels]);
            let beta = next(own.clone().nth(1)).unwrap_or_else(|| vec![0.0; channels]);
            if let Some(version) = rest.next() {
                let (mean, var) = self.statistics(norm.layer, version);
                for c in 0..channels {
                    scale[c] = gamma[c] / (var[c] + norm.eps).sqrt();
                    shift[c] = (shift[c] - mean[c]).mul_add(scale[c], beta[c]);
                }
            } else {
                (scale, shift) = (gamma, beta);
            }
        }
        (scale, shift)
    }

    fn parameter(&self, parameter: usize, version: Version) -> Vec<f32> {
        let p = &self.courses.model.parameters[parameter];
        self.courses.theta(version, p.offset..p.offset + p.len).into_owned()
    }

    fn statistics(&self, layer: usize, version: Version) -> Statistics {
        if let Version::Estimated(index) = version {
            return self.estimated[index].clone();
        }
        let own = &self.courses.model.buffers[self.courses.model.layers[layer].buffers.clone()];
        let part = |i: usize| -> Vec<f64> {
            let range = own[i].offset..own[i].offset + own[i].len;
            self.courses.buffers(version, range).iter().map(|&v| v.into()).collect()
        };
        (part(0), part(1))
    }
}
