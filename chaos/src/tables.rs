//! What a store holds, row by row, under names that do not depend on ids, times or who did it; and how two stores differ.
//!
//! Compared: sweeps, their runs and jobs in order, runs, lines, what jobs need of other runs, states of jobs with their counted
//! and expected points, threads and cost, checkpoints with the digests of their bytes, curves, points and measures bit for
//! bit, snapshots that are left, totals.
//! Left out: ids, all times and seconds of work, workers, attempts, failures and losses with their messages, tokens.

use std::collections::BTreeMap;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Column as _, Connection as _, PgConnection, Row as _, SqliteConnection};

/// A table: its name, and a query that both databases understand. The first letter of a column's name says its type: `t_`
/// text, `i_` whole number, `f_` number.
const QUERIES: [(&str, &str); 14] = [
    (
        "sweeps",
        "SELECT s.name AS t_name, s.file AS t_file, s.file_digest AS t_digest, CAST(s.priority AS BIGINT) AS i_priority,
            CAST(s.share AS DOUBLE PRECISION) AS f_share, CAST(s.max_workers AS BIGINT) AS i_max, s.requires AS t_requires,
            CAST(s.runs AS BIGINT) AS i_runs, CAST(CASE WHEN s.cancelled_at IS NULL AND s.paused_at IS NULL THEN 1 ELSE 0 END AS BIGINT) AS i_live
         FROM sweeps AS s",
    ),
    (
        "runs",
        "SELECT r.digest AS t_run, r.spec AS t_spec, r.model AS t_model, CAST(r.seed AS BIGINT) AS i_seed FROM runs AS r",
    ),
    (
        "sweep_runs",
        "SELECT s.name AS t_sweep, CAST(sr.position AS BIGINT) AS i_position, r.digest AS t_run, sr.settings AS t_settings
         FROM sweep_runs AS sr INNER JOIN sweeps AS s ON s.id = sr.sweep INNER JOIN runs AS r ON r.id = sr.run",
    ),
    (
        "lines",
        "SELECT l.digest AS t_line, l.spec AS t_spec, l.from_tag AS t_from, l.to_tag AS t_to, l.mask AS t_mask,
            l.hold AS t_hold, l.batch_norm AS t_norm, CAST(l.subset AS BIGINT) AS i_subset, l.elsewhere AS t_elsewhere,
            l.normalize AS t_normalize
         FROM lines AS l",
    ),
    (
        "jobs",
        "SELECT j.kind AS t_kind, r.digest AS t_run, l.digest AS t_line, j.state AS t_state,
            CAST(j.points AS BIGINT) AS i_points, CAST(j.points_expected AS BIGINT) AS i_expected,
            CAST(j.threads AS BIGINT) AS i_threads, CAST(j.cost AS DOUBLE PRECISION) AS f_cost,
            j.error_class AS t_error_class, CAST(CASE WHEN j.blocked_by IS NULL AND j.expires_at IS NULL THEN 1 ELSE 0 END AS BIGINT) AS i_free
         FROM jobs AS j INNER JOIN runs AS r ON r.id = j.run LEFT JOIN lines AS l ON l.id = j.line",
    ),
    (
        "sweep_jobs",
        "SELECT s.name AS t_sweep, CAST(sj.position AS BIGINT) AS i_position, j.kind AS t_kind, r.digest AS t_run, l.digest AS t_line
         FROM sweep_jobs AS sj INNER JOIN sweeps AS s ON s.id = sj.sweep INNER JOIN jobs AS j ON j.id = sj.job
         INNER JOIN runs AS r ON r.id = j.run LEFT JOIN lines AS l ON l.id = j.line",
    ),
    (
        "job_needs",
        "SELECT j.kind AS t_kind, r.digest AS t_run, l.digest AS t_line, o.digest AS t_needs, n.tag AS t_tag
         FROM job_needs AS n INNER JOIN jobs AS j ON j.id = n.job INNER JOIN runs AS r ON r.id = j.run
         INNER JOIN runs AS o ON o.id = n.run LEFT JOIN lines AS l ON l.id = j.line",
    ),
    (
        "checkpoints",
        "SELECT r.digest AS t_run, c.tag AS t_tag, c.artifact AS t_artifact, CAST(c.bytes AS BIGINT) AS i_bytes
         FROM checkpoints AS c INNER JOIN runs AS r ON r.id = c.run",
    ),
    (
        "curves",
        "SELECT r.digest AS t_run, CAST(c.epoch AS BIGINT) AS i_epoch, c.split AS t_split, CAST(c.loss AS DOUBLE PRECISION) AS f_loss,
            CAST(c.accuracy AS DOUBLE PRECISION) AS f_accuracy, CAST(c.learning_rate AS DOUBLE PRECISION) AS f_rate
         FROM curves AS c INNER JOIN runs AS r ON r.id = c.run",
    ),
    (
        "points",
        "SELECT r.digest AS t_run, l.digest AS t_line, p.split AS t_split, CAST(p.place AS BIGINT) AS i_place,
            CAST(p.alpha AS DOUBLE PRECISION) AS f_alpha, CAST(p.loss AS DOUBLE PRECISION) AS f_loss,
            CAST(p.accuracy AS DOUBLE PRECISION) AS f_accuracy, CAST(p.count AS BIGINT) AS i_count
         FROM points AS p INNER JOIN jobs AS j ON j.id = p.job INNER JOIN runs AS r ON r.id = j.run
         INNER JOIN lines AS l ON l.id = j.line",
    ),
    (
        "measures",
        "SELECT r.digest AS t_run, l.digest AS t_line, m.split AS t_split, m.name AS t_name, CAST(m.value AS DOUBLE PRECISION) AS f_value
         FROM measures AS m INNER JOIN jobs AS j ON j.id = m.job INNER JOIN runs AS r ON r.id = j.run
         INNER JOIN lines AS l ON l.id = j.line",
    ),
    (
        "snapshots",
        "SELECT r.digest AS t_run, CAST(n.step AS BIGINT) AS i_step FROM snapshots AS n INNER JOIN runs AS r ON r.id = n.run",
    ),
    (
        "sweep_totals",
        "SELECT s.name AS t_sweep, t.kind AS t_kind, t.model AS t_model, CAST(sum(t.jobs) AS BIGINT) AS i_jobs,
            CAST(sum(t.queued) AS BIGINT) AS i_queued, CAST(sum(t.leased) AS BIGINT) AS i_leased, CAST(sum(t.done) AS BIGINT) AS i_done,
            CAST(sum(t.failed) AS BIGINT) AS i_failed, CAST(sum(t.cancelled) AS BIGINT) AS i_cancelled,
            CAST(sum(t.points) AS BIGINT) AS i_points, CAST(sum(t.points_expected) AS BIGINT) AS i_expected
         FROM sweep_totals AS t INNER JOIN sweeps AS s ON s.id = t.sweep GROUP BY s.name, t.kind, t.model",
    ),
    ("imports", "SELECT i.name AS t_name, i.model AS t_model FROM imports AS i"),
];

