//! Scales: where a value stands along an axis, and which values are written beside it.

/// Losses that a logarithmic axis shows, in nats; what lies outside is cut off at its edge.
const SHOWN_LOSSES: (f64, f64) = (1e-6, 1e6);

/// An axis from `low` to `high`, `low < high`; both positive on a logarithmic one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Smallest step between ticks: 1 for an axis of whole numbers.
    finest: f64,
}

impl Scale {
    /// From `low` to `high`; widened when they are equal.
    pub fn linear(low: f64, high: f64) -> Self {
        let (low, high) = if low < high { (low, high) } else { (low - 0.5, low + 0.5) };
        Self { low, high, logarithmic: false, finest: 0.0 }
    }

    /// Whole numbers from `low` to `high`.
    pub fn whole(low: f64, high: f64) -> Self {
        Self { finest: 1.0, ..Self::linear(low, high) }
    }

    /// For losses in nats: from 0, or logarithmic when the largest is more than `logarithmic_above` times the smallest. Takes no notice of values that
    /// are not finite.
    pub fn of_losses(values: impl Iterator<Item = f64>, logarithmic_above: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|&value| value.is_finite() && value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high <= 0.0 {
            return Self::linear(0.0, 1.0);
        }
        if high / low <= logarithmic_above {
            return Self::linear(0.0, 1.05 * high);
        }
        let (least, most) = SHOWN_LOSSES;
        let (low, high) = (low.clamp(least, most / 1e3), high.clamp(least * 1e3, most));
        let margin = (high / low).powf(0.04);
        Self { low: low / margin, high: high * margin, logarithmic: true, finest: 0.0 }
    }

    /// Whether `value` lies between the ends.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// How far along the axis a finite value stands: 0 at its low end, 1 at its high end, beyond for values outside.
    pub fn share(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Values to write beside the axis, about `wanted` of them, with their labels.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        if self.logarithmic { self.powers_of_ten(wanted) } else { self.round_numbers(wanted) }
    }

    /// Values to mark without a label: the powers of ten, and their multiples while there
    /// is room. None on a linear axis.
    pub fn minor_ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            return vec![];
        }
        let multiples = if self.decades() < 5.0 { 1..10 } else { 1..2 };
        self.powers()
            .flat_map(|power| multiples.clone().map(move |i| f64::from(i) * 10_f64.powi(power)))
            .filter(|&v| self.holds(v))
            .collect()
    }

    fn powers(&self) -> std::ops::RangeInclusive<i32> {
        self.low.log10().floor() as i32..=self.high.log10().floor() as i32
    }

    fn decades(&self) -> f64 {
        (self.high / self.low).log10()
    }

    fn powers_of_ten(&self, wanted: usize) -> Vec<(f64, String)> {
        let every = (self.decades() / wanted as f64).ceil() as i32;
        let shown = self.powers().filter(|power| power.rem_euclid(every) == 0);
        let multiples: &[f64] = if self.decades() < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks = shown.flat_map(|power| multiples.iter().map(move |m| (m * 10_f64.powi(power), *m, power)));
        let ticks: Vec<_> = ticks.filter(|(value, ..)| self.holds(*value)).collect();
        let plain = ticks.iter().all(|(.., power)| (-2..=3).contains(power));
        let label = |multiple: f64, power: i32| {
            if plain {
                format!("{:.*}", -power.min(0) as usize, multiple * 10_f64.powi(power))
            } else {
                raised(multiple, power)
            }
        };
        ticks.into_iter().map(|(value, multiple, power)| (value, label(multiple, power))).collect()
    }

    fn round_numbers(&self, wanted: usize) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / wanted as f64;
        let unit = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * unit).into_iter().find(|&s| s >= rough * 0.999).unwrap_or(10.0 * unit);
        let step = step.max(self.finest);
        let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
        let count = |value: f64| value / step;
        let (first, last) = ((count(self.low) - 1e-6).ceil() as i64, (count(self.high) + 1e-6).floor() as i64);
        let label = |value: f64| {
            if step >= 1e4 || decimals > 4 { format!("{value:.1e}") } else { format!("{value:.decimals$}") }
        };
        (first..=last).map(|i| i as f64 * step).map(|value| (value, label(value))).collect()
    }
}

/// `1`, `10⁻⁵`, `2·10⁴`.
fn raised(multiple: f64, power: i32) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let power_text = power.to_string();
    let raised: String = power_text.chars().map(|c| c.to_digit(10).map_or('⁻', |d| digits[d as usize])).collect();
    match (power, multiple > 1.0) {
        (0, _) => multiple.to_string(),
        (_, false) => format!("10{raised}"),
        (_, true) => format!("{multiple}·10{raised}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    fn scale_of(losses: &[f64]) -> Scale {
        Scale::of_losses(losses.iter().copied(), 100.0)
    }

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(labels(Scale::linear(0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Scale::linear(-0.5, 1.5)), ["-0.5", "0.0", "0.5", "1.0", "1.5"]);
        assert_eq!(labels(Scale::linear(0.0, 2.42)), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(Scale::whole(0.0, 2.0)), ["0", "1", "2"]);
        assert_eq!(labels(Scale::whole(0.0, 100.0)), ["0", "20", "40", "60", "80", "100"]);
    }

    #[test]
    fn losses_over_two_decades_go_on_a_logarithmic_axis() {
        assert!(!scale_of(&[0.1, 2.3]).logarithmic);
        let wide = scale_of(&[0.004, 12.0, f64::NAN, f64::INFINITY]);
        assert!(wide.logarithmic && wide.holds(0.004) && wide.holds(12.0));
        assert_eq!(labels(wide), ["0.01", "0.1", "1", "10"]);
        let narrow = scale_of(&[0.08, 11.0]);
        assert_eq!(labels(narrow), ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        assert!(wide.minor_ticks().iter().all(|&v| wide.holds(v)));
    }

    #[test]
    fn no_loss_is_too_large_or_too_small_for_an_axis() {
        for losses in
            [vec![0.0, 0.0], vec![], vec![f64::NAN], vec![1e-300, 1e300], vec![1e200, 1e303], vec![1e-30, 1e-20]]
        {
            let scale = scale_of(&losses);
            assert!(scale.low < scale.high && scale.low.is_finite() && scale.high.is_finite(), "{losses:?} {scale:?}");
            let ticks = scale.ticks(5);
            assert!((2..=9).contains(&ticks.len()), "{losses:?} {ticks:?}");
            assert!(losses.iter().all(|&l| l.is_nan() || scale.share(l).is_finite()), "{losses:?}");
        }
        assert_eq!([raised(1.0, -5), raised(2.0, 4), raised(1.0, 0)], ["10⁻⁵", "2·10⁴", "1"]);
    }

    #[test]
    fn shares_run_from_0_to_1_along_the_axis() {
        for scale in [Scale::linear(-1.0, 3.0), scale_of(&[0.001, 5.0])] {
            assert!(scale.share(scale.low).abs() < 1e-12 && (scale.share(scale.high) - 1.0).abs() < 1e-12);
            assert!(scale.share(1.0) > 0.0 && scale.share(1.0) < scale.share(2.0) && scale.share(9.0) > 1.0);
        }
    }
}
