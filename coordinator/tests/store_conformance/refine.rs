//! Claims about lines whose grids are refined: how many points they have is not known before they are done.

use transect_common::data::Split;
use transect_common::line::LineSpec;
use transect_common::refine::Refine;
use transect_coordinator::store::{LinePoint, NewSweep, Point, RefusalReason, Row, SweepState};

use crate::world::{World, done, line, sweep};

const GRID: [f64; 3] = [0.0, 0.5, 1.0];

/// A sweep with one line that may have 3 alphas beyond its grid.
fn refined(name: &str) -> NewSweep {
    on_grid(name, &GRID, Some(Refine { budget: 3, tolerance: 0.01 }))
}

fn on_grid(name: &str, alphas: &[f64], refine: Option<Refine>) -> NewSweep {
    let mut new = sweep(name, &[0], &["all"]);
    new.expansion.runs[0].lines = [LineSpec { alphas: alphas.to_vec(), refine, ..line("all") }].into();
    new
}

fn at(split: Split, index: u32, alpha: f64) -> Row {
    Row::Point(Point { split, index, alpha, loss: 10.0 * alpha, accuracy: 0.5, count: 10 })
}

fn on_both(index: u32, alpha: f64) -> [Row; 2] {
    [at(Split::Train, index, alpha), at(Split::Test, index, alpha)]
}

fn grid() -> Vec<Row> {
    (0..).zip(GRID).flat_map(|(index, alpha)| on_both(index, alpha)).collect()
}

fn short(points: &[LinePoint]) -> Vec<(f64, bool)> {
    points.iter().map(|point| (point.alpha, point.refined)).collect()
}

pub async fn further_points_are_stored_and_marked(world: World) {
    let worker = world.worker().await;
    let sweep = world.submit(refined("refined")).await.unwrap().sweep;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    world.store_rows(worker, job, grid()).await;
    world.store_rows(worker, job, [on_both(3, 0.25), on_both(4, 0.75)].concat()).await;
    let measured = |name: &str| Row::Measure { name: name.to_owned(), split: None, value: 5.0 };
    world.store_rows(worker, job, ["refine-points", "refine-error", "refine-uniform"].map(measured).to_vec()).await;
    let under_way = world.progress(&sweep).await;
    assert_eq!((under_way.points, under_way.points_expected), (10, 12), "it may use its budget up");
    world.store_rows(worker, job, vec![done()]).await;
    let over = world.progress(&sweep).await;
    assert_eq!((over.state, over.points, over.points_expected), (SweepState::Done, 10, 10));
    let points = world.store.points(sweep.id, None, 100).await.unwrap().rows;
    let expected = [(0.0, false), (0.5, false), (1.0, false), (0.25, true), (0.75, true)];
    assert_eq!((short(&points[..5]), short(&points[5..])), (expected.to_vec(), expected.to_vec()));
    // Another sweep with the same line expects what there is.
    let again = world.submit(NewSweep { idempotency_key: "again".into(), ..refined("again") }).await.unwrap().sweep;
    assert_eq!((again.state, again.points, again.points_expected), (SweepState::Done, 10, 10));
}

pub async fn a_refined_line_may_end_with_its_grid(world: World) {
    let worker = world.worker().await;
    let sweep = world.submit(refined("refined")).await.unwrap().sweep;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    world.store_rows(worker, job, [grid(), vec![done()]].concat()).await;
    let over = world.progress(&sweep).await;
    assert_eq!((over.state, over.points, over.points_expected), (SweepState::Done, 6, 6));
}

pub async fn what_refines_no_grid_is_refused(world: World) {
    let worker = world.worker().await;
    world.submit(refined("refined")).await.unwrap();
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    for (index, alpha, reason) in [
        (6, 0.25, "index 6 is outside the grid of 3 alphas and 3 further ones"),
        (3, 0.5, "alpha 0.5 at index 3 refines no interval of the grid"),
        (3, 1.25, "alpha 1.25 at index 3 refines no interval of the grid"),
        (3, f64::NAN, "alpha NaN at index 3 refines no interval of the grid"),
        (1, 0.25, "alpha 0.25 is not on the grid: index 1 is 0.5"),
    ] {
        let (why, message) = world.refused(worker, job, at(Split::Test, index, alpha)).await;
        assert_eq!((why, message.as_str()), (RefusalReason::Invalid, reason));
    }
}

