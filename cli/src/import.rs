//! `transect import`: store checkpoints that were trained elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use transect_common::checkpoint;
use transect_common::digest::ArtifactDigest;
use transect_common::model::{Description, ModelSpec, Op};
use transect_common::pb;
use transect_common::run::Tag;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::models::{parse_input, spec};
use crate::output::{Output, bytes};

/// Bytes of one message of an upload.
const CHUNK: usize = 1 << 20;

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = "Example:  transect import mine --model resnet20 init=A.safetensors final=B.safetensors")]
pub struct ImportArgs {
    /// Name under which sweep files will find it: `[imported] runs = ["NAME"]`
    name: String,
    /// The architecture; `transect models` lists them
    #[arg(long, value_name = "NAME")]
    model: String,
    /// An option of the architecture, such as widths=[300,100]; read off the tensors where it can be
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Shape of an image: channels, height, width; without it, what the tensors' shapes suggest
    #[arg(long, value_name = "CxHxW", value_parser = parse_input)]
    input: Option<[u32; 3]>,
    /// Number of classes; without it, what the last layer has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    classes: Option<u32>,
    /// Checkpoints: the moment (`init`, `final`, `epoch-3` or any word) and a safetensors file with the names of
    /// PyTorch's state_dict
    #[arg(value_name = "TAG=FILE", required = true)]
    checkpoints: Vec<String>,
}

/// One checkpoint, read and checked.
struct Checked {
    tag: Tag,
    bytes: Vec<u8>,
    digest: ArtifactDigest,
}

/// Stores checkpoints.
pub async fn import(global: &Global, output: Output, args: ImportArgs) -> Outcome {
    check_name(&args.name)?;
    let files = named_files(&args.checkpoints)?;
    let contents = files.iter().map(|(_, path)| read(path)).collect::<Result<Vec<_>, _>>()?;
    let (spec, model) = model(&args, &files[0].1, &contents[0])?;
    let mut checked = Vec::new();
    for ((tag, path), bytes) in files.into_iter().zip(contents) {
        checkpoint::decode(&model, &bytes).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
        checked.push(Checked { tag, digest: ArtifactDigest::of(&bytes), bytes });
    }

    let session = Session::open(global, Need::Home).await?;
    let stored = store(&session, &args.name, &spec, &model, &checked).await;
    session.close().await;
    let created = stored?;
    if output.is_json() {
        let tags = checked.iter().map(|c| (c.tag.to_string(), json!(c.digest.as_str())));
        return output.json(&json!({
            "name": args.name,
            "created": created,
            "model": spec,
            "input": model.input,
            "classes": model.classes,
            "checkpoints": tags.collect::<serde_json::Map<_, _>>(),
        }));
    }
    let [c, h, w] = model.input;
    let head = if created { "imported" } else { "was imported already:" };
    let described = serde_json::to_value(&spec).map_or_else(|_| spec.name().to_owned(), |v| words(&v));
    output.text(&format!("{} {head} {described} for {c}x{h}x{w} images, {} classes", args.name, model.classes))?;
    for Checked { tag, bytes: content, digest } in &checked {
        output.text(&format!("  {tag:<10} {}  {}", digest.short(), bytes(content.len() as u64)))?;
    }
    output.note(&format!("Walk it with a sweep file that says: [imported] runs = [\"{}\"]", args.name));
    Ok(())
}

