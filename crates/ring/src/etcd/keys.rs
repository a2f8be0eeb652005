//! Keys and values as bytes, and back.

use std::sync::Arc;

use serde::Serialize;
use tracing::warn;
use ulid::Ulid;

use crate::member::{Member, MemberId};
use crate::store::{Change, Revision, Stored};

/// Names of keys below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    root: String,
}

impl Keys {
    /// A prefix without a slash at its end gets one: `flame` must not see the keys of `flamelake`.
    pub(super) fn new(prefix: &str) -> Self {
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Self { root: format!("{prefix}{slash}v1/") }
    }

    pub(super) fn root(&self) -> String {
        self.root.clone()
    }

    pub(super) fn member(&self, id: &MemberId) -> String {
        format!("{}members/{id}", self.root)
    }

    pub(super) fn alive(&self, id: &MemberId) -> String {
        format!("{}alive/{id}", self.root)
    }

    pub(super) fn forget(&self, id: &MemberId) -> String {
        format!("{}forget/{id}", self.root)
    }

    pub(super) fn epoch(&self) -> String {
        format!("{}epoch", self.root)
    }

    pub(super) fn origin(&self) -> String {
        format!("{}origin", self.root)
    }

    /// What a key with its value and revision says; without value it is deleted. What is not ours or not usable is logged and left out.
    pub(super) fn read(&self, key: &[u8], value: Option<(&[u8], Revision)>) -> Option<Change> {
        let change = self.parse(key, value);
        if let Err(error) = &change {
            warn!(key = %String::from_utf8_lossy(key), %error, "a key of the ring is not usable and is passed over");
        }
        change.ok()
    }

    fn parse(&self, key: &[u8], value: Option<(&[u8], Revision)>) -> Result<Change, String> {
        let key = std::str::from_utf8(key).map_err(|error| error.to_string())?;
        let name = key.strip_prefix(&self.root).ok_or("it lies outside the prefix")?;
        match name.split_once('/') {
            None if name == "epoch" => Ok(Change::Epoch(stored(value, number)?)),
            None if name == "origin" => Ok(Change::Origin(stored(value, ulid)?)),
            Some(("members", id)) => {
                let id = MemberId::parse(id)?;
                let member = stored(value, |bytes| Member::from_json(&id, bytes).map(Arc::new))?;
                Ok(Change::Member(id, member))
            }
            Some(("alive", id)) => {
                let alive = stored(value, |bytes| serde_json::from_slice(bytes).map_err(|error| error.to_string()))?;
                Ok(Change::Alive(MemberId::parse(id)?, alive))
            }
            Some(("forget", id)) => Ok(Change::Forget(MemberId::parse(id)?, value.is_some())),
            _ => Err("unknown kind of key".to_owned()),
        }
    }
}

fn stored<T>(
    value: Option<(&[u8], Revision)>,
    read: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<Option<Stored<T>>, String> {
    value.map(|(bytes, revision)| Ok(Stored { value: read(bytes)?, revision })).transpose()
}

fn number(bytes: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn ulid(bytes: &[u8]) -> Result<Ulid, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    Ulid::from_string(text).map_err(|error| format!("{text:?}: {error}"))
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a struct of texts and numbers is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::member;
    use crate::member::{Alive, Role};

    #[test]
    fn keys_and_values_read_back() {
        let keys = Keys::new("flame");
        let one = member("a.b-0", &[Role::Ingester]);
        let alive = Alive { incarnation: Ulid::from_parts(1, 2), started_at_ms: 3 };
        let read = |key: String, value: &[u8]| keys.read(key.as_bytes(), Some((value, 9)));
        assert_eq!(keys.member(&one.id), "flame/v1/members/a.b-0");
        let stored = Some(Stored { value: Arc::new(one.clone()), revision: 9 });
        assert_eq!(read(keys.member(&one.id), &one.to_json()), Some(Change::Member(one.id.clone(), stored)));
        let stored = Some(Stored { value: alive, revision: 9 });
        assert_eq!(read(keys.alive(&one.id), &json(&alive)), Some(Change::Alive(one.id.clone(), stored)));
        assert_eq!(read(keys.epoch(), b"17"), Some(Change::Epoch(Some(Stored { value: 17, revision: 9 }))));
        let origin = Ulid::from_parts(3, 4);
        let stored = Some(Stored { value: origin, revision: 9 });
        assert_eq!(read(keys.origin(), origin.to_string().as_bytes()), Some(Change::Origin(stored)));
        assert_eq!(read(keys.forget(&one.id), b"{}"), Some(Change::Forget(one.id.clone(), true)));
        assert_eq!(keys.read(keys.member(&one.id).as_bytes(), None), Some(Change::Member(one.id, None)));
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let keys = Keys::new("");
        for (key, value) in [
            ("v1/epoch", "x"),
            ("v1/origin", "x"),
            ("v1/members/a", "{}"),
            ("v1/members/a/b", "{}"),
            ("v1/alive/a", "[]"),
            ("v1/else", ""),
            ("v2/epoch", "1"),
        ] {
            assert_eq!(keys.read(key.as_bytes(), Some((value.as_bytes(), 1))), None, "{key}");
        }
        assert_eq!(keys.read(&[0xff], None), None);
    }
}
