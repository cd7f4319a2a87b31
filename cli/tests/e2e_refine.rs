//! A sweep whose grids are refined, with real processes: marked in SQL, told in words, and the same after SIGKILL.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use support::{Bench, need_worker, tiny_mnist, tiny_sweep};

// The plain evaluator hands out each point as it is measured, so there is something to interrupt.
const RUN: [&str; 9] = ["run", "x.toml", "--data", "data", "--workers", "1", "--no-plots", "--evaluator", "plain"];
const PATIENCE: Duration = Duration::from_mins(2);

/// One run with one line, whose points take long enough to be interrupted between: images are evaluated one by one.
fn bench() -> Bench {
    need_worker();
    let bench = Bench::new();
    tiny_mnist(&bench.path("data"), 1500, 500);
    let refined = "count = 5, refine = { budget = 6, tolerance = 0.001 } }\nbatch_size = 1";
    let sweep = tiny_sweep("x", 1, 2).replace("count = 5 }", refined).replace(r#"["all", "each"]"#, r#"["all"]"#);
    bench.write("x.toml", sweep);
    bench
}

/// What `sql` selects, as a user reads it beside the coordinator; nothing while there is no such table.
async fn select<T>(bench: &Bench, sql: &'static str) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    let path = bench.path(".transect/transect.db");
    let Ok(pool) = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).read_only(true)).await else {
        return vec![];
    };
    let rows = sqlx::query_as(sql).fetch_all(&pool).await.unwrap_or_default();
    pool.close().await;
    rows
}

/// Starts the command and kills it, its coordinator and its worker with SIGKILL once so many points are stored.
async fn kill_at(bench: &Bench, points: i64) {
    let mut command = bench.command(&RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    loop {
        let stored: Vec<(i64,)> = select(bench, "SELECT count(*) FROM line_points").await;
        if stored.first().is_some_and(|(stored,)| *stored >= points) {
            break;
        }
        assert!(command.try_wait().unwrap().is_none(), "the sweep was over before {points} points were seen");
        assert!(began.elapsed() < PATIENCE, "{points} points are not stored within {PATIENCE:?}");
        sleep(Duration::from_millis(10));
    }
    command.kill().unwrap();
    command.wait().unwrap();
    let stored: Vec<(i64,)> = select(bench, "SELECT count(*) FROM line_points").await;
    assert!(stored[0].0 < 22, "it was killed too late to be interrupted: {} points", stored[0].0);
}

#[tokio::test]
async fn a_refined_sweep_is_marked_told_and_the_same_after_sigkill() {
    let undisturbed = bench();
    let plan = undisturbed.ok(&["plan", "x.toml"]);
    assert!(plan.contains("1 line with 10 points and at most 12 further"), "{plan}");
    let text = undisturbed.ok(&RUN);
    assert!(text.contains("22 of 22 points"), "{text}");
    assert!(text.contains("Refined grids: 1 line at 11 alphas instead of "), "{text}");
    let marks: Vec<(f64, i64)> =
        select(&undisturbed, "SELECT alpha, refined FROM line_points WHERE split = 'test' ORDER BY alpha").await;
    let grid: Vec<f64> = marks.iter().filter(|(_, refined)| *refined == 0).map(|(alpha, _)| *alpha).collect();
    assert_eq!((grid.as_slice(), marks.len()), ([0.0, 0.25, 0.5, 0.75, 1.0].as_slice(), 11));
    let measures: Vec<(String,)> =
        select(&undisturbed, "SELECT name FROM line_measures WHERE name LIKE 'refine-%' ORDER BY name").await;
    let names: Vec<&str> = measures.iter().map(|(name,)| name.as_str()).collect();
    assert_eq!(names, ["refine-error", "refine-points", "refine-uniform"]);

    let results = |bench: &Bench| {
        let points = bench.ok(&["results", "x", "--format", "csv"]);
        (points, bench.ok(&["results", "x", "--format", "csv", "--measures"]))
    };
    let expected = results(&undisturbed);
    let alphas: Vec<f64> =
        expected.0.lines().skip(1).take(11).map(|row| row.split(',').rev().nth(7).unwrap().parse().unwrap()).collect();
    assert!(alphas.is_sorted(), "rows come in the order of their alphas: {alphas:?}");

    let disturbed = bench();
    kill_at(&disturbed, 3).await;
    kill_at(&disturbed, 13).await;
    disturbed.ok(&RUN);
    assert_eq!(results(&disturbed), expected, "points or measures differ from those of an undisturbed sweep");
}
