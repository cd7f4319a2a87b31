//! The clock that services read: the machine's, or one that a simulation moves.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::store::Timestamp;

/// Tells the time. Clones tell the same.
#[derive(Clone, Default)]
pub struct Clock {
    told: Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("is_told", &self.told.is_some()).finish()
    }
}

impl Clock {
    /// The machine's clock.
    pub fn machine() -> Self {
        Self::default()
    }

    /// A clock that asks `now`.
    pub fn told(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { told: Some(Arc::new(now)) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.told.as_ref().map_or_else(|| SystemTime::now().into(), |told| told())
    }
}
