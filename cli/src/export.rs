//! `transect export`: write stored checkpoints to files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use tonic::Code;
use transect_common::digest::ArtifactDigest;
use transect_common::pb;
use transect_common::pb::checkpoints_request::Of;
use transect_common::run::Tag;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, bytes};

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A sweep (id or name), a run (its digest or at least 6 digits of it) or an import (its name)
    #[arg(value_name = "SWEEP|RUN|IMPORT")]
    what: String,
    /// Only this moment: `init`, `final`, `epoch-3`
    #[arg(long, value_name = "TAG")]
    tag: Option<Tag>,
    /// Folder for the files, made when it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace files that hold something else
    #[arg(long)]
    force: bool,
}

/// Writes checkpoints.
pub async fn export(global: &Global, output: Output, args: ExportArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let outcome = write_all(&session, output, &args).await;
    session.close().await;
    let files = outcome?;
    if output.is_json() {
        return output.json(&json!({ "files": files }));
    }
    Ok(())
}

async fn write_all(session: &Session, output: Output, args: &ExportArgs) -> Result<Value, Failure> {
    let (found, import) = find(session, &args.what).await?;
    let wanted = |c: &pb::Checkpoint| args.tag.as_ref().is_none_or(|tag| tag.as_str() == c.tag);
    let chosen: Vec<pb::Checkpoint> = found.iter().filter(|c| wanted(c)).cloned().collect();
    if chosen.is_empty() {
        let mut tags: Vec<&str> = found.iter().map(|c| c.tag.as_str()).collect();
        tags.sort_unstable();
        tags.dedup();
        let there = if tags.is_empty() { "none yet".to_owned() } else { tags.join(", ") };
        return Err(Failure::NotFound(format!("`{}` has no such checkpoint; there are: {there}", args.what)));
    }
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let mut files = vec![];
    for (name, checkpoint) in names(&chosen, import.then_some(args.what.as_str())) {
        let path = args.out.join(name);
        let content = download(session, &checkpoint.artifact).await?;
        let is_new = write(&path, &content, args.force)?;
        if !output.is_json() {
            let (size, note) = (bytes(content.len() as u64), if is_new { "" } else { ", was there already" });
            output.text(&format!("{}  ({size}{note})", path.display()))?;
        }
        files.push(json!({
            "path": path.display().to_string(),
            "run": checkpoint.run,
            "model": checkpoint.model,
            "seed": checkpoint.seed,
            "tag": checkpoint.tag,
            "artifact": checkpoint.artifact,
            "bytes": content.len(),
        }));
    }
    Ok(Value::from(files))
}

/// The checkpoints of whatever has that name: a sweep, a run, or an import; true for an import.
async fn find(session: &Session, what: &str) -> Result<(Vec<pb::Checkpoint>, bool), Failure> {
    let mut client = session.sweeps();
    let is_digest = what.len() >= 6 && what.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let run = is_digest.then(|| Of::Run(what.to_owned()));
    let meanings = [Some(Of::Sweep(what.to_owned())), run, Some(Of::Import(what.to_owned()))];
    for of in meanings.into_iter().flatten() {
        let import = matches!(of, Of::Import(_));
        match client.checkpoints(pb::CheckpointsRequest { of: Some(of) }).await {
            Ok(answer) => return Ok((answer.into_inner().checkpoints, import)),
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status.into()),
        }
    }
    Err(Failure::NotFound(format!(
        "no sweep, run or import is called `{what}`; `transect sweeps` lists sweeps, `transect results SWEEP --format \
         csv` their runs"
    )))
}

/// A file name for each: MODEL-seedS-TAG, with the run's digest where that would name two; IMPORT-TAG for an import.
fn names<'a>(chosen: &'a [pb::Checkpoint], import: Option<&str>) -> Vec<(String, &'a pb::Checkpoint)> {
    let stem = |c: &pb::Checkpoint| match c.seed {
        Some(seed) => format!("{}-seed{seed}-{}", c.model, c.tag),
        None => format!("{}-{}", import.unwrap_or(&c.model), c.tag),
    };
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for checkpoint in chosen {
        *uses.entry(stem(checkpoint)).or_default() += 1;
    }
    let name = |c: &'a pb::Checkpoint| {
        let stem = stem(c);
        let is_shared = uses[&stem] > 1;
        let run: String = c.run.chars().take(12).collect();
        let name = if is_shared { format!("{stem}-{run}.safetensors") } else { format!("{stem}.safetensors") };
        (name, c)
    };
    chosen.iter().map(name).collect()
}

/// All bytes of an artifact, checked against its name.
async fn download(session: &Session, artifact: &str) -> Result<Vec<u8>, Failure> {
    let request = pb::GetArtifactRequest { artifact: artifact.to_owned(), offset: 0 };
    let mut chunks = session.artifacts().get(request).await?.into_inner();
    let mut content = Vec::new();
    while let Some(part) = chunks.message().await? {
        content.extend(part.chunk);
    }
    let digest = ArtifactDigest::of(&content);
    if digest.as_str() != artifact {
        return Err(Failure::Other(anyhow::anyhow!(
            "the coordinator sent other bytes than those of artifact {artifact}: their digest is {digest}"
        )));
    }
    Ok(content)
}

/// Writes a file whole or not at all; false when it was there with the same content.
fn write(path: &Path, content: &[u8], force: bool) -> Result<bool, Failure> {
    if let Ok(there) = std::fs::read(path) {
        if there == content {
            return Ok(false);
        }
        if !force {
            let path = path.display();
            return Err(Failure::Other(anyhow::anyhow!("{path} holds something else; --force replaces it")));
        }
    }
    let part = path.with_extension(format!("part-{}", std::process::id()));
    let done = std::fs::write(&part, content).and_then(|()| std::fs::rename(&part, path));
    if done.is_err() {
        // The error of writing is what the user must hear of.
        let _ = std::fs::remove_file(&part);
    }
    done.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(run: &str, seed: Option<u64>, tag: &str) -> pb::Checkpoint {
        pb::Checkpoint { run: run.repeat(64), model: "mlp".into(), seed, tag: tag.into(), ..Default::default() }
    }

    #[test]
    fn files_are_named_by_model_seed_and_moment() {
        let chosen =
            [checkpoint("a", Some(1), "init"), checkpoint("a", Some(1), "final"), checkpoint("b", None, "init")];
        let names: Vec<String> = names(&chosen, None).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["mlp-seed1-init.safetensors", "mlp-seed1-final.safetensors", "mlp-init.safetensors"]);
    }

    #[test]
    fn runs_of_one_model_and_seed_are_told_apart_by_their_digests() {
        let chosen = [checkpoint("a", Some(1), "init"), checkpoint("b", Some(1), "init")];
        let names: Vec<String> = names(&chosen, None).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["mlp-seed1-init-aaaaaaaaaaaa.safetensors", "mlp-seed1-init-bbbbbbbbbbbb.safetensors"]);
    }

    #[test]
    fn a_file_with_other_content_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        assert!(write(&path, b"one", false).unwrap());
        assert!(!write(&path, b"one", false).unwrap());
        assert!(write(&path, b"two", false).is_err());
        assert!(write(&path, b"two", true).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
