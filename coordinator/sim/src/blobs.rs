//! Artifacts of a history: their sizes as coordinators see them, and the states that they hold as workers do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use transect_common::digest::ArtifactDigest;
use transect_coordinator::artifacts::{Artifacts, Pretended};

use super::truth::{BYTES, artifact};

/// A state, and the kinds of device on which it was reached.
type Held = (String, BTreeSet<String>);

/// The artifact store; clones are the same.
#[derive(Clone, Default)]
pub struct Blobs {
    sizes: Pretended,
    /// The state that an artifact holds, and the kinds of device on which it was reached.
    states: Arc<Mutex<BTreeMap<String, Held>>>,
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
        let kinds = &mut states.entry(digest.to_string()).or_insert_with(|| (state.to_owned(), BTreeSet::new())).1;
        kinds.insert(kind.to_owned());
        digest
    }

    /// The state that an artifact holds, and the kinds of device on which it was reached.
    pub fn get(&self, digest: &str) -> Option<(String, BTreeSet<String>)> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}
