//! Artifacts of a history: their sizes as coordinators see them, and the states that they hold as workers do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use transect_common::digest::ArtifactDigest;
use transect_coordinator::artifacts::{Artifacts, Pretended};

use super::truth::{BYTES, artifact};

/// The artifact store; clones are the same.
#[derive(Clone, Default)]
pub struct Blobs {
    sizes: Pretended,
    /// The kind of device and the state that an artifact holds.
    states: Arc<Mutex<BTreeMap<String, (String, String)>>>,
}

impl Blobs {
    /// What coordinators see.
    pub fn artifacts(&self) -> Artifacts {
        Artifacts::pretend(self.sizes.clone())
    }

    /// Stores a state that was reached on a kind of device.
    pub fn put(&self, state: &str, kind: &str) -> ArtifactDigest {
        let digest = artifact(state);
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), BYTES);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(digest.to_string(), (state.to_owned(), kind.to_owned()));
        digest
    }

    /// The state that an artifact holds, and the kind of device on which it was reached.
    pub fn get(&self, digest: &str) -> Option<(String, String)> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}
