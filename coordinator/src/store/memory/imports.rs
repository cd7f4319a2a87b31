//! Checkpoints: those that were trained elsewhere, and the lists of all that are stored.

use std::collections::{BTreeMap, HashSet};

use transect_common::digest::ArtifactDigest;
use transect_common::run::Tag;
use transect_common::sweep::Import;

use super::state::{ImportRow, State};
use crate::store::{Checkpoint, CheckpointsOf, NewImport, Result, StoreError};

fn shown(row: &ImportRow) -> Import {
    let files = row.checkpoints.iter().map(|(tag, (artifact, _))| (tag.clone(), artifact.clone()));
    Import { model: row.model.clone(), input: row.input, classes: row.classes, checkpoints: files.collect() }
}

pub(super) fn import(state: &mut State, import: NewImport) -> Result<bool> {
    let NewImport { name, model, input, classes, checkpoints } = import;
    if checkpoints.is_empty() {
        return Err(StoreError::Invalid(format!("import `{name}` has no checkpoint")));
    }
    let row = ImportRow { model, input, classes, checkpoints };
    match state.imports.get(&name) {
        Some(known) if shown(known) == shown(&row) => Ok(false),
        Some(_) => Err(StoreError::Taken { what: "import", name }),
        None => {
            state.imports.insert(name, row);
            Ok(true)
        }
    }
}

pub(super) fn imports(state: &State, names: &[&str]) -> BTreeMap<String, Import> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), shown(state.imports.get(*name)?)))).collect()
}

pub(super) fn checkpoints(state: &State, of: &CheckpointsOf) -> Result<Vec<Checkpoint>> {
    let runs: Vec<i64> = match of {
        CheckpointsOf::Import(name) => return of_import(state, name),
        CheckpointsOf::Sweep(id) => state.sweep(*id)?.runs.iter().map(|(run, _)| *run).collect(),
        CheckpointsOf::Run(prefix) => vec![by_prefix(state, prefix)?],
    };
    let mut found = vec![];
    for run in runs.into_iter().map(|run| state.run(run)) {
        found.extend(run.checkpoints.iter().map(|(tag, (artifact, bytes))| Checkpoint {
            run: Some(run.digest.clone()),
            model: run.spec.model.name().to_owned(),
            seed: run.spec.seed(),
            tag: tag.clone(),
            artifact: artifact.clone(),
            bytes: *bytes,
        }));
    }
    Ok(found)
}

fn of_import(state: &State, name: &str) -> Result<Vec<Checkpoint>> {
    let unknown = || StoreError::NotFound { what: "import", name: name.to_owned() };
    let import = state.imports.get(name).ok_or_else(unknown)?;
    let row = |(tag, (artifact, bytes)): (&Tag, &(ArtifactDigest, u64))| Checkpoint {
        run: None,
        model: import.model.name().to_owned(),
        seed: None,
        tag: tag.clone(),
        artifact: artifact.clone(),
        bytes: *bytes,
    };
    Ok(import.checkpoints.iter().map(row).collect())
}

fn by_prefix(state: &State, prefix: &str) -> Result<i64> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if !(6..=64).contains(&prefix.len()) || !prefix.bytes().all(is_digit) {
        return Err(StoreError::Invalid(format!(
            "`{prefix}` is not the beginning of a run's digest: 6 to 64 lower-case hexadecimal digits are expected"
        )));
    }
    let mut found = state.run_ids.iter().filter(|(digest, _)| digest.as_str().starts_with(prefix)).map(|(_, id)| *id);
    match (found.next(), found.next()) {
        (None, _) => Err(StoreError::NotFound { what: "run", name: prefix.to_owned() }),
        (Some(run), None) => Ok(run),
        _ => Err(StoreError::Ambiguous { what: "run", name: prefix.to_owned() }),
    }
}

pub(super) fn artifacts(state: &State) -> HashSet<ArtifactDigest> {
    let runs = state.runs.values().flat_map(|run| run.checkpoints.values());
    let imports = state.imports.values().flat_map(|import| import.checkpoints.values());
    runs.chain(imports).map(|(artifact, _)| artifact.clone()).collect()
}
