//! Places on the token circle.

use flamelake_model::TenantId;
use ulid::Ulid;
use xxhash_rust::xxh3::xxh3_64;

/// A place on the circle of 2³². How each is made is part of the format: all members must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingKey(pub u32);

impl RingKey {
    /// Where a service of a tenant belongs: one ingester holds all its symbols.
    pub fn of_service(tenant: &TenantId, service: &str) -> Self {
        Self::of(&[b"service", tenant.as_str().as_bytes(), service.as_bytes()])
    }

    /// Which store-gateway answers for a block.
    pub fn of_block(block: Ulid) -> Self {
        Self::of(&[b"block", &block.to_bytes()])
    }

    /// Which compactor works for a tenant.
    pub fn of_tenant(tenant: &TenantId) -> Self {
        Self::of(&[b"tenant", tenant.as_str().as_bytes()])
    }

    /// How much a member is wanted for a tenant, where members have no tokens.
    pub fn of_tenant_and_member(tenant: &TenantId, id: &str) -> Self {
        Self::of(&[b"tenant and member", tenant.as_str().as_bytes(), id.as_bytes()])
    }

    /// Which ingester recovers the log of a lost one.
    pub fn of_member(id: &str) -> Self {
        Self::of(&[b"member", id.as_bytes()])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let bytes = parts.join(&0_u8);
        Self((xxh3_64(&bytes) >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These numbers may never change: members of two versions would disagree.
    #[test]
    fn keys_stay_where_they_are() {
        let tenant = TenantId::anonymous();
        let keys = [
            RingKey::of_service(&tenant, "checkout"),
            RingKey::of_block(Ulid::from_parts(1, 2)),
            RingKey::of_tenant(&tenant),
        ];
        assert_eq!(keys, [RingKey(325_758_979), RingKey(703_362_212), RingKey(520_474_859)]);
    }
}
