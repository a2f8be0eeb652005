//! The id of a stored profile: what lets an ingester recognise a client's retry (architecture section 5, "Duplicates by retry").
//!
//! A client that retries sends the same bytes again; two profiles that are not retries must never get the same id, or one is lost.
//! So the id is a 128-bit hash over all that the client sent for the profile: tenant, labels, content, the client's own id, and
//! how many equal profiles stood before it in the same request (a request may hold the same profile twice: both count, and its
//! retry gets the same two ids again). The hash is used if the client gave an id that is a UUID (not the nil one) or a
//! time in nanoseconds; without either, equal contents say nothing about a retry, and the id is random.
//!
//! The client's UUID is mixed in rather than taken as it is: an SDK that sends one constant UUID loses nothing.

use flamelake_model::{ProfileId, TenantId};
use xxhash_rust::xxh3::Xxh3;

/// What the client sent for one profile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) tenant: &'a TenantId,
    /// Sorted.
    pub(crate) labels: &'a [(String, String)],
    /// Any text.
    pub(crate) client_id: &'a str,
    /// 0 or less: none given.
    pub(crate) time_ns: i64,
    /// The uncompressed pprof, or the hash of a profile that came in another format.
    pub(crate) content: &'a [u8],
    /// How many equal profiles stood before it in the request.
    pub(crate) repeat: u64,
}

impl Sent<'_> {
    /// See the module.
    pub(crate) fn id(&self) -> ProfileId {
        let client_id = ProfileId::parse(self.client_id).filter(|id| id.0 != [0; 16]);
        if client_id.is_none() && self.time_ns <= 0 {
            return ProfileId(*uuid::Uuid::new_v4().as_bytes());
        }
        let mut hasher = Xxh3::new();
        // Each part is led by its length: no two different profiles write the same bytes.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.tenant.as_str().as_bytes());
        part(&(self.labels.len() as u64).to_le_bytes());
        for (name, value) in self.labels {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        part(client_id.as_ref().map_or(&[][..], |id| &id.0));
        part(&self.time_ns.to_le_bytes());
        part(&self.repeat.to_le_bytes());
        part(self.content);
        ProfileId(hasher.digest128().to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0f5ac8f2-4d9c-4b1a-9d41-2f6d3c0f0001";

    fn nth(repeat: u64, tenant: &str, label: &str, client_id: &str, time_ns: i64, content: &str) -> ProfileId {
        let labels = [("__name__".to_owned(), label.to_owned())];
        let tenant = TenantId::parse(tenant).unwrap();
        Sent { tenant: &tenant, labels: &labels, client_id, time_ns, content: content.as_bytes(), repeat }.id()
    }

    fn id(tenant: &str, label: &str, client_id: &str, time_ns: i64, content: &str) -> ProfileId {
        nth(0, tenant, label, client_id, time_ns, content)
    }

    #[test]
    fn a_retry_gets_the_same_id() {
        assert_eq!(id("t", "cpu", "", 5, "x"), id("t", "cpu", "", 5, "x"));
        assert_eq!(id("t", "cpu", UUID, 0, "x"), id("t", "cpu", UUID, 0, "x"));
    }

    #[test]
    fn ids_never_change_between_releases() {
        // A distributor of another version may see the retry.
        assert_eq!(id("t", "cpu", UUID, 5, "x").to_string(), "7bd0abc9-4b4e-2649-083a-1af76f675af6");
    }

    #[test]
    fn every_part_counts() {
        let all = [
            id("t", "cpu", "", 5, "x"),
            id("u", "cpu", "", 5, "x"),
            id("t", "wall", "", 5, "x"),
            id("t", "cpu", UUID, 5, "x"),
            id("t", "cpu", "", 6, "x"),
            id("t", "cpu", "", 5, "y"),
            nth(1, "t", "cpu", "", 5, "x"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn one_constant_uuid_loses_nothing() {
        assert_ne!(id("t", "cpu", UUID, 0, "x"), id("t", "cpu", UUID, 0, "y"));
    }

    #[test]
    fn without_time_and_uuid_ids_are_random() {
        for client_id in ["", "not a uuid", "00000000-0000-0000-0000-000000000000"] {
            assert_ne!(id("t", "cpu", client_id, 0, "x"), id("t", "cpu", client_id, 0, "x"));
        }
    }
}
