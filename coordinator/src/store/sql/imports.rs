//! Checkpoints: those that were trained elsewhere, and the lists of all that are stored.

use std::collections::{BTreeMap, HashSet};

use transect_common::digest::ArtifactDigest;
use transect_common::run::Tag;
use transect_common::sweep::Import;

use super::db::{Connection, Db, sql};
use super::rows::{count, integer, json, text};
use crate::store::{Checkpoint, CheckpointsOf, NewImport, Result, StoreError, Timestamp};

pub(super) async fn import(db: &Db, import: NewImport, now: Timestamp) -> Result<bool> {
    if import.checkpoints.is_empty() {
        return Err(StoreError::Invalid(format!("import `{}` has no checkpoint", import.name)));
    }
    // The lock is held before looking, so that two imports of one name cannot both find it free.
    let mut tx = db.begin_on_graph().await?;
    if let Some(stored) = imports(&mut tx, &[&import.name]).await?.remove(&import.name) {
        tx.rollback().await?;
        let artifacts = import.checkpoints.into_iter().map(|(tag, (artifact, _))| (tag, artifact)).collect();
        let same = Import { model: import.model, input: import.input, classes: import.classes, checkpoints: artifacts };
        return if stored == same { Ok(false) } else { Err(StoreError::Taken { what: "import", name: import.name }) };
    }
    sqlx::query(sql!("insert_import"))
        .bind(&import.name)
        .bind(json(&import.model))
        .bind(json(&import.input))
        .bind(i64::from(import.classes))
        .bind(now.to_string())
        .execute(&mut *tx)
        .await?;
    for (tag, (artifact, bytes)) in &import.checkpoints {
        sqlx::query(sql!("insert_import_checkpoint"))
            .bind(&import.name)
            .bind(tag.as_str())
            .bind(artifact.as_str())
            .bind(integer(*bytes, "the size of a checkpoint")?)
            .execute(&mut *tx)
            .await?;
    }
    db.commit(tx).await?;
    Ok(true)
}

type ImportRow = (String, String, String, i64);
type ImportCheckpointRow = (String, String, String, i64);

pub(super) async fn imports(db: &mut Connection, names: &[&str]) -> Result<BTreeMap<String, Import>> {
    let names = json(names);
    let rows: Vec<ImportRow> = sqlx::query_as(sql!("imports")).bind(&names).fetch_all(&mut *db).await?;
    let mut checkpoints = import_checkpoints(db, &names).await?;
    let damaged = |error| StoreError::Damaged(format!("an import: {error}"));
    rows.into_iter()
        .map(|(name, model, input, classes)| {
            let checkpoints = checkpoints.remove(&name).unwrap_or_default();
            let import = Import {
                model: serde_json::from_str(&model).map_err(damaged)?,
                input: serde_json::from_str(&input).map_err(damaged)?,
                classes: count(classes)?,
                checkpoints: checkpoints.into_iter().map(|(tag, (artifact, _))| (tag, artifact)).collect(),
            };
            Ok((name, import))
        })
        .collect()
}

type ByTag = BTreeMap<Tag, (ArtifactDigest, u64)>;

async fn import_checkpoints(db: &mut Connection, names: &str) -> Result<BTreeMap<String, ByTag>> {
    let rows: Vec<ImportCheckpointRow> = sqlx::query_as(sql!("import_checkpoints")).bind(names).fetch_all(db).await?;
    let mut found: BTreeMap<String, ByTag> = BTreeMap::new();
    for (name, tag, artifact, bytes) in rows {
        found.entry(name).or_default().insert(text(&tag)?, (text(&artifact)?, count(bytes)?));
    }
    Ok(found)
}

type CheckpointRow = (i64, String, String, Option<i64>, String, String, i64);

pub(super) async fn checkpoints(db: &Db, of: &CheckpointsOf) -> Result<Vec<Checkpoint>> {
    let rows: Vec<CheckpointRow> = match of {
        CheckpointsOf::Import(name) => return checkpoints_of_import(db, name).await,
        CheckpointsOf::Sweep(id) => {
            super::sweeps::file(db, *id).await?;
            sqlx::query_as(sql!("checkpoints_of_sweep")).bind(id.0).fetch_all(&db.readers).await?
        }
        CheckpointsOf::Run(prefix) => {
            let run = run_by_prefix(db, prefix).await?;
            sqlx::query_as(sql!("checkpoints_of_run")).bind(run).fetch_all(&db.readers).await?
        }
    };
    let mut found = vec![];
    for (position, run, model, seed, tag, artifact, bytes) in rows {
        let checkpoint = Checkpoint {
            run: Some(text(&run)?),
            model,
            seed: seed.map(count).transpose()?,
            tag: text(&tag)?,
            artifact: text(&artifact)?,
            bytes: count(bytes)?,
        };
        found.push((position, checkpoint));
    }
    // Only here are moments known to be ordered in another way than their names are.
    found.sort_by(|(a, x), (b, y)| (a, &x.tag).cmp(&(b, &y.tag)));
    Ok(found.into_iter().map(|(_, checkpoint)| checkpoint).collect())
}

async fn checkpoints_of_import(db: &Db, name: &str) -> Result<Vec<Checkpoint>> {
    let unknown = || StoreError::NotFound { what: "import", name: name.to_owned() };
    let mut db = db.readers.acquire().await?;
    let import = imports(&mut db, &[name]).await?.remove(name).ok_or_else(unknown)?;
    let checkpoints = import_checkpoints(&mut db, &json(&[name])).await?.remove(name).ok_or_else(unknown)?;
    let row = |(tag, (artifact, bytes))| Checkpoint {
        run: None,
        model: import.model.name().to_owned(),
        seed: None,
        tag,
        artifact,
        bytes,
    };
    Ok(checkpoints.into_iter().map(row).collect())
}

async fn run_by_prefix(db: &Db, prefix: &str) -> Result<i64> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !(6..=64).contains(&prefix.len()) || !prefix.bytes().all(is_digit) {
        return Err(StoreError::Invalid(format!(
            "`{prefix}` is not the beginning of a run's digest: 6 to 64 lower-case hexadecimal digits are expected"
        )));
    }
    // `g` comes after every digit, and so after every digest that begins like this.
    let found: Vec<i64> = sqlx::query_scalar(sql!("runs_by_prefix"))
        .bind(prefix)
        .bind(format!("{prefix}g"))
        .fetch_all(&db.readers)
        .await?;
    match found[..] {
        [] => Err(StoreError::NotFound { what: "run", name: prefix.to_owned() }),
        [run] => Ok(run),
        _ => Err(StoreError::Ambiguous { what: "run", name: prefix.to_owned() }),
    }
}

pub(super) async fn artifacts(db: &Db) -> Result<HashSet<ArtifactDigest>> {
    let rows: Vec<String> = sqlx::query_scalar(sql!("artifacts")).fetch_all(&db.readers).await?;
    rows.iter().map(|artifact| text(artifact)).collect()
}

pub(super) async fn named_artifacts(db: &Db, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>> {
    let rows: Vec<String> =
        sqlx::query_scalar(sql!("named_artifacts")).bind(json(artifacts)).fetch_all(&db.readers).await?;
    rows.iter().map(|artifact| text(artifact)).collect()
}
