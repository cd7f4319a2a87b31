//! Artifacts in a folder, and collections that meet those who store.

use std::collections::HashSet;
use std::fs;
use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::*;
use crate::store::StoreError;

/// A store whose artifacts are never young enough to be taken as they are.
async fn store() -> (tempfile::TempDir, Artifacts) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let store = Artifacts::open(location, folder.path()).await.unwrap();
    (folder, Artifacts { young: Duration::ZERO, ..store })
}

async fn put(store: &Artifacts, bytes: &[u8]) -> Result<Stored> {
    let now = SystemTime::now();
    let mut upload = store.upload(ArtifactDigest::of(bytes), 0, now)?;
    bytes.chunks(3).try_for_each(|chunk| upload.write(chunk))?;
    store.publish(upload.finish()?, now).await
}

/// Makes an artifact as old as that.
fn age(store: &Artifacts, artifact: &ArtifactDigest, by: Duration) {
    let file = File::options().append(true).open(store.path(artifact).unwrap()).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

fn staged(folder: &tempfile::TempDir) -> usize {
    fs::read_dir(folder.path().join("tmp")).unwrap().count()
}

#[tokio::test]
async fn what_was_stored_is_read_back_and_storing_it_again_changes_nothing() {
    let (folder, store) = store().await;
    let artifact = ArtifactDigest::of(b"some weights");
    assert_eq!(store.size(&artifact).await.unwrap(), None);
    assert!(matches!(store.read(&artifact).await, Err(ArtifactError::NotFound(_))));

    assert_eq!(put(&store, b"some weights").await.unwrap(), Stored { bytes: 12, created: true });
    assert_eq!(put(&store, b"some weights").await.unwrap(), Stored { bytes: 12, created: false });
    assert_eq!(store.size(&artifact).await.unwrap(), Some(12));
    assert_eq!(store.read(&artifact).await.unwrap(), b"some weights");
    assert_eq!(put(&store, b"").await.unwrap(), Stored { bytes: 0, created: true });
    assert_eq!(store.read(&ArtifactDigest::of(b"")).await.unwrap(), b"");
    assert_eq!(staged(&folder), 0);
}

#[tokio::test]
async fn files_lie_where_earlier_versions_put_them() {
    let (folder, store) = store().await;
    let artifact = ArtifactDigest::of(b"old data");
    let place = folder.path().join(&artifact.as_str()[..2]).join(artifact.as_str());
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, b"old data").unwrap();
    assert_eq!(store.read(&artifact).await.unwrap(), b"old data");
    put(&store, b"new data").await.unwrap();
    let artifact = ArtifactDigest::of(b"new data");
    assert!(folder.path().join(&artifact.as_str()[..2]).join(artifact.as_str()).is_file());
}

#[tokio::test]
async fn a_damaged_artifact_is_named_and_mended_by_storing_it_again() {
    let (_folder, store) = store().await;
    let artifact = ArtifactDigest::of(b"some weights");
    put(&store, b"some weights").await.unwrap();
    fs::write(store.path(&artifact).unwrap(), b"some weighty").unwrap();
    let error = store.read(&artifact).await.unwrap_err().to_string();
    assert!(error.contains(&store.path(&artifact).unwrap().display().to_string()), "{error}");
    assert!(!store.is_whole(&artifact).await.unwrap());
    assert_eq!(put(&store, b"some weights").await.unwrap(), Stored { bytes: 12, created: false });
    assert_eq!(store.read(&artifact).await.unwrap(), b"some weights");
}

#[tokio::test]
async fn two_uploads_of_one_artifact_at_once_both_succeed() {
    let (folder, store) = store().await;
    let bytes = vec![7_u8; 3 * CHUNK_BYTES + 1];
    let artifact = ArtifactDigest::of(&bytes);
    let now = SystemTime::now();
    let mut uploads = [0, 0].map(|offset| store.upload(artifact.clone(), offset, now).unwrap());
    for upload in &mut uploads {
        upload.write(&bytes).unwrap();
    }
    for (upload, created) in uploads.into_iter().zip([true, false]) {
        assert_eq!(store.publish(upload.finish().unwrap(), now).await.unwrap().created, created);
    }
    assert_eq!(store.read(&artifact).await.unwrap().len(), bytes.len());
    assert_eq!(staged(&folder), 0);
}

/// A database whose answers come with something that happens at that moment.
struct Meanwhile<F> {
    named: Mutex<HashSet<ArtifactDigest>>,
    asked: Mutex<u32>,
    happens: F,
}

#[async_trait]
impl<F: Fn(u32) -> BoxStream<'static, ()> + Sync> Names for Meanwhile<F> {
    async fn named(&self, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>, StoreError> {
        if artifacts.is_empty() {
            return Ok(HashSet::new());
        }
        let time = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        (self.happens)(time).collect::<()>().await;
        let named = self.named.lock().unwrap();
        Ok(artifacts.iter().filter(|artifact| named.contains(artifact)).cloned().collect())
    }
}

fn meanwhile<F: Fn(u32) -> BoxStream<'static, ()> + Sync>(happens: F) -> Meanwhile<F> {
    Meanwhile { named: Mutex::default(), asked: Mutex::default(), happens }
}

const HOUR: Duration = Duration::from_hours(1);

async fn run(store: &Artifacts, names: &dyn Names, dry_run: bool) -> (Vec<ArtifactDigest>, Totals) {
    let (found, mut pages) = mpsc::channel(100);
    let totals = collect(store, names, Terms { grace: HOUR, dry_run }, SystemTime::now, found).await.unwrap();
    let mut removed = Vec::new();
    while let Some(page) = pages.recv().await {
        removed.extend(page.into_iter().map(|garbage| garbage.artifact));
    }
    (removed, totals)
}

