//! Spirals in the plane, a classification problem that needs no files.

use serde::{Deserialize, Serialize};

/// How the spirals of the set `spirals` look. Point i of a split has class i mod `classes`; its place along the spiral, t,
/// is uniform in [0, 1); it lies at radius t, at the angle 2 pi (`turns` x t + class / `classes`), and both coordinates
/// get normal noise. Training and test points come from streams of their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spirals {
    /// Number of spirals, each a class; 2 to 256.
    #[serde(skip_serializing_if = "is_two")]
    pub classes: u32,
    /// Turns of each spiral around the origin; above 0.
    #[serde(skip_serializing_if = "is_one_and_a_half")]
    pub turns: f64,
    /// Standard deviation of the noise on each coordinate (the spirals fill the unit disc); at least 0.
    #[serde(skip_serializing_if = "is_two_hundredths")]
    pub noise: f64,
    /// Seeds the points; a seed of the data, not of the run.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: u64,
}

impl Spirals {
    /// Most points of a split.
    pub const MOST: u32 = 1_000_000;
}

impl Default for Spirals {
    fn default() -> Self {
        Self { classes: 2, turns: 1.5, noise: 0.02, seed: 0 }
    }
}

// The canonical form never leaves a `seed` out of a table, so a default says so itself where it is written.

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_two(classes: &u32) -> bool {
    *classes == Spirals::default().classes
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one_and_a_half(turns: &f64) -> bool {
    *turns == Spirals::default().turns
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_two_hundredths(noise: &f64) -> bool {
    *noise == Spirals::default().noise
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) fn is_zero(seed: &u64) -> bool {
    *seed == 0
}