pub async fn a_refined_line_is_done_when_its_splits_agree(world: World) {
    let worker = world.worker().await;
    let sweep = world.submit(refined("refined")).await.unwrap().sweep;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    let mut rows = grid();
    let last = rows.pop().unwrap();
    world.store_rows(worker, job, rows).await;
    // As many points as the grid has, but not the grid's.
    world.store_rows(worker, job, vec![at(Split::Train, 3, 0.25)]).await;
    let incomplete = async |reason: &str| {
        let (why, message) = world.refused(worker, job, done()).await;
        assert_eq!((why, message.as_str()), (RefusalReason::Invalid, reason));
    };
    incomplete("not complete: point 2 on test is not stored").await;
    world.store_rows(worker, job, vec![last]).await;
    incomplete("not complete: other further alphas are stored on test than on train").await;
    world.store_rows(worker, job, vec![at(Split::Test, 4, 0.75)]).await;
    incomplete("not complete: point 3 on test is not stored").await;
    world.store_rows(worker, job, vec![at(Split::Test, 3, 0.25), at(Split::Train, 4, 0.75), done()]).await;
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done);
}

pub async fn an_interrupted_refined_line_is_told_its_losses(world: World) {
    let worker = world.worker().await;
    world.submit(refined("refined")).await.unwrap();
    world.train_next(worker).await;
    let first = world.lease(worker).await.jobs.remove(0);
    assert!(first.curve.is_empty());
    let wild = Point { split: Split::Train, index: 4, alpha: 0.1, loss: f64::NAN, accuracy: 0.5, count: 10 };
    world.store_rows(worker, first.job, [on_both(3, 0.25).to_vec(), vec![Row::Point(wild)]].concat()).await;
    world.store.leave(worker, world.now()).await.unwrap();
    let worker = world.worker().await;
    let second = world.lease(worker).await.jobs.remove(0);
    assert_eq!(second.curve.keys().copied().collect::<Vec<_>>(), second.done_points.into_iter().collect::<Vec<_>>());
    assert_eq!(second.curve[&(Split::Test, 3)], (0.25, 2.5));
    let (alpha, loss) = second.curve[&(Split::Train, 4)];
    assert!(alpha == 0.1 && loss.is_nan(), "what is no number is told as well");
}

pub async fn a_line_that_is_not_refined_is_told_no_losses(world: World) {
    let worker = world.worker().await;
    world.submit(on_grid("plain", &GRID, None)).await.unwrap();
    world.train_next(worker).await;
    let first = world.lease(worker).await.jobs.remove(0);
    world.store_rows(worker, first.job, vec![at(Split::Test, 0, 0.0)]).await;
    world.store.leave(worker, world.now()).await.unwrap();
    let worker = world.worker().await;
    let second = world.lease(worker).await.jobs.remove(0);
    assert_eq!((second.done_points.len(), second.curve.len()), (1, 0));
}

pub async fn grids_are_taken_over_whether_refined_or_not(world: World) {
    let worker = world.worker().await;
    world.submit(on_grid("plain", &GRID, None)).await.unwrap();
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    world.store_rows(worker, job, [grid(), vec![done()]].concat()).await;
    let sweep = world.submit(refined("refined")).await.unwrap().sweep;
    assert_eq!((sweep.points, sweep.points_expected), (6, 12), "the grid is there");
    let leased = world.lease(worker).await.jobs.remove(0);
    assert_eq!(leased.curve.len(), 6, "with its losses, from which further alphas follow");
    world.store_rows(worker, leased.job, [on_both(3, 0.25).to_vec(), vec![done()]].concat()).await;
    // What refined one grid is no point of another, though the alpha be on it.
    let finer = world.submit(on_grid("finer", &[0.0, 0.25, 0.5, 1.0], None)).await.unwrap().sweep;
    assert_eq!((finer.points, finer.points_expected), (6, 8));
}
