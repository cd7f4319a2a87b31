//! Artifacts over the wire.

use std::fs;
use std::path::PathBuf;

use tonic::Code;
use tonic_types::StatusExt as _;
use transect_common::digest::ArtifactDigest;
use transect_common::pb;

use crate::harness::{SMALL, Server, Worker, put, until};

fn file_of(server: &Server, artifact: &str) -> PathBuf {
    server.home.path().join("artifacts").join(&artifact[..2]).join(artifact)
}

async fn get(server: &Server, artifact: &str) -> Result<Vec<u8>, tonic::Status> {
    let mut stream =
        server.artifacts().get(pb::GetArtifactRequest { artifact: artifact.to_owned(), offset: 0 }).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(response) = stream.message().await? {
        assert!((1..=1 << 20).contains(&response.chunk.len()), "{}", response.chunk.len());
        bytes.extend(response.chunk);
    }
    Ok(bytes)
}

async fn stat(server: &Server, artifact: &str) -> pb::StatResponse {
    server.artifacts().stat(pb::StatRequest { artifact: artifact.to_owned(), keep: false }).await.unwrap().into_inner()
}

fn upload(artifact: &str, chunks: &[&[u8]]) -> impl tokio_stream::Stream<Item = pb::PutRequest> + use<> {
    let artifact = artifact.to_owned();
    let requests: Vec<_> = chunks
        .iter()
        .map(|chunk| pb::PutRequest { artifact: artifact.clone(), chunk: chunk.to_vec(), offset: 0 })
        .collect();
    tokio_stream::iter(requests)
}

#[tokio::test]
async fn an_artifact_of_many_chunks_comes_back_as_it_was() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..(3 << 20) + 17).map(|i: u32| (i % 251) as u8).collect();
    let artifact = put(&mut server.artifacts(), &bytes).await;
    assert_eq!(
        stat(&server, &artifact).await,
        pb::StatResponse { exists: true, bytes: bytes.len() as u64, partial_bytes: 0 }
    );
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
    assert_eq!(stat(&server, &artifact).await, pb::StatResponse::default());
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
    let requests = [&artifact, &other].map(|name| pb::PutRequest { artifact: name.clone(), chunk: vec![1], offset: 0 });
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
async fn an_upload_that_breaks_off_goes_on_where_it_stopped() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..(3 << 20) + 17).map(|i: u32| (i % 251) as u8).collect();
    let artifact = ArtifactDigest::of(&bytes).to_string();
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let mut client = server.artifacts();
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let call = tokio::spawn(async move { client.put(stream).await });
    for chunk in bytes[..2 << 20].chunks(1 << 20) {
        sender.send(pb::PutRequest { artifact: artifact.clone(), chunk: chunk.to_vec(), offset: 0 }).await.unwrap();
    }
    let kept = async || stat(&server, &artifact).await.partial_bytes;
    until("two chunks have arrived", async || kept().await == 2 << 20).await;
    // While the stream is open nobody else may go on with it; that is a matter of a moment.
    let rest = |offset: u64| {
        let chunk = bytes[2 << 20..].chunks(1 << 20).enumerate();
        let name = artifact.clone();
        let requests = chunk.map(|(i, chunk)| pb::PutRequest {
            artifact: if i == 0 { name.clone() } else { String::new() },
            chunk: chunk.to_vec(),
            offset,
        });
        tokio_stream::iter(requests.collect::<Vec<_>>())
    };
    let status = server.artifacts().put(rest(2 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    call.abort();
    drop(sender);
    until("the stream is broken", async || {
        let gap = server.artifacts().put(rest(3 << 20)).await.unwrap_err();
        gap.code() == Code::OutOfRange
    })
    .await;
    assert_eq!(kept().await, 2 << 20);
    let answer = server.artifacts().put(rest(2 << 20)).await.unwrap().into_inner();
    assert_eq!(answer, pb::PutResponse { bytes: bytes.len() as u64, created: true });
    assert_eq!(get(&server, &artifact).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_download_begins_where_it_is_told() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..(2 << 20) + 17).map(|i: u32| (i % 251) as u8).collect();
    let artifact = put(&mut server.artifacts(), &bytes).await;
    let from = async |offset: u64| {
        let request = pb::GetArtifactRequest { artifact: artifact.clone(), offset };
        let mut stream = server.artifacts().get(request).await?.into_inner();
        let mut got = Vec::new();
        while let Some(response) = stream.message().await? {
            got.extend(response.chunk);
        }
        Ok::<_, tonic::Status>(got)
    };
    assert_eq!(from((1 << 20) + 5).await.unwrap(), bytes[(1 << 20) + 5..]);
    assert!(from(bytes.len() as u64).await.unwrap().is_empty());
    assert_eq!(from(bytes.len() as u64 + 1).await.unwrap_err().code(), Code::OutOfRange);
}

/// Everything that a collection removed, and its totals.
async fn collect(
    server: &Server,
    dry_run: bool,
    grace_seconds: u64,
) -> Result<(Vec<String>, pb::CollectGarbageTotals), tonic::Status> {
    let request = pb::CollectGarbageRequest { dry_run, grace_seconds };
    let mut pages = server.artifacts().collect_garbage(request).await?.into_inner();
    let mut removed = Vec::new();
    let mut totals = None;
    while let Some(page) = pages.message().await? {
        removed.extend(page.removed.into_iter().map(|garbage| garbage.artifact));
        totals = totals.or(page.totals);
    }
    Ok((removed, totals.unwrap()))
}

#[tokio::test]
async fn a_collection_removes_what_nothing_names_and_nothing_else() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await;
    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(1).await;
    worker.finish(&lease).await;
    let orphan = worker.put(b"never reported").await;
    let held = worker.lease(1).await;

    let refusal = collect(&server, false, 0).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("1 jobs") && refusal.message().contains("2h"), "{}", refusal.message());
    let (spared, totals) = collect(&server, false, 7200).await.unwrap();
    assert_eq!((spared.len(), totals.young, totals.removed), (0, 1, 0));

    worker.finish(&held).await;
    worker.finish_all().await;
    let (would, _) = collect(&server, true, 0).await.unwrap();
    assert_eq!(would, [orphan.clone()]);
    assert!(stat(&server, &orphan).await.exists);
    let (removed, totals) = collect(&server, false, 0).await.unwrap();
    assert_eq!((removed, totals.removed_bytes), (vec![orphan.clone()], 14));
    assert!(!stat(&server, &orphan).await.exists);
    assert_eq!(collect(&server, false, 0).await.unwrap().1.removed, 0);
    let request = pb::CheckpointsRequest { of: Some(pb::checkpoints_request::Of::Sweep(sweep.sweep_id)) };
    for checkpoint in server.sweeps().checkpoints(request).await.unwrap().into_inner().checkpoints {
        get(&server, &checkpoint.artifact).await.unwrap();
    }
}
