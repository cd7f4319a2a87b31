//! Orthonormal matrices, drawn by chance.

use crate::random::Stream;

/// A matrix [rows, columns], row by row, with orthonormal rows or columns, whichever are fewer: the Q of a QR
/// decomposition of a matrix of standard normal numbers, with R's diagonal positive (Saxe, `McClelland` & Ganguli 2014;
/// Mezzadri 2007, section 5, for the diagonal: so every such matrix is equally likely).
///
/// By modified Gram-Schmidt, twice, in f64: orthonormal to rounding (Giraud et al. 2005), with the same bits everywhere.
pub(super) fn orthogonal(rows: usize, columns: usize, stream: &mut Stream) -> Vec<f64> {
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = (0..count).map(|_| (0..len).map(|_| stream.normal()).collect()).collect();
    for index in 0..count {
        let (before, rest) = vectors.split_at_mut(index);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in &*before {
                let along = dot(other, vector);
                for (v, o) in vector.iter_mut().zip(other) {
                    *v -= along * o;
                }
            }
            let length = dot(vector, vector).sqrt();
            for v in vector.iter_mut() {
                *v /= length;
            }
        }
    }
    if rows <= columns {
        return vectors.concat();
    }
    (0..rows).flat_map(|row| vectors.iter().map(move |column| column[row])).collect()
}

/// Sum of products, in eight sums side by side: in that order, on every machine.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn drawn(rows: usize, columns: usize) -> Vec<f64> {
        orthogonal(rows, columns, &mut Stream::new(1, Purpose::Init, 0))
    }

    #[test]
    fn rows_or_columns_are_orthonormal() {
        for (rows, columns) in [(1, 1), (3, 3), (5, 17), (17, 5), (40, 41), (1, 9), (9, 1)] {
            let matrix = drawn(rows, columns);
            let at =
                |i: usize, k: usize| if rows <= columns { matrix[i * columns + k] } else { matrix[k * columns + i] };
            for i in 0..rows.min(columns) {
                for j in 0..rows.min(columns) {
                    let product: f64 = (0..rows.max(columns)).map(|k| at(i, k) * at(j, k)).sum();
                    let expected = f64::from(u8::from(i == j));
                    assert!((product - expected).abs() < 1e-12, "{rows}x{columns}: {i}, {j}: {product}");
                }
            }
        }
    }

    #[test]
    fn the_first_vector_is_the_first_draw_at_length_1() {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let draw: Vec<f64> = (0..17).map(|_| stream.normal()).collect();
        let length = dot(&draw, &draw).sqrt();
        for (ours, drawn) in drawn(5, 17).iter().zip(draw) {
            assert!((ours - drawn / length).abs() < 1e-14);
        }
    }
}
