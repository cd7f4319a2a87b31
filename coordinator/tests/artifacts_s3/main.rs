//! Artifacts in a bucket of a real S3 server.

mod server;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use server::{BUCKET, S3, SECRET, Wire, at};
use tokio::sync::mpsc;
use transect_common::digest::ArtifactDigest;
use transect_common::pb;
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_coordinator::artifacts::{ArtifactError, Artifacts, Location, Names, Stored, Terms, collect};
use transect_coordinator::store::StoreError;
use transect_coordinator::{Config, StartError, start};

/// Larger than one part.
fn large() -> Vec<u8> {
    (0..(20 << 20) + 17_u32).map(|i| (i % 251) as u8).collect()
}

struct Opened {
    artifacts: Artifacts,
    _spool: tempfile::TempDir,
}

async fn open(location: Location) -> Result<Opened, ArtifactError> {
    let spool = tempfile::tempdir().unwrap();
    Ok(Opened { artifacts: Artifacts::open(location, &spool.path().join("tmp")).await?, _spool: spool })
}

async fn put(artifacts: &Artifacts, bytes: &[u8], offset: usize) -> Result<Stored, ArtifactError> {
    let (here, name, rest) = (artifacts.clone(), ArtifactDigest::of(bytes), bytes[offset..].to_vec());
    let staged = tokio::task::spawn_blocking(move || {
        let mut upload = here.upload(name, offset as u64, SystemTime::now())?;
        upload.write(&rest)?;
        upload.finish()
    });
    artifacts.publish(staged.await.unwrap()?, SystemTime::now()).await
}

struct Named(HashSet<ArtifactDigest>);

