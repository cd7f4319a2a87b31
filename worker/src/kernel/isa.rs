//! One source, several instruction sets.

use std::sync::OnceLock;

use super::product::{COLUMNS, Piece, accumulate};

/// What this processor's vectors can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 512 bits with fused multiply-add.
    Avx512,
    /// 256 bits with fused multiply-add.
    Avx2,
    /// Whatever every processor of this architecture has. The same numbers, slowly.
    Baseline,
}

impl Isa {
    /// The best that this processor has.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                    return Self::Avx512;
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return Self::Avx2;
                }
            }
            Self::Baseline
        })
    }
}

/// The innermost loop of all products, compiled for one instruction set, with as many rows as fit its registers beside 16
/// columns.
pub(super) trait Tile<const ROWS: usize> {
    /// As [`accumulate`](super::product::accumulate).
    fn accumulate<const NEW: bool>(
        sums: &mut [[f32; COLUMNS]; ROWS],
        x: &[f32],
        starts: &[usize; ROWS],
        pieces: &[Piece],
        weights: &[f32],
    );
}

/// A [`Tile`] that is a function of its own: what the compiler makes of so tight a loop must not depend on its surroundings.
macro_rules! tile {
    ($name:ident, $rows:literal $(, $feature:literal)?) => {
        pub(super) struct $name;

        impl Tile<$rows> for $name {
            #[inline(always)]
            fn accumulate<const NEW: bool>(
                sums: &mut [[f32; COLUMNS]; $rows],
                x: &[f32],
                starts: &[usize; $rows],
                pieces: &[Piece],
                weights: &[f32],
            ) {
                #[inline(never)]
                $(#[target_feature(enable = $feature)])?
                fn compiled<const NEW: bool>(
                    sums: &mut [[f32; COLUMNS]; $rows],
                    x: &[f32],
                    starts: &[usize; $rows],
                    pieces: &[Piece],
                    weights: &[f32],
                ) {
                    accumulate::<_, NEW>(sums, x, starts, pieces, weights);
                }
                #[allow(unsafe_code, unused_unsafe, reason = "used only where the processor has what it was compiled for")]
                // SAFETY: `per_isa` takes the tile of the instruction set that `Isa::best` found.
                unsafe {
                    compiled::<NEW>(sums, x, starts, pieces, weights);
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tile!(Avx512Tile, 14, "avx512f,avx512vl,fma");
#[cfg(target_arch = "x86_64")]
tile!(Avx2Tile, 6, "avx2,fma");
tile!(BaselineTile, 4);

/// Makes a function that calls the best of several compilations of `$generic`, an `#[inline(always)]` function over a
/// [`Tile`] and its number of rows.
macro_rules! per_isa {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $generic:ident) => {
        $(#[$doc])*
        pub fn $name($($arg: $type),*) {
            use $crate::kernel::isa;
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,fma")]
                fn avx512($($arg: $type),*) { $generic::<isa::Avx512Tile, 14>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) { $generic::<isa::Avx2Tile, 6>($($arg),*) }
                #[expect(unsafe_code, reason = "each is called only where the processor has what it was compiled for")]
                match isa::Isa::best() {
                    // SAFETY: `best` saw these features.
                    isa::Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: likewise.
                    isa::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    isa::Isa::Baseline => {}
                }
            }
            $generic::<isa::BaselineTile, 4>($($arg),*);
        }
    };
}
pub(super) use per_isa;
