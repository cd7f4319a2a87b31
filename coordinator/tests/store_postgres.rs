//! What is Postgres' own: several coordinators on one database, its schema, its statements and their plans.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "store_conformance/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postgres_server::{Server, server};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Row as _};
use tokio::sync::watch;
use tokio::time::timeout;
use transect_common::job::ErrorClass;
use transect_coordinator::store::{PostgresStore, Retry, StoreError, SweepState, Terms};
use world::World;

const TERMS: Terms = Terms { lease: Duration::from_secs(world::LEASE_SECONDS), max_attempts: world::MAX_ATTEMPTS };

async fn open(url: &str) -> World {
    World::new(Arc::new(PostgresStore::open(url, TERMS).await.unwrap()))
}

async fn within_a_second(signal: &mut watch::Receiver<u64>, what: &str) {
    timeout(Duration::from_secs(1), signal.changed()).await.unwrap_or_else(|_| panic!("{what} was not heard")).unwrap();
}

/// Until what was told before has been heard.
async fn settle(signals: &mut [&mut watch::Receiver<u64>]) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    for signal in signals {
        signal.mark_unchanged();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_coordinators_see_what_each_other_does() {
    let url = server().await.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let (mut changed, mut stops) = (two.store.changed(), two.store.stops());
    settle(&mut [&mut changed, &mut stops]).await;
    let sweep = one.sweep("first", &[0, 1], &["all"]).await;
    within_a_second(&mut changed, "a submission").await;
    assert!(!stops.has_changed().unwrap(), "nothing was stopped");
    let worker = two.worker().await;
    let held = two.lease(worker).await.jobs.remove(0);
    // A worker may go on with the other coordinator.
    one.store_rows(worker, held.job, world::trained()).await;
    assert_eq!(two.progress(&sweep).await.train_done, 1);
    let held = two.lease(worker).await.jobs.remove(0);
    settle(&mut [&mut changed, &mut stops]).await;
    assert_eq!(one.store.cancel(sweep.id, one.now()).await.unwrap(), 3);
    within_a_second(&mut stops, "a cancellation").await;
    let (reason, _) = two.refused(worker, held.job, world::done()).await;
    assert_eq!(reason.name(), "stale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_listen_looks_for_itself() {
    let url = server().await.database().await;
    let one = open(&url).await;
    let two = open(&format!("{url}&pooler=transaction&connections=4")).await;
    let (mut changed, mut stops) = (two.store.changed(), two.store.stops());
    let sweep = one.sweep("first", &[0], &["all"]).await;
    within_a_second(&mut changed, "a submission").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    one.store.cancel(sweep.id, one.now()).await.unwrap();
    within_a_second(&mut stops, "a cancellation").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_found_again() {
    let mut server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let url = server.empty_database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    let sweep = one.sweep("first", &[0], &["all"]).await;
    let mut changed = two.store.changed();
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = server.await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(one.progress(&sweep).await.queued, 2, "what was committed is there");
    settle(&mut [&mut changed]).await;
    one.sweep("second", &[1], &["all"]).await;
    within_a_second(&mut changed, "a submission after the restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_that_start_at_once_agree_on_the_schema() {
    let url = server().await.empty_database().await;
    let opened: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PostgresStore::open(&url, TERMS).await.map(|_| ()) })
        })
        .collect();
    for opened in opened {
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_refused() {
    let url = server().await.database().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', TRUE, '\\x00', 0)";
    PgPool::connect(&url).await.unwrap().execute(newer).await.unwrap();
    let error = PostgresStore::open(&url, TERMS).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { database: 9999, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_url_is_refused_without_its_password() {
    for wrong in ["postgres://u:hush@h:port/d", "postgres://u:hush@h/d?connections=0"] {
        let error = PostgresStore::open(wrong, TERMS).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)) && !error.to_string().contains("hush"), "{error}");
    }
}

/// Leases and reports until nothing is left; now and then an attempt fails or is given back.
async fn work(world: &World, number: u64) {
    let mut worker = world.worker().await;
    let mut idle = 0;
    for round in 0.. {
        let Some(lease) = world.try_lease_up_to(worker, 3).await else {
            idle += 1;
            if idle > 20 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        idle = 0;
        if (round + number) % 7 == 3 {
            world.store.leave(worker, world.now()).await.unwrap();
            worker = world.worker().await;
            continue;
        }
        for job in &lease.jobs {
            let rows = if job.line_spec.is_none() { world::trained() } else { world::measured(job) };
            // Some are refused: their sweep was cancelled.
            world.report(worker, job.job, rows).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_comes_together_nothing_is_lost_or_done_twice() {
    let url = server().await.database().await;
    let worlds = [Arc::new(open(&url).await), Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let masks = ["all", "conv1", "fc1"];
    let first = worlds[0].sweep("sweep-0", &[0, 1, 2, 3], &masks).await;
    let mut tasks = vec![];
    for number in 0..9 {
        let world = worlds[number as usize % 3].clone();
        tasks.push(tokio::spawn(async move { work(&world, number).await }));
    }
    // Submissions that share runs with what is being trained, cancelled and brought back by several at once.
    for number in 1..7_u64 {
        let world = worlds[number as usize % 3].clone();
        tasks.push(tokio::spawn(async move {
            let seeds: Vec<u64> = (number..number + 4).collect();
            let sweep = world.sweep(&format!("sweep-{number}"), &seeds, &["all", "conv1", "fc2"]).await;
            if number % 2 == 0 {
                let (a, b) =
                    tokio::join!(world.store.cancel(sweep.id, world.now()), world.store.cancel(sweep.id, world.now()));
                assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
                let retry = Retry { cancelled: true, ..Retry::default() };
                world.store.retry(sweep.id, retry, world.now()).await.unwrap();
            }
        }));
    }
    for world in &worlds {
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                world.store.expire(world.now()).await.unwrap();
                world.store.roll_up(world.now()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for world in &worlds {
        work(world, 0).await;
    }
    for sweep in worlds[0].store.sweeps(None, 100).await.unwrap().rows {
        // One stays cancelled where others went on with all that it needs, so that there was nothing to bring back.
        assert!(sweep.state == SweepState::Done || sweep.state == SweepState::Cancelled, "{sweep:?}");
        assert_eq!((sweep.done, sweep.queued, sweep.leased), (sweep.jobs, 0, 0), "{sweep:?}");
        assert_eq!(sweep.points, sweep.points_expected, "{sweep:?}");
    }
    assert_eq!(worlds[1].progress(&first).await.jobs, 16);
    totals_are_true(&url).await;
}

/// What the triggers counted is what there is.
async fn totals_are_true(url: &str) {
    let database = PgPool::connect(url).await.unwrap();
    let wrong = "
        WITH counted AS (
            SELECT sj.sweep, j.kind, r.model, count(*) FILTER (WHERE j.state = 'queued') AS queued,
                count(*) FILTER (WHERE j.state = 'leased') AS leased, count(*) FILTER (WHERE j.state = 'done') AS done,
                count(*) FILTER (WHERE j.state = 'failed') AS failed,
                count(*) FILTER (WHERE j.state = 'cancelled') AS cancelled,
                sum((SELECT count(*) FROM points AS p WHERE p.job = j.id)) AS points
            FROM sweep_jobs AS sj INNER JOIN jobs AS j ON j.id = sj.job INNER JOIN runs AS r ON r.id = j.run
            GROUP BY sj.sweep, j.kind, r.model
        ),
        kept AS (
            SELECT sweep, kind, model, sum(queued) AS queued, sum(leased) AS leased, sum(done) AS done,
                sum(failed) AS failed, sum(cancelled) AS cancelled, sum(points) AS points
            FROM sweep_totals GROUP BY sweep, kind, model
        )
        SELECT c::text || ' ' || k::text AS both
        FROM counted AS c FULL JOIN kept AS k USING (sweep, kind, model)
        WHERE (c.queued, c.leased, c.done, c.failed, c.cancelled, c.points)
            IS DISTINCT FROM (k.queued, k.leased, k.done, k.failed, k.cancelled, k.points)";
    let wrong: Vec<String> = database.fetch_all(wrong).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_training_that_ends_while_a_sweep_needs_it_leaves_no_line_waiting() {
    let url = server().await.database().await;
    let (one, two) = (Arc::new(open(&url).await), Arc::new(open(&url).await));
    let worker = one.worker().await;
    for seed in 0..20 {
        one.sweep(&format!("trains-{seed}"), &[seed], &[]).await;
        let training = one.lease(worker).await.jobs.remove(0);
        let (world, other) = (one.clone(), two.clone());
        let ends = tokio::spawn(async move { world.store_rows(worker, training.job, world::trained()).await });
        let comes =
            tokio::spawn(async move { other.sweep(&format!("lines-{seed}"), &[seed], &["all", "conv1"]).await });
        ends.await.unwrap();
        let sweep = comes.await.unwrap();
        let lease = two.lease(worker).await;
        assert_eq!(lease.jobs.len(), 2, "both lines are ready, seed {seed}");
        for job in &lease.jobs {
            two.store_rows(worker, job.job, world::measured(job)).await;
        }
        assert_eq!(one.progress(&sweep).await.state, SweepState::Done);
    }
    totals_are_true(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lease_that_runs_out_goes_to_one_of_those_who_want_it() {
    let url = server().await.database().await;
    let (one, two) = (open(&url).await, open(&url).await);
    for seed in 0..10 {
        let sweep = one.sweep(&format!("sweep-{seed}"), &[seed], &[]).await;
        let worker = one.worker().await;
        let held = one.lease(worker).await.jobs.remove(0);
        for world in [&one, &two] {
            world.wait(world::LEASE_SECONDS);
        }
        // The worker reports and shows that it is alive while both coordinators think that it is not.
        let progress = transect_coordinator::store::JobProgress { job: held.job, fraction: 0.5, text: String::new() };
        let rows = world::trained().into_iter().enumerate();
        let rows =
            rows.map(|(place, row)| transect_coordinator::store::ReportRow { place: place as u64, job: held.job, row });
        let (report, lost, also_lost, stopped) = tokio::join!(
            one.store.report(worker, rows.collect(), one.now()),
            one.store.expire(one.now()),
            two.store.expire(two.now()),
            two.store.heartbeat(worker, std::slice::from_ref(&progress), false, two.now())
        );
        let (report, lost) = (report.unwrap(), lost.unwrap().len() + also_lost.unwrap().len());
        stopped.unwrap();
        let state = one.progress(&sweep).await.state;
        match state {
            SweepState::Done => assert_eq!((report.refused.len(), lost), (0, 0)),
            _ => assert_eq!((report.refused.is_empty(), lost), (false, 1), "{state:?}"),
        }
        if state != SweepState::Done {
            one.store.cancel(sweep.id, one.now()).await.unwrap();
        }
    }
    totals_are_true(&url).await;
}

/// Every statement file of a database, by name.
fn statements(database: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql").join(database);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_can_be_prepared() {
    let database = PgPool::connect(&server().await.database().await).await.unwrap();
    let mut connection = database.acquire().await.unwrap();
    for (name, sql) in statements("postgres") {
        assert!(sql.starts_with("-- "), "{name}.sql opens with what it does");
        let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        assert_eq!(code.flat_map(|line| line.matches(';')).count(), 1, "{name}.sql is one statement");
        if name == "analyze" {
            // Is executed as it is: no statement that has a plan.
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
            continue;
        }
        let prepared = connection.execute(AssertSqlSafe(format!("PREPARE {name}_ AS {sql}"))).await;
        prepared.unwrap_or_else(|error| panic!("{name}.sql: {error}"));
    }
}

#[test]
fn both_databases_have_the_same_statements() {
    let names = |database| statements(database).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let own = [
        "analyze",
        "insert_new_points",
        "keep_shared_jobs",
        "lock_graph",
        "look_at_jobs",
        "look_up_by_key",
        "newest_stop",
        "notify",
        "plan_freely",
    ];
    // What a trigger counts here, and statements that return, or read again, the rows which they write.
    let others = [
        "count_advances",
        "count_all_advances",
        "count_all_claims",
        "count_claims",
        "due_lines",
        "insert_line_jobs",
        "insert_train_jobs",
    ];
    let mut expected = names("sqlite");
    expected.retain(|name| !others.contains(&name.as_str()));
    expected.extend(own.map(str::to_owned));
    assert_eq!(names("postgres"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_of_an_attempt_that_does_not_hold_its_job_are_left_out_by_the_statement_itself() {
    let url = server().await.database().await;
    let world = open(&url).await;
    world.sweep("first", &[0], &["all"]).await;
    let worker = world.worker().await;
    let ended = world.lease(worker).await.jobs.remove(0).job;
    world.store_rows(worker, ended, world::trained()).await;
    let held = world.lease(worker).await.jobs.remove(0).job;
    let attempt = i64::from(held.attempt.0);
    let (jobs, attempts) =
        ([held, held, held, ended].map(|job| job.job.0), [attempt, attempt - 1, attempt + 1, ended.attempt.0.into()]);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for (first, name) in [(0i64, "insert_points"), (4, "insert_new_points")] {
        let (_, sql) = statements("postgres").into_iter().find(|(statement, _)| statement == name).unwrap();
        let done = sqlx::query(AssertSqlSafe(sql))
            .bind(jobs)
            .bind(attempts)
            .bind(vec!["test"; 4])
            .bind((first..first + 4).collect::<Vec<_>>())
            .bind(vec![0.5; 4])
            .bind(vec![Some(0.5), None, None, None])
            .bind(vec![0.5; 4])
            .bind(vec![1i64; 4])
            .bind(vec![worker.0; 4])
            .bind(&jobs[2..])
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1, "{name}");
    }
    let stored = "SELECT place FROM points WHERE job = ANY ($1) ORDER BY place";
    let stored: Vec<i64> = sqlx::query_scalar(stored).bind(jobs).fetch_all(&mut connection).await.unwrap();
    assert_eq!(stored, [0, 4]);
}

/// As many rows as make the planner think.
const FILL: &str = "
    INSERT INTO sweeps (name, file, file_digest, idempotency_key, submitted_at)
    SELECT 'sweep-' || n, '', '', n::text, '2026-01-01T00:00:00.000Z' FROM generate_series(1, 20) AS n;
    INSERT INTO workers (name, state, host, pid, device, device_name, memory_bytes, libtorch, cpu_capability, threads,
        version, registered_at, seen_at, expires_at)
    SELECT 'w' || n, CASE WHEN n % 50 = 0 THEN 'live' ELSE 'gone' END, 'h' || n, n, 'cpu', '', 1, '', '', 1, '', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'
    FROM generate_series(1, 2500) AS n;
    INSERT INTO runs (digest, spec, model, seed, created_at)
    SELECT lpad(to_hex(n), 64, '0'), '{}', 'lenet5', n, '2026-01-01T00:00:00.000Z' FROM generate_series(1, 10000) AS n;
    INSERT INTO lines (digest, spec, from_tag, to_tag, mask, hold, batch_norm)
    SELECT lpad(to_hex(n), 64, '0'), '{\"mask\":' || n || '}', 'init', 'final', 'm' || n, 'final', 'none' FROM generate_series(1, 2000) AS n;
    INSERT INTO sweep_runs (sweep, position, run, settings)
    SELECT 1 + n / 500, n, n, '{}' FROM generate_series(1, 9999) AS n;
    INSERT INTO jobs (kind, run, line, state, ready, due_at, points_expected, queued_at, sweep, finished_at)
    SELECT 'train', n, NULL, CASE WHEN n % 100 = 0 THEN 'queued' ELSE 'done' END, TRUE, '2026-01-01T00:00:00.000Z', 0,
        '2026-01-01T00:00:00.000Z', 1 + n / 500, CASE WHEN n % 100 = 0 THEN NULL ELSE '2026-01-01T00:00:00.000Z' END
    FROM generate_series(1, 9999) AS n;
    INSERT INTO jobs (kind, run, line, state, ready, due_at, points_expected, queued_at, sweep, finished_at)
    SELECT 'line', n, 1 + (n * 7 + k) % 2000, CASE WHEN n % 3 = 0 THEN 'done' ELSE 'queued' END, n % 3 < 2,
        '2026-01-01T00:00:00.000Z', 6, '2026-01-01T00:00:00.000Z', 1 + n / 500,
        CASE WHEN n % 3 = 0 THEN '2026-01-01T00:00:00.000Z' END
    FROM generate_series(1, 9999) AS n, generate_series(0, 2) AS k;
    UPDATE jobs SET state = 'failed', finished_at = '2026-01-01T00:00:00.000Z', blocked_by = t.id
    FROM jobs AS t WHERE t.kind = 'train' AND t.run = jobs.run AND jobs.kind = 'line' AND jobs.run % 10 = 1;
    INSERT INTO sweep_jobs (sweep, job, position) SELECT j.sweep, j.id, j.id FROM jobs AS j;
    INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
    SELECT j.id, 'test', n, n, 1, 0.5, 10, 1 FROM jobs AS j, generate_series(0, 2) AS n WHERE j.kind = 'line' AND j.state = 'done';
    INSERT INTO measures (job, split, name, value, worker)
    SELECT j.id, '', 'distance', 1, 1 FROM jobs AS j WHERE j.kind = 'line' AND j.state = 'done';
    INSERT INTO curves (run, epoch, split, loss, accuracy, learning_rate, seconds)
    SELECT r.id, n, 'test', 1, 0.5, 0.1, 1 FROM runs AS r, generate_series(0, 2) AS n;
    INSERT INTO checkpoints (run, tag, artifact, bytes, stored_at)
    SELECT r.id, 'final', r.digest, 1, '2026-01-01T00:00:00.000Z' FROM runs AS r;
    INSERT INTO job_errors (job, attempt, at, class, message, worker)
    SELECT j.id, 1, '2026-01-01T00:00:00.000Z', CASE WHEN j.id % 2 = 0 THEN 'machine' ELSE 'gone' END, '', 1 + j.id % 2500
    FROM jobs AS j WHERE j.kind = 'line' AND j.state = 'done';
    INSERT INTO job_needs (job, run, tag) SELECT j.id, 1 + j.id % 9999, 'final' FROM jobs AS j WHERE j.id % 5 = 0;
    ANALYZE";

/// Tables that grow with what is done.
const GROWING: [&str; 11] = [
    "jobs",
    "points",
    "sweep_jobs",
    "runs",
    "lines",
    "curves",
    "checkpoints",
    "measures",
    "job_needs",
    "job_errors",
    "workers",
];

/// A connection to a database that is planned as if it held a million jobs, for whatever values come.
async fn filled() -> PgConnection {
    let mut connection = PgConnection::connect(&server().await.database().await).await.unwrap();
    sqlx::raw_sql(FILL).execute(&mut connection).await.unwrap();
    for table in GROWING {
        let alone = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        connection.execute(AssertSqlSafe(alone)).await.unwrap();
    }
    // What the planner believes is a hundred times that, and stays so: the server analyses no table by itself meanwhile.
    let more = "UPDATE pg_class SET reltuples = reltuples * 100
                WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples >= 2000";
    connection.execute(more).await.unwrap();
    // Plans as they are after a few executions, with the settings of a coordinator's connections.
    for setting in [
        "plan_cache_mode = force_generic_plan",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "enable_seqscan = off",
    ] {
        connection.execute(AssertSqlSafe(format!("SET {setting}"))).await.unwrap();
    }
    connection
}

/// How a statement is executed: lines such as `Seq Scan on jobs j`.
async fn plan(database: &mut PgConnection, name: &str, sql: &str) -> Vec<String> {
    database.execute(AssertSqlSafe(format!("PREPARE {name}_ AS {sql}"))).await.unwrap();
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1";
    let parameters: i32 = sqlx::query_scalar(count).bind(format!("{name}_")).fetch_one(&mut *database).await.unwrap();
    let nulls = vec!["NULL"; parameters as usize].join(", ");
    let execute = if parameters == 0 { format!("{name}_") } else { format!("{name}_({nulls})") };
    let plan = database.fetch_all(AssertSqlSafe(format!("EXPLAIN EXECUTE {execute}"))).await.unwrap();
    plan.iter().map(|row| row.get::<String, _>(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_scans_what_grows() {
    let mut database = filled().await;
    // These take every row, or a whole sweep at once, which may be most of them; none is on the way of a lease, a heartbeat, a
    // report or a page.
    let exempt = [
        "analyze",
        "artifacts",
        "checkpoints_of_sweep",
        "count_jobs",
        "count_rest",
        "fail_waiting_anywhere",
        "find_worker",
        "hand_over_jobs",
        "insert_totals",
        "ping",
        "requeue_sources",
        "retry_jobs",
        "sweep_ids",
        "workers",
    ];
    // Of these there are few, or the next in order is all that is wanted.
    let few =
        ["jobs_failed ", "jobs_failed_train ", "jobs_leased ", "workers_like ", "workers_of_sweep ", "workers_there "];
    let mut found = vec![];
    for (name, sql) in statements("postgres").into_iter().filter(|(name, _)| !exempt.contains(&name.as_str())) {
        let plan = plan(&mut database, &name, &sql).await;
        for (place, step) in plan.iter().enumerate() {
            let has_condition = plan.get(place + 1).is_some_and(|next| next.trim_start().starts_with("Index Cond"));
            let is_index = step.contains("Index Scan ") || step.contains("Index Only Scan ");
            let is_whole = step.contains("Seq Scan ") || (is_index && !has_condition);
            let table = step.split_once(" on ").and_then(|(_, rest)| rest.split(' ').next());
            let index = step.split_once(" using ").map_or("", |(_, rest)| rest);
            if is_whole
                && table.is_some_and(|table| GROWING.contains(&table))
                && !few.iter().any(|few| index.starts_with(few))
            {
                found.push(format!("{name}: {step}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// A plan is kept while workers come: made while none holds a job, it must do for thousands that do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_at_work_are_counted_one_by_one() {
    let mut database = filled().await;
    for name in ["sweep", "queue_of_sweep", "workers", "workers_at_work"] {
        let sql = statements("postgres").into_iter().find(|(file, _)| file == name).unwrap().1;
        let plan = plan(&mut database, name, &sql).await;
        let held = plan.iter().position(|step| step.contains("using jobs_leased on jobs")).unwrap();
        assert!(plan[held + 1].contains("Index Cond: (worker = w.id)"), "{name}: {plan:#?}");
    }
}

/// The primary key has the same order, but leads through every job that is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_queued_job_is_found_by_the_indexes_of_the_queue() {
    let mut database = filled().await;
    for name in ["queues", "something_due", "due_line", "due_run_of", "claim_lines", "claim_oldest_training"] {
        let sql = statements("postgres").into_iter().find(|(file, _)| file == name).unwrap().1;
        let plan = plan(&mut database, name, &sql).await;
        assert!(plan.iter().any(|step| step.contains("Index Scan using jobs_queue")), "{name}: {plan:#?}");
        let by_key = |step: &&String| step.contains("jobs_pkey") && !step.contains("on jobs  ");
        assert_eq!(plan.iter().find(by_key), None, "{name}: {plan:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_database_is_told_and_leaves_nothing_half_done() {
    let url = server().await.database().await;
    let world = open(&url).await;
    let database = PgPool::connect(&url).await.unwrap();
    database.execute("ALTER TABLE sweep_totals ADD CONSTRAINT wrong CHECK (kind <> 'train')").await.unwrap();
    let error = world.submit(world::sweep("first", &[0], &["all"])).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    database.execute("ALTER TABLE sweep_totals DROP CONSTRAINT wrong").await.unwrap();
    assert!(world.store.find_sweep("first").await.is_err());
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    totals_are_true(&url).await;
}
