//! Whether two values go together over runs: Pearson's and Spearman's correlation over all runs, within settings and
//! between settings.

use serde::Serialize;

use super::bootstrap::{self, Interval};
use super::{FEWEST_FOR_CORRELATION, Silent, is_constant, mean};

/// Which correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// How close to a straight line: covariance over the product of standard deviations.
    Pearson,
    /// How close to any rising line: Pearson's correlation of the ranks, ties sharing their mean rank (Spearman 1904).
    Spearman,
}

impl Method {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spearman, Self::Pearson];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pearson => "Pearson",
            Self::Spearman => "Spearman",
        }
    }
}

/// A correlation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Correlation {
    /// In [-1, 1].
    pub value: f64,
    /// Percentile bootstrap interval over the runs. None when more than 2.5 % of the resamples have no correlation,
    /// because few runs differ.
    pub interval: Option<Interval>,
    /// Number of runs, or of settings for [`between`].
    pub n: usize,
}

/// The correlation of `x` and `y`, one value of each for each run, whatever its setting.
pub fn across(x: &[f64], y: &[f64], method: Method) -> Result<Correlation, Silent> {
    enough(x.len(), FEWEST_FOR_CORRELATION)?;
    stated(x, y, &[(0..x.len()).collect()], method)
}

/// The correlation of what is left of `x` and `y` when each setting's own level is taken away, so that only differences
/// among runs of one setting count. `settings` names each run's setting.
///
/// For Pearson, the mean of its setting is taken from every value, and the rest is pooled. For Spearman, values are
/// ranked within their setting (ties share their mean rank), the mean rank is taken away, and the rest is pooled. Settings
/// of one run say nothing and are left out. A mean costs each setting one run, so n minus the number of settings must
/// reach [`FEWEST_FOR_CORRELATION`] - 1. The bootstrap draws runs within their settings.
pub fn within(x: &[f64], y: &[f64], settings: &[usize], method: Method) -> Result<Correlation, Silent> {
    let strata: Vec<Vec<usize>> = strata(settings).into_iter().filter(|stratum| stratum.len() > 1).collect();
    let n: usize = strata.iter().map(Vec::len).sum();
    enough(n, FEWEST_FOR_CORRELATION - 1 + strata.len().max(1))?;
    stated(x, y, &strata, method)
}

/// The correlation of the settings' means, each setting counting once however many runs it has.
pub fn between(x: &[f64], y: &[f64], settings: &[usize], method: Method) -> Result<Correlation, Silent> {
    let strata = strata(settings);
    let means = |values: &[f64]| -> Vec<f64> {
        strata.iter().filter_map(|runs| mean(&runs.iter().map(|&i| values[i]).collect::<Vec<_>>())).collect()
    };
    across(&means(x), &means(y), method)
}

fn enough(n: usize, needed: usize) -> Result<(), Silent> {
    if n < needed { Err(Silent::TooFew { n, needed }) } else { Ok(()) }
}

/// Indices of the runs of each setting, in the order in which settings first come.
fn strata(settings: &[usize]) -> Vec<Vec<usize>> {
    let mut known: Vec<usize> = vec![];
    let mut strata: Vec<Vec<usize>> = vec![];
    for (run, setting) in settings.iter().enumerate() {
        if let Some(i) = known.iter().position(|k| k == setting) {
            strata[i].push(run);
        } else {
            known.push(*setting);
            strata.push(vec![run]);
        }
    }
    strata
}

/// Point estimate and interval. A resample holds each stratum's runs one after another, as `strata` does.
fn stated(x: &[f64], y: &[f64], strata: &[Vec<usize>], method: Method) -> Result<Correlation, Silent> {
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    let runs: Vec<usize> = strata.iter().flatten().copied().collect();
    let (x, y) = (Values::new(x, method), Values::new(y, method));
    let mut scratch = (vec![], vec![]);
    let mut correlation = |draw: &[usize]| {
        x.centred(draw, &sizes, &mut scratch.0);
        y.centred(draw, &sizes, &mut scratch.1);
        cosine(&scratch.0, &scratch.1)
    };
    let value = correlation(&runs).ok_or(Silent::Constant)?;
    Ok(Correlation { value, interval: bootstrap::interval(strata, correlation), n: runs.len() })
}

/// Values with what ranking any draw of them needs.
struct Values<'a> {
    of_runs: &'a [f64],
    /// Place of each value among the distinct ones, for Spearman.
    codes: Option<Vec<usize>>,
    distinct: usize,
}

impl<'a> Values<'a> {
    fn new(values: &'a [f64], method: Method) -> Self {
        let mut distinct = values.to_vec();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let code = |v: &f64| distinct.partition_point(|d| d < v);
        let codes = (method == Method::Spearman).then(|| values.iter().map(code).collect());
        Self { of_runs: values, codes, distinct: distinct.len() }
    }

    /// Values (or ranks) of the runs drawn, less the mean of their stratum; exactly 0 where a stratum is constant.
    fn centred(&self, draw: &[usize], sizes: &[usize], out: &mut Vec<f64>) {
        out.clear();
        let mut rest = draw;
        for &size in sizes {
            let (stratum, after) = rest.split_at(size);
            rest = after;
            let from = out.len();
            match &self.codes {
                Some(codes) => {
                    // Ranks by counting: no sort for each of thousands of draws.
                    let mut counts = vec![0_usize; self.distinct];
                    for &run in stratum {
                        counts[codes[run]] += 1;
                    }
                    let mut below = 0;
                    let mut rank = vec![0.0; self.distinct];
                    for (code, &count) in counts.iter().enumerate() {
                        rank[code] = below as f64 + f64::midpoint(count as f64, 1.0);
                        below += count;
                    }
                    out.extend(stratum.iter().map(|&run| rank[codes[run]]));
                }
                None => out.extend(stratum.iter().map(|&run| self.of_runs[run])),
            }
            let centre = if is_constant(&out[from..]) { out[from] } else { mean(&out[from..]).unwrap_or_default() };
            out[from..].iter_mut().for_each(|v| *v -= centre);
        }
    }
}

/// Cosine of the angle between centred values, which is their correlation. None where one is all 0.
fn cosine(x: &[f64], y: &[f64]) -> Option<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (dot(x, x) * dot(y, y)).sqrt();
    (scale > 0.0).then(|| (dot(x, y) / scale).clamp(-1.0, 1.0))
}

/// The rank of each value from 1, ties sharing their mean rank.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let below = |v: f64| values.iter().filter(|&&other| other < v).count() as f64;
    let equal = |v: f64| values.iter().filter(|&&other| other == v).count() as f64;
    values.iter().map(|&v| below(v) + f64::midpoint(equal(v), 1.0)).collect()
}