#[async_trait]
impl Names for Named {
    async fn named(&self, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>, StoreError> {
        Ok(artifacts.iter().filter(|artifact| self.0.contains(artifact)).cloned().collect())
    }
}

#[tokio::test]
async fn what_is_put_small_or_in_parts_is_got_and_what_nothing_names_is_collected() {
    let Some(s3) = S3::start() else { return };
    let store = open(s3.location()).await.unwrap();
    let artifacts = &store.artifacts;
    let large = large();
    for bytes in [&b"small"[..], &large, b""] {
        let name = ArtifactDigest::of(bytes);
        assert_eq!(artifacts.size(&name).await.unwrap(), None);
        let stored = Stored { bytes: bytes.len() as u64, created: true };
        assert_eq!(put(artifacts, bytes, 0).await.unwrap(), stored);
        assert_eq!(put(artifacts, bytes, 0).await.unwrap(), Stored { created: false, ..stored });
        assert_eq!(artifacts.read(&name).await.unwrap(), bytes);
    }
    let name = ArtifactDigest::of(b"small");
    assert!(s3.objects().contains(&format!("lab/{}/{name}", &name.as_str()[..2])));
    let named = Named(HashSet::from([ArtifactDigest::of(&large)]));
    let terms = Terms { grace: Duration::ZERO, dry_run: false };
    let (found, _pages) = mpsc::channel(10);
    let totals = collect(artifacts, &named, terms, SystemTime::now, found).await.unwrap();
    assert_eq!((totals.removed, totals.named, totals.bytes), (2, 1, 5));
    assert_eq!(s3.objects().len(), 1, "{:?}", s3.objects());
    assert_eq!(artifacts.read(&ArtifactDigest::of(&large)).await.unwrap(), large);
}

#[tokio::test]
async fn what_is_old_is_made_young_when_it_is_kept() {
    let Some(s3) = S3::start() else { return };
    let store = open(s3.location()).await.unwrap();
    put(&store.artifacts, b"small", 0).await.unwrap();
    let name = ArtifactDigest::of(b"small");
    let file = s3.folder.path().join(BUCKET).join(format!("lab/{}/{name}", &name.as_str()[..2]));
    let old = SystemTime::now() - Duration::from_hours(30);
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(old).unwrap();
    assert_eq!(store.artifacts.keep(&name, SystemTime::now()).await.unwrap(), Some(5));
    assert!(file.metadata().unwrap().modified().unwrap() > old + Duration::from_hours(29));
    assert_eq!(s3.objects().len(), 1, "{:?}", s3.objects());
    assert_eq!(store.artifacts.read(&name).await.unwrap(), b"small");
}

#[tokio::test]
async fn wrong_bytes_never_reach_the_bucket_and_damaged_ones_never_leave_it() {
    let Some(s3) = S3::start() else { return };
    let store = open(s3.location()).await.unwrap();
    let name = ArtifactDigest::of(b"right");
    let (here, wanted) = (store.artifacts.clone(), name.clone());
    let mut upload = here.upload(wanted, 0, SystemTime::now()).unwrap();
    upload.write(b"wrong").unwrap();
    assert!(matches!(upload.finish(), Err(ArtifactError::Mismatch { .. })));
    assert_eq!(s3.objects().len(), 0);

    put(&store.artifacts, b"right", 0).await.unwrap();
    let object = s3.folder.path().join(BUCKET).join(format!("lab/{}/{name}", &name.as_str()[..2]));
    std::fs::write(object, b"wrong").unwrap();
    let error = store.artifacts.read(&name).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&format!("s3://{BUCKET}/lab/")), "{error}");
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_an_upload_and_started_again_is_waited_for() {
    let Some(mut s3) = S3::start() else { return };
    let wire = Wire::to(s3.address()).await;
    let store = open(at(wire.address, BUCKET, SECRET)).await.unwrap();
    let large = large();
    wire.delay.store(5, Ordering::Relaxed);
    let (artifacts, bytes) = (store.artifacts.clone(), large.clone());
    let upload = tokio::spawn(async move { put(&artifacts, &bytes, 0).await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    s3.kill();
    assert!(!upload.is_finished());
    tokio::time::sleep(Duration::from_millis(500)).await;
    s3.revive();
    wire.delay.store(0, Ordering::Relaxed);
    assert_eq!(upload.await.unwrap().unwrap().bytes, large.len() as u64);
    assert_eq!(store.artifacts.read(&ArtifactDigest::of(&large)).await.unwrap(), large);
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_and_nothing_need_be_sent_again() {
    let Some(mut s3) = S3::start() else { return };
    let store = open(s3.location()).await.unwrap();
    let large = large();
    s3.kill();
    let error = put(&store.artifacts, &large, 0).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Away { .. }), "{error}");
    assert!(error.to_string().contains("try again once it is back"), "{error}");
    let name = ArtifactDigest::of(&large);
    assert_eq!(store.artifacts.partial(&name).await.unwrap(), large.len() as u64);
    s3.revive();
    assert!(put(&store.artifacts, &large, large.len()).await.unwrap().created);
    assert_eq!(store.artifacts.read(&name).await.unwrap(), large);
}

#[tokio::test]
async fn a_slow_wire_and_one_that_breaks_cost_time_and_nothing_else() {
    let Some(s3) = S3::start() else { return };
    let wire = Wire::to(s3.address()).await;
    let store = open(at(wire.address, BUCKET, SECRET)).await.unwrap();
    let large = large();
    wire.delay.store(2, Ordering::Relaxed);
    wire.cut_after.store(3 << 20, Ordering::Relaxed);
    wire.cuts_left.store(3, Ordering::Relaxed);
    put(&store.artifacts, &large, 0).await.unwrap();
    assert_eq!(wire.cuts_left.load(Ordering::Relaxed), 0, "it did break");
    wire.cuts_left.store(2, Ordering::Relaxed);
    assert_eq!(store.artifacts.read(&ArtifactDigest::of(&large)).await.unwrap(), large);
    assert_eq!(wire.cuts_left.load(Ordering::Relaxed), 0, "it did break");
}

#[tokio::test]
async fn wrong_keys_and_a_missing_bucket_are_said_at_the_start() {
    let Some(s3) = S3::start() else { return };
    let denied = open(at(s3.address(), BUCKET, "wrong-secret")).await.err().unwrap();
    assert!(matches!(denied, ArtifactError::Denied { .. }), "{denied}");
    let said = denied.to_string();
    assert!(said.contains("AWS_SECRET_ACCESS_KEY") && !said.contains("wrong-secret"), "{said}");
    let missing = open(at(s3.address(), "nowhere", SECRET)).await.err().unwrap();
    assert!(matches!(missing, ArtifactError::NoBucket { .. }), "{missing}");
    assert!(missing.to_string().contains("s3://nowhere"), "{missing}");

    let home = tempfile::tempdir().unwrap();
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let artifacts = Some(at(s3.address(), "nowhere", SECRET));
    let config = Config { listen: free, http: None, artifacts, ..Config::new(home.path()) };
    assert!(matches!(start(config).await, Err(StartError::Artifacts(ArtifactError::NoBucket { .. }))));
}

/// The status line and body of a page.
async fn page(address: SocketAddr, path: &'static str) -> String {
    let read = move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_starts_without_its_bucket_says_so_and_goes_on_when_it_is_back() {
    let Some(mut s3) = S3::start() else { return };
    s3.kill();
    let home = tempfile::tempdir().unwrap();
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let artifacts = Some(s3.location());
    let config = Config { listen: free, http: Some(free), artifacts, ..Config::new(home.path()) };
    let coordinator = start(config).await.unwrap();
    let http = coordinator.http_address().unwrap();
    let said = page(http, "/readyz").await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains(&format!("s3://{BUCKET}/lab")), "{said}");
    assert!(page(http, "/healthz").await.starts_with("HTTP/1.1 200"));

    let channel = tonic::transport::Channel::from_shared(format!("http://{}", coordinator.address())).unwrap();
    let mut client = ArtifactServiceClient::new(channel.connect().await.unwrap());
    let name = ArtifactDigest::of(b"some weights").to_string();
    let request = |chunk: &[u8], offset| {
        tokio_stream::iter([pb::PutRequest { artifact: name.clone(), chunk: chunk.to_vec(), offset }])
    };
    let status = client.put(request(b"some weights", 0)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{}", status.message());
    s3.revive();
    assert!(page(http, "/readyz").await.starts_with("HTTP/1.1 200"));
    let stat = pb::StatRequest { artifact: name.clone(), keep: true };
    assert_eq!(client.stat(stat).await.unwrap().into_inner().partial_bytes, 12);
    assert!(client.put(request(b"", 12)).await.unwrap().into_inner().created);
    let mut chunks = client.get(pb::GetArtifactRequest { artifact: name, offset: 5 }).await.unwrap().into_inner();
    assert_eq!(chunks.message().await.unwrap().unwrap().chunk, b"weights");
    coordinator.shutdown().await;
}
