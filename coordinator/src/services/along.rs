//! Points in the order of their alphas. Stores read them in the order in which they were asked for: a line's grid, and after
//! it what refines it.

use futures::stream::try_unfold;
use futures::{Stream, TryStreamExt as _};
use tonic::Status;

use crate::store::LinePoint;

/// The points of `pages` with those of each line and split in the order of their alphas. Holds one line back at most.
pub fn along(
    pages: impl Stream<Item = Result<Vec<LinePoint>, Status>> + Send,
) -> impl Stream<Item = Result<Vec<LinePoint>, Status>> + Send {
    try_unfold((Box::pin(pages), vec![], false), |(mut pages, mut held, is_over)| async move {
        if is_over {
            return Ok(None);
        }
        let page = pages.try_next().await?;
        let is_over = page.is_none();
        held.extend(page.unwrap_or_default());
        let mut rest = if is_over { vec![] } else { held.split_off(last_line(&held)) };
        std::mem::swap(&mut held, &mut rest);
        rest.chunk_by_mut(is_one_line).for_each(|line| line.sort_by(|a, b| a.alpha.total_cmp(&b.alpha)));
        Ok(Some((rest, (pages, held, is_over))))
    })
}

/// Where the last line among `points` begins.
fn last_line(points: &[LinePoint]) -> usize {
    points.len() - points.chunk_by(is_one_line).last().map_or(0, <[LinePoint]>::len)
}

/// Whether a point belongs to the line and split of the one before it: grids rise, and what refines them follows them.
fn is_one_line(before: &LinePoint, point: &LinePoint) -> bool {
    let goes_on = point.refined || (!before.refined && before.alpha < point.alpha);
    goes_on && before.split == point.split && before.line == point.line
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;
    use transect_common::data::Split;
    use transect_common::digest::RunDigest;

    use super::*;
    use crate::store::{LineLabel, RunLabel};

    fn line(mask: &str) -> LineLabel {
        let run = RunLabel { run: RunDigest::of(b"run"), model: "mlp".into(), seed: None, settings: String::new() };
        let word = String::new;
        LineLabel {
            run,
            from: word(),
            to: word(),
            mask: mask.into(),
            hold: word(),
            batch_norm: word(),
            elsewhere: None,
            align: false,
            normalize: word(),
        }
    }

    #[tokio::test]
    async fn lines_come_one_after_another_and_rise_whatever_the_pages_are() {
        // Two lines of one label lie side by side when they differ in what no label says.
        let told = [
            ("a", Split::Test, [0.0, 1.0].as_slice(), [0.5, 0.25].as_slice()),
            ("a", Split::Train, &[0.0, 1.0], &[0.5, 0.25]),
            ("b", Split::Test, &[0.0, 0.5, 1.0], &[]),
            ("b", Split::Test, &[0.0, 0.5, 1.0], &[0.75]),
            ("b", Split::Test, &[0.0, 1.0], &[0.25]),
        ];
        let mut stored = vec![];
        let mut expected = vec![];
        for (mask, split, grid, further) in told {
            let point = |refined| {
                move |&alpha: &f64| LinePoint {
                    line: line(mask),
                    split,
                    alpha,
                    loss: 0.0,
                    accuracy: 0.0,
                    count: 1,
                    refined,
                }
            };
            stored.extend(grid.iter().map(point(false)).chain(further.iter().map(point(true))));
            let mut alphas = [grid, further].concat();
            alphas.sort_by(f64::total_cmp);
            expected.extend(alphas.into_iter().map(|alpha| (mask, split, alpha)));
        }
        for size in 1..=stored.len() {
            let pages: Vec<_> = stored.chunks(size).map(|page| Ok(page.to_vec())).collect();
            let found: Vec<LinePoint> = along(futures::stream::iter(pages)).try_concat().await.unwrap();
            let found: Vec<_> = found.iter().map(|p| (p.line.mask.as_str(), p.split, p.alpha)).collect();
            assert_eq!(found, expected, "pages of {size}");
        }
    }
}