#[tokio::test]
async fn what_is_old_and_not_named_goes_and_a_dry_run_says_so() {
    let (folder, store) = store().await;
    for bytes in [b"named", b"young", b"old 1", b"old 2"] {
        put(&store, bytes).await.unwrap();
    }
    let [named, old1, old2] = [b"named", b"old 1", b"old 2"].map(|bytes| ArtifactDigest::of(bytes));
    for artifact in [&named, &old1, &old2] {
        age(&store, artifact, HOUR);
    }
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    let names = meanwhile(|_| stream::empty().boxed());
    names.named.lock().unwrap().insert(named.clone());
    for dry_run in [true, false] {
        let (mut removed, totals) = run(&store, &names, dry_run).await;
        removed.sort();
        let mut expected = vec![old1.clone(), old2.clone()];
        expected.sort();
        assert_eq!((removed, totals), (expected, Totals { named: 1, young: 1, removed: 2, bytes: 10 }));
    }
    assert_eq!(run(&store, &names, false).await.1, Totals { named: 1, young: 1, removed: 0, bytes: 0 });
    assert_eq!(store.read(&named).await.unwrap(), b"named");
    assert!(folder.path().join("notes.txt").exists());
    assert_eq!(fs::read_dir(folder.path().join("gc/doomed")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_stored_again_before_the_list_is_written_is_spared() {
    let (_folder, store) = store().await;
    put(&store, b"again").await.unwrap();
    let artifact = ArtifactDigest::of(b"again");
    age(&store, &artifact, HOUR);
    let (here, name) = (store.clone(), artifact.clone());
    let names = meanwhile(move |time| {
        let (here, name) = (here.clone(), name.clone());
        let keep = async move {
            if time == 1 {
                assert_eq!(here.keep(&name, SystemTime::now()).await.unwrap(), Some(5));
            }
        };
        stream::once(keep).boxed()
    });
    let (removed, totals) = run(&store, &names, false).await;
    assert_eq!((removed, totals.young), (vec![], 1));
    assert!(store.size(&artifact).await.unwrap().is_some());
}

#[tokio::test]
async fn who_keeps_what_is_on_a_list_waits_and_hears_that_it_is_gone() {
    let (_folder, store) = store().await;
    put(&store, b"again").await.unwrap();
    let artifact = ArtifactDigest::of(b"again");
    age(&store, &artifact, HOUR);
    let (answers, mut answer) = mpsc::channel(2);
    let (here, name) = (store.clone(), artifact.clone());
    let names = meanwhile(move |time| {
        let (here, name, answers) = (here.clone(), name.clone(), answers.clone());
        let keep = async move {
            if time == 2 {
                // After the last look at its age: it is bound to go.
                tokio::spawn(async move {
                    let kept = here.keep(&name, SystemTime::now()).await.unwrap();
                    answers.send(kept).await.unwrap();
                });
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        stream::once(keep).boxed()
    });
    let (removed, _) = run(&store, &names, false).await;
    assert_eq!(removed, [artifact]);
    assert_eq!(answer.recv().await.unwrap(), None, "so that it is stored anew");
}

#[tokio::test]
async fn a_list_that_a_dead_collection_left_holds_up_nobody_for_long() {
    let (folder, store) = store().await;
    put(&store, b"x").await.unwrap();
    let artifact = ArtifactDigest::of(b"x");
    fs::create_dir_all(folder.path().join("gc/doomed")).unwrap();
    let list = folder.path().join("gc/doomed/1-1-1");
    fs::write(&list, format!("{artifact}\n")).unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(300), store.keep(&artifact, SystemTime::now()));
    assert!(wait.await.is_err(), "it may be at work");
    let later = SystemTime::now() + keep::ABANDONED + Duration::from_secs(1);
    assert_eq!(store.keep(&artifact, later).await.unwrap(), Some(1));
    assert!(!list.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_was_kept_and_then_named_is_ever_lost() {
    let (_folder, store) = store().await;
    let names = Arc::new(meanwhile(|_| stream::empty().boxed()));
    let contents: Vec<Vec<u8>> = (0..40_u8).map(|i| vec![i; 50]).collect();
    for bytes in &contents {
        put(&store, bytes).await.unwrap();
        age(&store, &ArtifactDigest::of(bytes), 2 * HOUR);
    }
    let collections = (0..2).map(|_| {
        let (store, names) = (store.clone(), Arc::clone(&names));
        tokio::spawn(async move {
            for _ in 0..5 {
                run(&store, &*names, false).await;
            }
        })
    });
    let collections: Vec<_> = collections.collect();
    let workers = contents.chunks(10).map(|part| {
        let (store, names, part) = (store.clone(), Arc::clone(&names), part.to_vec());
        tokio::spawn(async move {
            for bytes in part {
                let artifact = ArtifactDigest::of(&bytes);
                loop {
                    // As a worker does: asks whether it must send, sends, and reports.
                    let there = store.keep(&artifact, SystemTime::now()).await.unwrap().is_some();
                    if there || put(&store, &bytes).await.is_ok() {
                        break;
                    }
                }
                names.named.lock().unwrap().insert(artifact);
            }
        })
    });
    for task in workers.collect::<Vec<_>>().into_iter().chain(collections) {
        task.await.unwrap();
    }
    for bytes in &contents {
        assert_eq!(store.read(&ArtifactDigest::of(bytes)).await.unwrap(), *bytes);
    }
}
