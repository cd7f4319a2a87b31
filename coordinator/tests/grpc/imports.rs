//! Checkpoints trained elsewhere.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use transect_common::checkpoint::{self, Checkpoint};
use transect_common::model::{Mlp, ModelSpec};
use transect_common::pb;

use crate::harness::{Server, Worker, put, weights};

const WALK: &str = r#"
name = "walk"
[data]
set = "mnist"
[imported]
runs = ["mine"]
[[probe]]
kind = "line"
alphas = { start = 0.0, stop = 1.0, count = 2 }
splits = ["test"]
"#;

fn tagged(tag: &str, artifact: &str) -> pb::TaggedArtifact {
    pb::TaggedArtifact { tag: tag.to_owned(), artifact: artifact.to_owned() }
}

fn request(checkpoints: Vec<pb::TaggedArtifact>) -> pb::ImportRequest {
    let model = r#"{"architecture":"lenet5"}"#.to_owned();
    pb::ImportRequest { name: "mine".into(), model, input: vec![1, 28, 28], classes: 10, checkpoints }
}

async fn import(server: &Server, request: pb::ImportRequest) -> Result<pb::ImportResponse, Status> {
    Ok(server.sweeps().import(request).await?.into_inner())
}

/// A LeNet-5 checkpoint with its tensors changed.
fn changed(change: impl Fn(&str, Vec<usize>, Vec<u8>) -> Option<(String, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let bytes = weights(&ModelSpec::lenet5(), 0.5);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| change(&name, view.shape().to_vec(), view.data().to_vec()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, data)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[tokio::test]
async fn an_import_is_walked_without_training() {
    let server = Server::start().await;
    let mut artifacts = server.artifacts();
    let first = put(&mut artifacts, &weights(&ModelSpec::lenet5(), 0.5)).await;
    let second = put(&mut artifacts, &weights(&ModelSpec::lenet5(), 0.25)).await;
    let both = || request(vec![tagged("init", &first), tagged("final", &second)]);
    assert!(import(&server, both()).await.unwrap().created);
    assert!(!import(&server, both()).await.unwrap().created, "the same again is no error");
    let other = request(vec![tagged("init", &second), tagged("final", &first)]);
    assert_eq!(import(&server, other).await.unwrap_err().code(), Code::AlreadyExists);

    let of = Some(pb::checkpoints_request::Of::Import("mine".into()));
    let listed = server.sweeps().checkpoints(pb::CheckpointsRequest { of }).await.unwrap().into_inner().checkpoints;
    assert_eq!(
        listed.iter().map(|c| (c.tag.as_str(), c.artifact.as_str())).collect::<Vec<_>>(),
        [("init", first.as_str()), ("final", second.as_str())]
    );

    let sweep = server.submit(WALK).await;
    assert_eq!((sweep.runs, sweep.jobs, sweep.train_jobs), (1, 1, 0));
    Worker::register(server.channel.clone()).await.finish_all().await;
    assert_eq!(server.sweep(&sweep.sweep_id).await.state, "done");
}

#[tokio::test]
async fn a_model_of_many_classes_and_large_images_is_imported() {
    let server = Server::start().await;
    let model = ModelSpec::Mlp(Mlp { widths: vec![2], ..Mlp::default() });
    let description = model.describe([3, 224, 224], 1000).unwrap();
    let theta = vec![0.5; description.theta_len()];
    let bytes = checkpoint::encode(&description, &Checkpoint { theta, buffers: vec![] });
    let artifact = put(&mut server.artifacts(), &bytes).await;
    let large = pb::ImportRequest {
        model: r#"{"architecture":"mlp","widths":[2]}"#.to_owned(),
        input: vec![3, 224, 224],
        classes: 1000,
        ..request(vec![tagged("final", &artifact)])
    };
    assert!(import(&server, large.clone()).await.unwrap().created);
    let wrong = pb::ImportRequest { classes: 999, name: "wrong".into(), ..large };
    assert!(import(&server, wrong).await.unwrap_err().message().contains("checkpoint `final`"));
}

#[tokio::test]
async fn a_sweep_over_an_import_that_is_not_there_says_so() {
    let server = Server::start().await;
    let submit = pb::SubmitRequest { sweep_file: WALK.into(), ..Default::default() };
    let status = server.sweeps().submit(submit).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("mine"), "{status}");
}

#[tokio::test]
async fn every_wrong_tensor_is_named() {
    let server = Server::start().await;
    let keep = |name: &str, shape, data| Some((name.to_owned(), shape, data));
    let misshapen = |name: &str, shape: Vec<usize>, data| {
        let shape = if name == "fc1.weight" { shape.into_iter().rev().collect() } else { shape };
        keep(name, shape, data)
    };
    let infinite = |name: &str, shape, mut data: Vec<u8>| {
        if name == "fc2.bias" {
            data[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        keep(name, shape, data)
    };
    for (bytes, what) in [
        (changed(|name, shape, data| (name != "fc3.bias").then(|| (name.to_owned(), shape, data))), "fc3.bias"),
        (changed(|name, shape, data| Some((name.replace("fc3.bias", "fc3.bios"), shape, data))), "fc3.bias"),
        (changed(misshapen), "fc1.weight"),
        (changed(infinite), "element 2"),
        (weights(&ModelSpec::mlp([3]), 0.0), "conv1.weight"),
        (b"not a safetensors file".to_vec(), "safetensors"),
    ] {
        let artifact = put(&mut server.artifacts(), &bytes).await;
        let status = import(&server, request(vec![tagged("final", &artifact)])).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let violation = status.get_details_bad_request().unwrap().field_violations.remove(0);
        assert_eq!(violation.field, "checkpoints[0].artifact");
        assert!(violation.description.contains(what), "{what}: {}", violation.description);
    }
    let of = Some(pb::checkpoints_request::Of::Import("mine".into()));
    let status = server.sweeps().checkpoints(pb::CheckpointsRequest { of }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "nothing was stored");
}

#[tokio::test]
async fn odd_imports_are_told_what_is_wrong() {
    let server = Server::start().await;
    let artifact = put(&mut server.artifacts(), &weights(&ModelSpec::lenet5(), 0.5)).await;
    let right = || request(vec![tagged("final", &artifact)]);
    let huge = r#"{"architecture":"mlp","widths":[65536,65536,65536]}"#.to_owned();
    let wide = r#"{"architecture":"mlp","widths":[4000000000,0]}"#.to_owned();
    for (wrong, field) in [
        (pb::ImportRequest { name: String::new(), ..right() }, "name"),
        (pb::ImportRequest { name: "../etc".into(), ..right() }, "name"),
        (pb::ImportRequest { name: "x".repeat(65), ..right() }, "name"),
        (pb::ImportRequest { model: "resnet20".into(), ..right() }, "model"),
        (pb::ImportRequest { model: r#"{"architecture":"vgg"}"#.into(), ..right() }, "model"),
        (pb::ImportRequest { model: wide, ..right() }, "model"),
        (pb::ImportRequest { model: huge, ..right() }, "checkpoints[0].artifact"),
        (pb::ImportRequest { input: vec![], ..right() }, "input"),
        (pb::ImportRequest { input: vec![1, 2], ..right() }, "input"),
        (pb::ImportRequest { input: vec![0, 28, 28], ..right() }, "input"),
        (pb::ImportRequest { input: vec![u32::MAX; 3], ..right() }, "input"),
        (pb::ImportRequest { input: vec![1, 2, 2], ..right() }, "input"),
        (pb::ImportRequest { classes: 0, ..right() }, "classes"),
        (pb::ImportRequest { classes: u32::MAX, ..right() }, "classes"),
        (pb::ImportRequest { checkpoints: vec![], ..right() }, "checkpoints"),
        (request(vec![tagged("a b", &artifact)]), "checkpoints[0].tag"),
        (request(vec![tagged("final", "abc")]), "checkpoints[0].artifact"),
        (request(vec![tagged("final", &artifact), tagged("final", &artifact)]), "checkpoints[1].tag"),
    ] {
        let said = format!("{wrong:?}");
        let status = import(&server, wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{said}: {status}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field, "{said}: {status}");
    }
    let absent = request(vec![tagged("final", &"0".repeat(64))]);
    let status = import(&server, absent).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_details_resource_info().unwrap().resource_type, "artifact");
}