/// How often the fencing number grew, and what attempts ended with: said beside a verdict, not compared.
const EFFORT: &str = "SELECT CAST(count(*) AS BIGINT), CAST(coalesce(sum(attempt), 0) AS BIGINT),
    (SELECT CAST(count(*) AS BIGINT) FROM job_errors WHERE class = 'gone'),
    (SELECT CAST(count(*) AS BIGINT) FROM job_errors WHERE class = 'machine'),
    (SELECT CAST(count(*) AS BIGINT) FROM job_errors WHERE class = 'run')
    FROM jobs";

/// What [`EFFORT`] gives.
type Sums = (i64, i64, i64, i64, i64);

/// Rows of each table, sorted, as text.
pub type Tables = BTreeMap<String, Vec<String>>;

/// What it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Jobs.
    pub jobs: i64,
    /// Leases of them.
    pub leases: i64,
    /// Attempts that were lost with their worker.
    pub gone: i64,
    /// Attempts that failed by fault of the machine.
    pub machine: i64,
    /// Attempts that failed by fault of the run.
    pub run: i64,
}

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A SQLite file whose coordinator has ended.
    File(std::path::PathBuf),
    /// The URL of a Postgres database.
    Url(String),
}

/// One row as text; numbers by their bits.
macro_rules! text_of {
    ($row:expr) => {{
        let row = $row;
        let mut words = Vec::new();
        for (i, column) in row.columns().iter().enumerate() {
            let (kind, name) = column.name().split_at(2);
            let value = match kind {
                "t_" => row.try_get::<Option<String>, _>(i)?,
                "i_" => row.try_get::<Option<i64>, _>(i)?.map(|number| number.to_string()),
                _ => row.try_get::<Option<f64>, _>(i)?.map(|number| format!("{number} ({:016x})", number.to_bits())),
            };
            words.push(format!("{name}={}", value.as_deref().unwrap_or("NULL")));
        }
        anyhow::Ok(words.join(" "))
    }};
}

