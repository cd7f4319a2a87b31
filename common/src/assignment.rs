//! Linear sum assignment: pairing rows with columns so that the gains add up to most.

/// For each row the column that it is paired with, each column once, so that the sum of `gains` (row by row, n x n,
/// finite) over the pairs is largest. Takes O(n^3) time; the same gains give the same pairs.
///
/// Shortest augmenting paths with potentials (Kuhn 1955, Munkres 1957; Jonker & Volgenant 1987, without their
/// initialisation): rows are added one by one, and each time the pairing is changed along the cheapest path that ends in
/// a free column.
///
/// # Panics
/// When `gains` are not n x n.
pub fn assignment(gains: &[f64], n: usize) -> Vec<usize> {
    assert_eq!(gains.len(), n * n, "gains are n x n");
    // Column n is where the new row waits; it is free again when its path is done.
    let mut row_of = vec![None; n + 1];
    let (mut row_price, mut column_price) = (vec![0.0; n], vec![0.0; n + 1]);
    for row in 0..n {
        row_of[n] = Some(row);
        let mut at = n;
        let mut slack = vec![f64::INFINITY; n];
        let mut came_from = vec![n; n];
        let mut is_reached = vec![false; n + 1];
        while let Some(paired) = row_of[at] {
            is_reached[at] = true;
            let (mut step, mut next) = (f64::INFINITY, n);
            for column in (0..n).filter(|&column| !is_reached[column]) {
                let reduced = -gains[paired * n + column] - row_price[paired] - column_price[column];
                if reduced < slack[column] {
                    (slack[column], came_from[column]) = (reduced, at);
                }
                if slack[column] < step {
                    (step, next) = (slack[column], column);
                }
            }
            for column in 0..=n {
                match row_of[column] {
                    Some(paired) if is_reached[column] => {
                        row_price[paired] += step;
                        column_price[column] -= step;
                    }
                    _ if column < n => slack[column] -= step,
                    _ => {}
                }
            }
            at = next;
        }
        while at != n {
            let before = came_from[at];
            row_of[at] = row_of[before];
            at = before;
        }
    }
    let mut pairs = vec![0; n];
    for (column, row) in row_of[..n].iter().enumerate() {
        pairs[row.expect("after n rows every column has one")] = column;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(gains: &[f64], pairs: &[usize]) -> f64 {
        pairs.iter().enumerate().map(|(row, column)| gains[row * pairs.len() + column]).sum()
    }

    /// The largest sum over all n! pairings of the rows from `row` with the columns that are not `taken`.
    fn best(gains: &[f64], n: usize, row: usize, taken: u32) -> f64 {
        if row == n {
            return 0.0;
        }
        let free = (0..n).filter(|column| taken & 1 << column == 0);
        free.map(|column| gains[row * n + column] + best(gains, n, row + 1, taken | 1 << column))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_pairing_gains_more(n in 0usize..7, pool in prop::collection::vec(-9.0f64..9.0, 36), is_whole in any::<bool>()) {
            // Whole numbers bring ties.
            let gains: Vec<f64> = pool[..n * n].iter().map(|&g| if is_whole { (g / 3.0).round() } else { g }).collect();
            let pairs = assignment(&gains, n);
            let mut columns = pairs.clone();
            columns.sort_unstable();
            prop_assert_eq!(columns, (0..n).collect::<Vec<_>>());
            prop_assert!((sum(&gains, &pairs) - best(&gains, n, 0, 0)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_hidden_permutation_is_found() {
        let n = 200;
        let hidden = |row: usize| (row * 77 + 13) % n;
        let gains: Vec<f64> =
            (0..n * n).map(|i| if i % n == hidden(i / n) { 1.0 } else { (i % 7) as f64 / 10.0 }).collect();
        assert_eq!(assignment(&gains, n), (0..n).map(hidden).collect::<Vec<_>>());
    }
}
