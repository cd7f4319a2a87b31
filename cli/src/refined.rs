//! Lines whose grids are refined, as they are shown: means over runs that have alphas of their own, and what it saved.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::pb;

use crate::output::{counted, grouped};

/// Alphas that refine the grids of some lines.
#[derive(Debug, Clone, Default)]
pub struct RefinedAlphas(BTreeSet<u64>);

impl RefinedAlphas {
    /// Takes note of a point.
    pub fn know(&mut self, point: &pb::LinePoint) {
        if point.refined {
            self.0.insert(point.alpha.to_bits());
        }
    }

    /// The same curves, each (alpha, value) rising, with values at every refined alpha that one of them has: a grid is refined
    /// where its own line bends, and the others are straight there, to their tolerance. Nothing is added beyond the ends of a
    /// curve, nor where a value is lacking for another reason.
    pub fn shared(&self, runs: &[Vec<(f64, f64)>]) -> Vec<Vec<(f64, f64)>> {
        let refined = runs.iter().flatten().map(|point| point.0).filter(|x| self.0.contains(&x.to_bits()));
        let mut alphas: Vec<f64> = refined.collect();
        alphas.sort_by(f64::total_cmp);
        alphas.dedup();
        runs.iter().map(|run| with(run, &alphas)).collect()
    }
}

/// The curve with points at `alphas` too, as far as they lie between its own.
fn with(run: &[(f64, f64)], alphas: &[f64]) -> Vec<(f64, f64)> {
    let between = |&x: &f64| {
        let after = run.partition_point(|point| point.0 < x);
        let (before, after) = (run[after.checked_sub(1)?], run.get(after)?);
        let value = before.1 + (after.1 - before.1) * (x - before.0) / (after.0 - before.0);
        (x < after.0).then_some((x, value))
    };
    let mut all: Vec<(f64, f64)> = run.iter().copied().chain(alphas.iter().filter_map(between)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

/// What is measured of one refined line.
#[derive(Debug, Default)]
struct Refined {
    alphas: u64,
    error: f64,
    /// None where no uniform grid that a line may have is as fine.
    uniform: Option<u64>,
}

/// What refining saved, in a sentence; none where no grid was refined.
pub fn saved(measures: &[pb::LineMeasure]) -> Option<String> {
    let mut lines: BTreeMap<_, Refined> = BTreeMap::new();
    for m in measures {
        let ends = (&m.from_tag, &m.to_tag, &m.elsewhere, m.align, &m.normalize);
        let line = lines.entry((&m.run, &m.mask, ends, &m.hold, &m.batch_norm)).or_default();
        match m.name.as_str() {
            "refine-points" => line.alphas = m.value as u64,
            "refine-error" => line.error = m.value,
            "refine-uniform" => line.uniform = Some(m.value as u64),
            _ => {}
        }
    }
    let refined: Vec<Refined> = lines.into_values().filter(|line| line.alphas > 0).collect();
    let (known, sharp): (Vec<&Refined>, Vec<&Refined>) = refined.iter().partition(|line| line.uniform.is_some());
    let error = refined.iter().map(|line| line.error).fold(0.0, f64::max);
    let lines = |lines: &[&Refined]| counted(lines.len() as u64, "line");
    let alphas = |lines: &[&Refined]| grouped(lines.iter().map(|line| line.alphas).sum::<u64>());
    let uniform = grouped(known.iter().filter_map(|line| line.uniform).sum::<u64>());
    let mut told = vec![];
    if !known.is_empty() {
        told.push(format!("{} at {} alphas instead of {uniform}", lines(&known), alphas(&known)));
    }
    if !sharp.is_empty() {
        told.push(format!("{} at {} alphas instead of more than 10,001 each", lines(&sharp), alphas(&sharp)));
    }
    (!told.is_empty()).then(|| {
        let told = told.join(", ");
        format!("Refined grids: {told} spaced evenly with the same error, an estimated {error:.4} nats at most.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(run: &str, name: &str, value: f64) -> pb::LineMeasure {
        pb::LineMeasure { run: run.into(), mask: "all".into(), name: name.into(), value, ..Default::default() }
    }

    #[test]
    fn what_was_saved_is_told_over_all_lines() {
        let other = [measure("a", "distance", 7.0), measure("b", "cosine", 0.5)];
        assert_eq!(saved(&other), None);
        let mut all = other.to_vec();
        all.extend([measure("a", "refine-points", 31.0), measure("a", "refine-error", 0.008)]);
        all.push(measure("a", "refine-uniform", 257.0));
        all.extend([measure("b", "refine-points", 25.0), measure("b", "refine-error", 0.0012)]);
        all.push(measure("b", "refine-uniform", 1025.0));
        let same = "spaced evenly with the same error, an estimated 0.0080 nats at most.";
        assert_eq!(saved(&all).unwrap(), format!("Refined grids: 2 lines at 56 alphas instead of 1,282 {same}"));
        all.pop();
        let told = "1 line at 31 alphas instead of 257, 1 line at 25 alphas instead of more than 10,001 each";
        assert_eq!(saved(&all).unwrap(), format!("Refined grids: {told} {same}"));
    }

    #[test]
    fn curves_get_the_alphas_that_refine_others_and_no_more() {
        let mut refined = RefinedAlphas::default();
        for alpha in [0.25, 0.75] {
            refined.know(&pb::LinePoint { alpha, refined: true, ..Default::default() });
        }
        refined.know(&pb::LinePoint { alpha: 0.5, ..Default::default() });
        let fine = vec![(0.0, 2.0), (0.25, 9.0), (0.5, 1.0), (0.75, 3.0), (1.0, 0.0)];
        let coarse = vec![(0.0, 4.0), (1.0, 0.0)];
        let half = vec![(0.0, 4.0), (0.5, 2.0)];
        let shared = refined.shared(&[fine.clone(), coarse, half]);
        assert_eq!(shared[0], fine);
        assert_eq!(shared[1], [(0.0, 4.0), (0.25, 3.0), (0.75, 1.0), (1.0, 0.0)]);
        assert_eq!(shared[2], [(0.0, 4.0), (0.25, 3.0), (0.5, 2.0)]);
        assert_eq!(refined.shared(&[]), Vec::<Vec<(f64, f64)>>::new());
    }
}
