//! Checkpoints trained elsewhere: nothing of an import is taken on trust.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tonic::Status;
use transect_common::checkpoint;
use transect_common::digest::ArtifactDigest;
use transect_common::model::{Description, ModelSpec};
use transect_common::pb;
use transect_common::run::Tag;
use transect_common::sweep::check_options;

use super::Shared;
use crate::artifacts::ArtifactError;
use crate::status::invalid;
use crate::store::NewImport;

/// Longest name.
const MAX_NAME: usize = 64;
/// Most checkpoints of one import.
const MAX_CHECKPOINTS: usize = 10_000;
/// Largest side, number of channels or of classes; widths of layers likewise.
const MAX_SIZE: u32 = 1 << 16;
/// Bytes of a model that is decoded in any case.
const SMALL_MODEL: u64 = 1 << 28;
/// Most values of one image.
const MAX_PIXELS: u64 = 1 << 24;

/// Checks an import: its name, its model, and every tensor of every checkpoint.
pub async fn checked(shared: &Shared, request: pb::ImportRequest) -> Result<NewImport, Status> {
    let pb::ImportRequest { name, model, input, classes, checkpoints } = request;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_word) {
        let message = format!("`{name}` cannot name an import: use 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`");
        return Err(invalid("name", message));
    }
    let (model, input) = (read_model(&model)?, read_input(&input)?);
    if !(1..=MAX_SIZE).contains(&classes) {
        return Err(invalid("classes", format!("there are 1 to {MAX_SIZE} classes, not {classes}")));
    }
    let description = model.describe(input, classes).map_err(|e| invalid("input", e.to_string()))?;
    if checkpoints.is_empty() || checkpoints.len() > MAX_CHECKPOINTS {
        let found = checkpoints.len();
        return Err(invalid("checkpoints", format!("an import has 1 to {MAX_CHECKPOINTS} checkpoints, not {found}")));
    }
    let mut found: BTreeMap<Tag, (ArtifactDigest, u64)> = BTreeMap::new();
    for (place, tagged) in checkpoints.into_iter().enumerate() {
        let field = |part: &str| format!("checkpoints[{place}].{part}");
        let tag: Tag = tagged.tag.parse().map_err(|e| invalid(&field("tag"), format!("{e}")))?;
        let artifact: ArtifactDigest =
            tagged.artifact.parse().map_err(|e| invalid(&field("artifact"), format!("{e}")))?;
        let bytes = check(shared, &description, &artifact, &tag, &field("artifact")).await?;
        if found.insert(tag.clone(), (artifact, bytes)).is_some() {
            return Err(invalid(&field("tag"), format!("`{tag}` is given twice; every checkpoint has its own tag")));
        }
    }
    Ok(NewImport { name, model, input, classes, checkpoints: found })
}

fn read_model(text: &str) -> Result<ModelSpec, Status> {
    let model: ModelSpec = serde_json::from_str(text).map_err(|e| {
        let names = ModelSpec::NAMES.join(", ");
        invalid("model", format!("{e}; a model is JSON such as {{\"architecture\":\"resnet20\"}}, with one of {names}"))
    })?;
    check_options(&model).map_err(|wrong| invalid("model", format!("{}: {wrong}", model.name())))?;
    Ok(model)
}

fn read_input(input: &[u32]) -> Result<[u32; 3], Status> {
    let shape: Option<[u32; 3]> = input.try_into().ok();
    let fits = |shape: &[u32; 3]| {
        let product: u64 = shape.iter().map(|&d| u64::from(d.min(MAX_SIZE))).product();
        shape.iter().all(|d| (1..=MAX_SIZE).contains(d)) && product <= MAX_PIXELS
    };
    shape.filter(fits).ok_or_else(|| {
        let message = format!("{input:?} is no shape of an image: channels, height and width are needed, 3 numbers");
        invalid("input", message)
    })
}

/// Checks one checkpoint and returns its size in bytes.
async fn check(
    shared: &Shared,
    model: &Description,
    artifact: &ArtifactDigest,
    tag: &Tag,
    field: &str,
) -> Result<u64, Status> {
    let wrong = |reason: String| invalid(field, format!("checkpoint `{tag}`: {reason}"));
    let kept = shared.artifacts.keep(artifact, SystemTime::now()).await?;
    let bytes = kept.ok_or_else(|| ArtifactError::NotFound(artifact.clone()))?;
    let needed = 4 * (model.theta_len() + model.buffers_len()) as u64;
    // A small file gets to name what it lacks, but not to have memory for a huge model allocated.
    if bytes < needed && needed > SMALL_MODEL {
        return Err(wrong(format!("it has {bytes} bytes; the tensors of {} alone take {needed}", model.architecture)));
    }
    let (model, content) = (model.clone(), shared.artifacts.read(artifact).await?);
    let decoded = shared.compute(move || checkpoint::decode(&model, &content).map(|_| ()).map_err(|e| e.to_string()));
    decoded.await?.map_err(wrong)?;
    Ok(bytes)
}
