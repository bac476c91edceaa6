//! Keys in memory: found by their id, compared by their hash.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{
    domain::{
        access::{ApiKey, Bucket, Grants, KeyHash, KeyId, Wait},
        admission::{Rate, Until},
    },
    store::api_keys::{self, KeptKey},
};

/// The keys that are known.
pub(super) type Keys = HashMap<KeyId, Held>;

/// A key that somebody wants.
#[derive(Debug)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub grants: Grants,
    /// How often it may ask.
    pub rate: Option<Rate>,
    /// When it ends.
    pub expires: Until,
}

/// Makes a key by chance.
pub(super) fn make(key: NewKey, by: String) -> (ApiKey, api_keys::NewKey) {
    let NewKey { name, grants, rate, expires } = key;
    let made = ApiKey::of(Uuid::new_v4(), [Uuid::new_v4(), Uuid::new_v4()]);
    let (id, hash) = (made.id().clone(), made.hash());
    (made, api_keys::NewKey { id, hash, name, grants, rate, by, expires })
}

/// One key.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) kept: KeptKey,
    pub(super) grants: Arc<Grants>,
    pub(super) used: Arc<Used>,
}

impl Held {
    pub(super) fn new(kept: KeptKey, used: Arc<Used>) -> Self {
        let grants = Arc::new(kept.grants());
        Self { kept, grants, used }
    }

    /// Notes a use; `clock` never goes back.
    pub(super) fn take(&self, now: Timestamp, clock: Duration) -> Result<(), Wait> {
        if let Some(rate) = self.kept.rate() {
            let mut bucket = self.used.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(rate, clock)?;
        }
        self.used.newest.fetch_max(now.as_millisecond(), Ordering::Relaxed);
        Ok(())
    }
}

/// How a key is used. It outlives what is read of the key.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// When last, in milliseconds since 1970; 0 if not since the host started.
    newest: AtomicI64,
    /// What of this was written down.
    told: AtomicI64,
    bucket: Mutex<Bucket>,
}

impl Used {
    /// When it was last used, if that has not been written down.
    pub(super) fn untold(&self) -> Option<Timestamp> {
        let newest = self.newest.load(Ordering::Relaxed);
        let untold = newest > self.told.load(Ordering::Relaxed);
        untold.then(|| Timestamp::from_millisecond(newest).ok())?
    }

    /// That was written down.
    pub(super) fn told(&self, at: Timestamp) {
        self.told.fetch_max(at.as_millisecond(), Ordering::Relaxed);
    }
}

/// The key that was sent, if it is known. A caller can learn in which time it is found that an id is
/// known, which is no secret, and nothing of the rest.
pub(super) fn find<'a>(keys: &'a Keys, sent: &[u8]) -> Option<&'a Held> {
    let held = keys.get(&ApiKey::id_in(sent)?)?;
    same(KeyHash::of(sent).as_bytes(), held.kept.hash.as_bytes()).then_some(held)
}

/// Whether two byte strings are equal, in a time that does not depend on where they differ. (It
/// does depend on whether their lengths do.)
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{access::ApiKeyRecord, record::RateRecord};

    fn held(rate: Option<RateRecord>) -> (ApiKey, Held) {
        let new = NewKey {
            name: "n".to_owned(),
            grants: Grants::all(),
            rate: None,
            expires: Until::Resumed,
        };
        let (key, new) = make(new, "me".to_owned());
        let record = ApiKeyRecord {
            id: new.id,
            name: new.name,
            scopes: new.grants.scopes.into_iter().collect(),
            fleets: Vec::new(),
            queues: Vec::new(),
            rate,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: new.by,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        (key, Held::new(KeptKey { record, hash: new.hash }, Arc::default()))
    }

    #[test]
    fn a_key_is_found_by_all_of_it_alone() {
        let ((key, one), (other, two)) = (held(None), held(None));
        let keys: Keys = [(key.id().clone(), one), (other.id().clone(), two)].into_iter().collect();
        let found = find(&keys, key.reveal().as_bytes()).unwrap();
        assert_eq!(&found.kept.record.id, key.id());
        // The id of one, the secret of another.
        let secret = other.reveal().rsplit_once('_').unwrap().1;
        let mixed = format!("hostler_{}_{secret}", key.id());
        assert!(find(&keys, mixed.as_bytes()).is_none());
        let (stranger, _) = held(None);
        assert!(find(&keys, stranger.reveal().as_bytes()).is_none());
    }

    #[test]
    fn equal_is_equal() {
        for (a, b, equal) in
            [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "ab", false)]
        {
            assert_eq!(same(a.as_bytes(), b.as_bytes()), equal);
        }
    }

    #[test]
    fn a_use_is_told_once_and_one_that_has_to_wait_is_none() {
        let (_, held) = held(Some(RateRecord { count: 1, per_ms: 1000 }));
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(held.used.untold(), None);
        held.take(at(5000), Duration::ZERO).unwrap();
        assert_eq!(held.used.untold(), Some(at(5000)));
        assert!(held.take(at(5001), Duration::from_millis(1)).is_err());
        held.used.told(at(5000));
        assert_eq!(held.used.untold(), None);
        held.take(at(7000), Duration::from_secs(2)).unwrap();
        assert_eq!(held.used.untold(), Some(at(7000)));
    }
}