/// `mlp widths=[300,100]`.
fn words(spec: &Value) -> String {
    let map = spec.as_object().into_iter().flatten();
    let words = map.map(|(key, value)| match (key.as_str(), value) {
        ("architecture", Value::String(name)) => name.clone(),
        _ => format!("{key}={value}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn check_name(name: &str) -> Outcome {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(is_word) {
        return Ok(());
    }
    let rule = "1 to 64 letters, digits, `-`, `_` and `.`";
    Err(Failure::Usage(format!("`{name}` cannot name an import: use {rule}")))
}

fn named_files(arguments: &[String]) -> Result<Vec<(Tag, PathBuf)>, Failure> {
    let mut files: Vec<(Tag, PathBuf)> = vec![];
    for argument in arguments {
        let Some((tag, path)) = argument.split_once('=') else {
            return Err(Failure::Usage(format!("`{argument}` is not TAG=FILE, such as final={argument}")));
        };
        let tag: Tag = tag.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
        if files.iter().any(|(other, _)| *other == tag) {
            return Err(Failure::Usage(format!("the moment `{tag}` is given twice")));
        }
        files.push((tag, path.into()));
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let about = std::fs::metadata(path).map_err(|e| Failure::Usage(format!("cannot read {}: {e}", path.display())))?;
    if !about.is_file() {
        return Err(Failure::Usage(format!("{} is not a file", path.display())));
    }
    Ok(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
}

/// The model that the arguments name, completed by what the tensors of the first file show.
fn model(args: &ImportArgs, path: &Path, bytes: &[u8]) -> Result<(ModelSpec, Description), Failure> {
    let mut spec = spec(&args.model, &args.options)?;
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| Failure::Usage(format!("{}: not a readable safetensors file: {e}", path.display())))?;
    let shape = |name: &str| file.tensor(name).ok().map(|t| t.shape().to_vec());
    if let (ModelSpec::Mlp(mlp), true) = (&mut spec, args.options.is_empty()) {
        let layers = (1..).map_while(|i| shape(&format!("fc{i}.weight"))?.first().copied());
        let outputs: Vec<u32> = layers.filter_map(|n| u32::try_from(n).ok()).collect();
        if let [hidden @ .., _] = outputs.as_slice() {
            mlp.widths = hidden.to_vec();
        }
    }
    let input = args.input.or_else(|| seen_input(&spec, shape)).unwrap_or(spec.usual_input());
    let classes = args.classes.or_else(|| seen_classes(&spec, shape)).unwrap_or(10);
    let model = spec.describe(input, classes).map_err(|e| Failure::Usage(format!("{e}; --input says their shape")))?;
    Ok((spec, model))
}

/// Shape of the images that the first layer takes: the usual one with that many channels, or that many pixels.
fn seen_input(spec: &ModelSpec, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Option<[u32; 3]> {
    let model = spec.describe(spec.usual_input(), 10).ok()?;
    let (first, is_linear) = model.nodes.iter().find_map(|node| match node.op {
        Op::Linear { layer } => Some((layer, true)),
        Op::Conv2d { layer, .. } => Some((layer, false)),
        _ => None,
    })?;
    let inputs = *shape(&weight(&model, first))?.get(1)?;
    let fits = |s: &[u32; 3]| inputs == if is_linear { s.iter().product::<u32>() } else { s[0] } as usize;
    [[1, 28, 28], [3, 32, 32]].into_iter().find(fits)
}

/// Outputs of the last linear layer.
fn seen_classes(spec: &ModelSpec, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Option<u32> {
    let model = spec.describe(spec.usual_input(), 10).ok()?;
    let last = model.nodes.iter().rev().find_map(|node| match node.op {
        Op::Linear { layer } => Some(layer),
        _ => None,
    })?;
    u32::try_from(*shape(&weight(&model, last))?.first()?).ok().filter(|n| *n >= 2)
}

fn weight(model: &Description, layer: usize) -> String {
    format!("{}.weight", model.layers[layer].name)
}

/// Uploads the checkpoints, then registers them; true when the import is new.
async fn store(
    session: &Session,
    name: &str,
    spec: &ModelSpec,
    model: &Description,
    checked: &[Checked],
) -> Result<bool, Failure> {
    let mut artifacts = session.artifacts();
    for Checked { digest, bytes, .. } in checked {
        let mut chunks: Vec<pb::PutRequest> = bytes
            .chunks(CHUNK)
            .map(|c| pb::PutRequest { artifact: String::new(), chunk: c.to_vec(), offset: 0 })
            .collect();
        if let Some(first) = chunks.first_mut() {
            digest.as_str().clone_into(&mut first.artifact);
        }
        artifacts.put(tokio_stream::iter(chunks)).await?;
    }
    let checkpoints =
        checked.iter().map(|c| pb::TaggedArtifact { tag: c.tag.to_string(), artifact: c.digest.to_string() }).collect();
    let request = pb::ImportRequest {
        name: name.to_owned(),
        model: serde_json::to_string(spec).context("a model is plain data")?,
        input: model.input.to_vec(),
        classes: model.classes,
        checkpoints,
    };
    Ok(session.sweeps().import(request).await?.into_inner().created)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_input_and_classes_are_read_off_the_tensors() {
        let spec = ModelSpec::mlp([40, 20]);
        let described = spec.describe([3, 32, 32], 7).unwrap();
        let state = checkpoint::Checkpoint { theta: vec![0.0; described.theta_len()], buffers: vec![] };
        let bytes = checkpoint::encode(&described, &state);
        let args = ImportArgs {
            name: "x".into(),
            model: "mlp".into(),
            options: vec![],
            input: None,
            classes: None,
            checkpoints: vec![],
        };
        let (found, model) = model(&args, Path::new("x"), &bytes).unwrap();
        assert_eq!((found, model.input, model.classes), (spec, [3, 32, 32], 7));
    }

    #[test]
    fn arguments_are_checked() {
        let files = |a: &[&str]| named_files(&a.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(files(&["init=a=b", "final=c"]).unwrap()[0], (Tag::init(), "a=b".into()));
        for wrong in [&["a.safetensors"][..], &["no good=a"], &["init=a", "init=b"]] {
            assert_eq!(files(wrong).unwrap_err().code(), 2, "{wrong:?}");
        }
        assert!(check_name("good-1.x_y").is_ok());
        for wrong in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
