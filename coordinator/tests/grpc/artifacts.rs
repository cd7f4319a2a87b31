//! Artifacts over the wire.

use std::fs;
use std::path::PathBuf;

use tonic::Code;
use tonic_types::StatusExt as _;
use transect_common::digest::ArtifactDigest;
use transect_common::pb;

use crate::harness::{Server, put, until};

fn file_of(server: &Server, artifact: &str) -> PathBuf {
    server.home.path().join("artifacts").join(&artifact[..2]).join(artifact)
}

async fn get(server: &Server, artifact: &str) -> Result<Vec<u8>, tonic::Status> {
    let mut stream =
        server.artifacts().get(pb::GetArtifactRequest { artifact: artifact.to_owned() }).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(response) = stream.message().await? {
        assert!((1..=1 << 20).contains(&response.chunk.len()), "{}", response.chunk.len());
        bytes.extend(response.chunk);
    }
    Ok(bytes)
}

async fn stat(server: &Server, artifact: &str) -> pb::StatResponse {
    server.artifacts().stat(pb::StatRequest { artifact: artifact.to_owned() }).await.unwrap().into_inner()
}

fn upload(artifact: &str, chunks: &[&[u8]]) -> impl tokio_stream::Stream<Item = pb::PutRequest> + use<> {
    let artifact = artifact.to_owned();
    let requests: Vec<_> =
        chunks.iter().map(|chunk| pb::PutRequest { artifact: artifact.clone(), chunk: chunk.to_vec() }).collect();
    tokio_stream::iter(requests)
}

#[tokio::test]
async fn an_artifact_of_many_chunks_comes_back_as_it_was() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..(3 << 20) + 17).map(|i: u32| (i % 251) as u8).collect();
    let artifact = put(&mut server.artifacts(), &bytes).await;
    assert_eq!(stat(&server, &artifact).await, pb::StatResponse { exists: true, bytes: bytes.len() as u64 });
    assert_eq!(get(&server, &artifact).await.unwrap(), bytes);
    let again = server.artifacts().put(upload(&artifact, &bytes.chunks(1 << 20).collect::<Vec<_>>())).await.unwrap();
    assert_eq!(again.into_inner(), pb::PutResponse { bytes: bytes.len() as u64, created: false });
}

#[tokio::test]
async fn bytes_that_do_not_match_their_name_are_refused_and_not_stored() {
    let server = Server::start().await;
    let artifact = ArtifactDigest::of(b"right").to_string();
    let status = server.artifacts().put(upload(&artifact, &[b"wrong"])).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert!(status.message().contains(&artifact), "{}", status.message());
    assert_eq!(stat(&server, &artifact).await, pb::StatResponse { exists: false, bytes: 0 });
    assert_eq!(fs::read_dir(server.home.path().join("artifacts/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_artifact_is_not_sent() {
    let server = Server::start().await;
    let artifact = put(&mut server.artifacts(), b"some weights").await;
    let file = file_of(&server, &artifact);
    fs::write(&file, "some weighty").unwrap();
    let status = get(&server, &artifact).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert!(status.message().contains(&artifact), "{}", status.message());
    assert!(status.message().contains(&file.display().to_string()), "{}", status.message());
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_what_is_wrong() {
    let server = Server::start().await;
    let mut client = server.artifacts();
    let artifact = ArtifactDigest::of(b"x").to_string();

    let status = client.put(tokio_stream::iter([])).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "artifact: the stream is empty: its first message names the artifact")
    );
    let status = client.put(upload("", &[b"x"])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client.put(upload(&artifact, &[&vec![0; (1 << 20) + 1]])).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "chunk");
    let other = ArtifactDigest::of(b"y").to_string();
    let requests = [&artifact, &other].map(|name| pb::PutRequest { artifact: name.clone(), chunk: vec![1] });
    let status = client.put(tokio_stream::iter(requests)).await.unwrap_err();
    assert!(status.message().contains("names another"), "{}", status.message());
    let unfinished = server.home.path().join("artifacts/tmp");
    until("nothing is left", async || fs::read_dir(&unfinished).unwrap().count() == 0).await;

    let status = get(&server, "../../transect.db").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = get(&server, &artifact).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name), ("artifact", artifact));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start().await;
    let artifact = ArtifactDigest::of(b"never whole").to_string();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut client = server.artifacts();
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let call = tokio::spawn(async move { client.put(stream).await });
    sender.send(pb::PutRequest { artifact: artifact.clone(), chunk: b"never".to_vec() }).await.unwrap();
    let unfinished = server.home.path().join("artifacts/tmp");
    until("the upload begins", async || fs::read_dir(&unfinished).unwrap().count() == 1).await;
    call.abort();
    until("the upload is gone", async || fs::read_dir(&unfinished).unwrap().count() == 0).await;
    assert!(!stat(&server, &artifact).await.exists);
}
