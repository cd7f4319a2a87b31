//! Claims about finer grids: points that a coarser line has measured are taken over.

use transect_common::data::Split;
use transect_common::line::LineSpec;
use transect_coordinator::store::{NewSweep, Point, Row, SweepState};

use crate::world::{World, done, line, sweep};

/// A sweep with one line on these alphas.
fn on_grid(name: &str, alphas: &[f64]) -> NewSweep {
    with_line(name, LineSpec { alphas: alphas.to_vec(), ..line("all") })
}

/// A sweep with one line.
fn with_line(name: &str, line: LineSpec) -> NewSweep {
    let mut new = sweep(name, &[0], &["all"]);
    new.expansion.runs[0].lines = [line].into();
    new
}

fn at(split: Split, index: u32, alpha: f64) -> Row {
    Row::Point(Point { split, index, alpha, loss: 10.0 * alpha, accuracy: 0.5, count: 10 })
}

pub async fn a_finer_grid_measures_only_what_it_adds(world: World) {
    let worker = world.worker().await;
    world.sweep("coarse", &[0], &["all"]).await;
    world.work_it_all(worker).await;
    let fine = world.submit(on_grid("fine", &[0.0, 0.05, 0.1, 1.0])).await.unwrap().sweep;
    assert_eq!((fine.points, fine.points_expected), (6, 8), "three alphas on two splits are there");
    let lease = world.lease(worker).await;
    let expected = [0, 2, 3].map(|index| [(Split::Train, index), (Split::Test, index)]).concat();
    assert_eq!(lease.jobs[0].done_points, expected.into_iter().collect());
    let job = lease.jobs[0].job;
    let (_, message) = world.refused(worker, job, done()).await;
    assert!(message.contains("not complete"), "{message}");
    world.store_rows(worker, job, vec![at(Split::Train, 1, 0.05), at(Split::Test, 1, 0.05), done()]).await;
    assert_eq!(world.progress(&fine).await.state, SweepState::Done);
    let points = world.store.points(fine.id, None, 100).await.unwrap().rows;
    let losses: Vec<(f64, f64)> = points[..4].iter().map(|point| (point.alpha, point.loss)).collect();
    assert_eq!(losses, [(0.0, 0.5), (0.05, 10.0 * 0.05), (0.1, 1.5), (1.0, 2.5)], "with the values that were measured");
}

pub async fn only_the_same_line_is_taken_over(world: World) {
    let worker = world.worker().await;
    world.sweep("coarse", &[0], &["all"]).await;
    world.work_it_all(worker).await;
    let alphas = vec![0.0, 0.5, 1.0];
    let other = with_line("other", LineSpec { alphas: alphas.clone(), ..line("conv1") });
    assert_eq!(world.submit(other).await.unwrap().sweep.points, 0);
    let subset = with_line("subset", LineSpec { alphas, subset: Some(10), ..line("all") });
    assert_eq!(world.submit(subset).await.unwrap().sweep.points, 0);
}

pub async fn a_half_measured_line_gives_what_it_has(world: World) {
    let worker = world.worker().await;
    world.sweep("coarse", &[0], &["all"]).await;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    world.store_rows(worker, job, vec![crate::world::point(Split::Test, 2)]).await;
    let fine = world.submit(on_grid("fine", &[0.5, 1.0])).await.unwrap().sweep;
    assert_eq!((fine.points, fine.points_expected), (1, 4));
}
