//! Colours that people with any kind of colour vision can tell apart.

use super::canvas::Color;

/// Okabe & Ito's colours without black (kept for the whole line) and yellow (too pale on white).
const OKABE_ITO: [Color; 6] = [
    Color(0, 114, 178),
    Color(213, 94, 0),
    Color(0, 158, 115),
    Color(230, 159, 0),
    Color(204, 121, 167),
    Color(86, 180, 233),
];

/// Viridis at even distances: rises evenly in lightness, so that it also reads in grey.
const VIRIDIS: [Color; 8] = [
    Color(68, 1, 84),
    Color(70, 50, 127),
    Color(54, 92, 141),
    Color(39, 127, 143),
    Color(31, 162, 136),
    Color(74, 194, 110),
    Color(160, 219, 57),
    Color(254, 232, 37),
];

/// The lightest share of viridis used for lines: its yellow end is lost on white.
const LIGHTEST_LINE: f64 = 0.92;

/// Most lines that get colours of their own rather than steps of a ramp.
pub const MOST_DISTINCT: usize = OKABE_ITO.len();

/// Colours for `count` lines in order: distinct ones for a few, else a ramp from dark (first) to light (last).
pub fn colors(count: usize) -> Vec<Color> {
    if count <= MOST_DISTINCT {
        return OKABE_ITO[..count].to_vec();
    }
    (0..count).map(|i| viridis(LIGHTEST_LINE * i as f64 / (count - 1) as f64)).collect()
}

/// Viridis from dark (0) to light (1).
pub fn viridis(share: f64) -> Color {
    let at = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let below = (at.floor() as usize).min(VIRIDIS.len() - 2);
    let (from, to) = (VIRIDIS[below], VIRIDIS[below + 1]);
    let blend = |a: u8, b: u8| (f64::from(a) + (at - below as f64) * (f64::from(b) - f64::from(a))).round() as u8;
    Color(blend(from.0, to.0), blend(from.1, to.1), blend(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness(Color(r, g, b): Color) -> f64 {
        0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
    }

    #[test]
    fn many_lines_get_a_ramp_that_only_brightens() {
        let ramp = colors(39);
        assert_eq!(ramp.len(), 39);
        assert!(ramp.windows(2).all(|pair| lightness(pair[0]) < lightness(pair[1])));
    }

    #[test]
    fn few_lines_get_distinct_colours() {
        for count in 0..=MOST_DISTINCT {
            let colors = colors(count);
            assert_eq!(colors.len(), count);
            assert!(colors.iter().enumerate().all(|(i, c)| !colors[..i].contains(c)));
        }
    }

    #[test]
    fn the_ramp_reaches_its_ends() {
        assert_eq!((viridis(0.0), viridis(1.0), viridis(7.0)), (VIRIDIS[0], VIRIDIS[7], VIRIDIS[7]));
    }
}
