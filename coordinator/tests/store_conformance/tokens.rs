//! Claims about tokens, and about whose each worker is.

use std::time::Duration;

use transect_common::job::JobState;
use transect_coordinator::security::{NewToken, Scopes, Secret, Token};
use transect_coordinator::store::{JobProgress, RefusalReason, StoreError, Timestamp};

use crate::world::{World, done, trained};

fn new(world: &World, name: &str, seed: u8) -> NewToken {
    let hash = Secret::from_random(&[seed; 32]).hash();
    let scopes: Scopes = "read,work".parse().unwrap();
    NewToken::new(name, hash, scopes, Some(Duration::from_mins(1)), "somebody", world.now()).unwrap()
}

async fn create(world: &World, name: &str, seed: u8) -> Result<Token, StoreError> {
    world.store.create_token(new(world, name, seed), world.now()).await
}

pub async fn a_token_is_found_by_its_hash_and_by_nothing_else(world: World) {
    let made = create(&world, "ci", 1).await.unwrap();
    assert_eq!(
        (made.name.as_str(), made.scopes.to_string().as_str(), made.created_by.as_str()),
        ("ci", "read,work", "somebody")
    );
    assert_eq!(made.expires_at, Some(world.now().plus(Duration::from_mins(1))));
    let found = world.store.token(Secret::from_random(&[1; 32]).hash()).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made));
    assert_eq!(world.store.token(Secret::from_random(&[2; 32]).hash()).await.unwrap(), None);
    assert_eq!(world.store.tokens().await.unwrap(), [made]);
}

pub async fn a_name_is_taken_until_its_token_is_revoked(world: World) {
    let first = create(&world, "ci", 1).await.unwrap();
    assert!(matches!(create(&world, "ci", 2).await, Err(StoreError::Taken { .. })));
    world.wait(1);
    let at = world.now();
    let revoked = world.store.revoke_token("ci", at).await.unwrap();
    assert_eq!((revoked.id, revoked.revoked_at), (first.id, Some(at)));
    world.wait(1);
    assert_eq!(world.store.revoke_token("ci", world.now()).await.unwrap().revoked_at, Some(at), "twice is no error");
    let second = create(&world, "ci", 2).await.unwrap();
    assert_eq!(world.store.revoke_token(&second.id.to_string(), world.now()).await.unwrap().id, second.id);
    for unknown in ["other", "t-99", "", "t-"] {
        let error = world.store.revoke_token(unknown, world.now()).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{unknown}: {error}");
    }
    let states: Vec<_> = world.store.tokens().await.unwrap().iter().map(|token| token.state(world.now())).collect();
    assert_eq!(states, ["revoked", "revoked"]);
}

pub async fn a_use_is_noted_and_never_moved_back(world: World) {
    let token = create(&world, "ci", 1).await.unwrap();
    let used = async || world.store.tokens().await.unwrap()[0].used_at;
    assert_eq!(used().await, None);
    let later: Timestamp = world.now().plus(Duration::from_secs(5));
    for at in [later, world.now()] {
        world.store.token_used(token.id, at).await.unwrap();
        assert_eq!(used().await, Some(later));
    }
}

pub async fn a_worker_has_the_owner_that_was_noted_first(world: World) {
    let (mine, other) = (world.worker().await, world.worker().await);
    for owner in ["token:1", "token:2"] {
        world.store.own_worker(mine, owner).await.unwrap();
    }
    assert_eq!(world.store.worker_owner(mine).await.unwrap().as_deref(), Some("token:1"));
    assert_eq!(world.store.worker_owner(other).await.unwrap(), None);
}

pub async fn only_the_worker_that_holds_a_lease_writes_for_its_job(world: World) {
    let (holder, other) = (world.worker().await, world.worker().await);
    let sweep = world.sweep("first", &[0], &["all"]).await;
    let job = world.lease(holder).await.jobs.remove(0).job;
    for row in trained() {
        let (reason, message) = world.refused(other, job, row).await;
        assert_eq!(reason, RefusalReason::Stale);
        assert!(message.contains("another worker"), "{message}");
    }
    let progress = JobProgress { job, fraction: 0.9, text: "stolen".into() };
    assert_eq!(world.store.heartbeat(other, &[progress], false, world.now()).await.unwrap(), [job]);
    assert_eq!(world.states(sweep.id).await[0], JobState::Leased);
    world.store_rows(holder, job, trained()).await;
    // What is stored already is nobody's secret, but only its worker is told so.
    world.store_rows(holder, job, vec![done()]).await;
    assert_eq!(world.refused(other, job, done()).await.0, RefusalReason::Stale);
}