/// All tables of a store.
pub async fn read(place: &Place) -> anyhow::Result<(Tables, Effort)> {
    match place {
        Place::File(path) => {
            let mut file = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await?;
            let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file).await?;
            anyhow::ensure!(sound == "ok", "PRAGMA integrity_check: {sound}");
            let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut file).await?;
            anyhow::ensure!(broken.is_empty(), "PRAGMA foreign_key_check finds {} rows", broken.len());
            let mut tables = Tables::new();
            for (name, query) in QUERIES {
                let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut file).await.context(name)?;
                tables.insert(name.to_owned(), rows.iter().map(|row| text_of!(row)).collect::<Result<_, _>>()?);
            }
            let effort = sqlx::query_as::<_, Sums>(EFFORT).fetch_one(&mut file).await?;
            Ok((sorted(tables), Effort::from(effort)))
        }
        Place::Url(url) => {
            let mut server = PgConnection::connect(url).await?;
            let mut tables = Tables::new();
            for (name, query) in QUERIES {
                // Domains are sent as their own types; text is all that is wanted.
                let query = as_text(query);
                let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut server).await.context(name)?;
                tables.insert(name.to_owned(), rows.iter().map(|row| text_of!(row)).collect::<Result<_, _>>()?);
            }
            let effort = sqlx::query_as::<_, Sums>(EFFORT).fetch_one(&mut server).await?;
            Ok((sorted(tables), Effort::from(effort)))
        }
    }
}

/// The query with its columns of text said to be just that.
fn as_text(query: &str) -> String {
    let words: Vec<&str> = query.split_inclusive([' ', '\n']).collect();
    let is_named = |i: usize| words.get(i + 1) == Some(&"AS ") && words.get(i + 2).is_some_and(|w| w.starts_with("t_"));
    let cast = |(i, word): (usize, &&str)| {
        if is_named(i) { format!("{}::text ", word.trim_end()) } else { (*word).to_owned() }
    };
    words.iter().enumerate().map(cast).collect()
}

fn sorted(mut tables: Tables) -> Tables {
    for rows in tables.values_mut() {
        rows.sort();
    }
    tables
}

impl From<Sums> for Effort {
    fn from((jobs, leases, gone, machine, run): Sums) -> Self {
        Self { jobs, leases, gone, machine, run }
    }
}

/// Differences of each table that are told.
const SHOWN: usize = 4;

/// How `found` differs from `expected`; empty where it does not.
pub fn differences(expected: &Tables, found: &Tables) -> Vec<String> {
    let mut told = vec![];
    let none = vec![];
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for name in names {
        let (wanted, there) = (expected.get(name).unwrap_or(&none), found.get(name).unwrap_or(&none));
        let (lacking, surplus) = (without(wanted, there), without(there, wanted));
        for (what, rows) in [("lacks", lacking), ("has, and should not,", surplus)] {
            told.extend(rows.iter().take(SHOWN).map(|row| format!("{name} {what} {row}")));
            if rows.len() > SHOWN {
                told.push(format!("{name} {what} {} more", rows.len() - SHOWN));
            }
        }
    }
    told
}

/// What of `rows` is not in `others`, each as often as it is there more often.
fn without<'a>(rows: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in others {
        *counts.entry(row).or_default() += 1;
    }
    let is_over = |row: &&'a String| match counts.get_mut(row.as_str()) {
        Some(left @ 1..) => {
            *left -= 1;
            false
        }
        _ => true,
    };
    rows.iter().filter(is_over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(points: &[&str]) -> Tables {
        let points = points.iter().map(|row| (*row).to_owned()).collect();
        Tables::from([("points".to_owned(), points), ("runs".to_owned(), vec!["run=a".to_owned()])])
    }

    #[test]
    fn equal_tables_differ_in_nothing() {
        assert!(differences(&tables(&["a", "b"]), &tables(&["a", "b"])).is_empty());
    }

    #[test]
    fn a_missing_row_a_double_one_and_a_changed_bit_are_found() {
        let expected = tables(&["a 3fe0", "b 3fe1"]);
        assert_eq!(differences(&expected, &tables(&["a 3fe0"])), ["points lacks b 3fe1"]);
        let double = tables(&["a 3fe0", "b 3fe1", "b 3fe1"]);
        assert_eq!(differences(&expected, &double), ["points has, and should not, b 3fe1"]);
        let changed = tables(&["a 3fe0", "b 3fe2"]);
        assert_eq!(differences(&expected, &changed), ["points lacks b 3fe1", "points has, and should not, b 3fe2"]);
        let mut gone = expected.clone();
        gone.remove("runs");
        assert_eq!(differences(&expected, &gone), ["runs lacks run=a"]);
    }

    #[test]
    fn columns_of_text_are_cast_and_others_left_alone() {
        assert_eq!(
            as_text("SELECT a.b AS t_b, CAST(c AS BIGINT) AS i_c FROM x AS t"),
            "SELECT a.b::text AS t_b, CAST(c AS BIGINT) AS i_c FROM x AS t"
        );
    }

    #[tokio::test]
    async fn numbers_are_read_by_their_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mut file = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
        let row =
            sqlx::query("SELECT 'w' AS t_w, 7 AS i_n, 0.1 AS f_x, NULL AS f_y").fetch_one(&mut file).await.unwrap();
        let text = (|| text_of!(&row))().unwrap();
        assert_eq!(text, "w=w n=7 x=0.1 (3fb999999999999a) y=NULL");
    }
}
