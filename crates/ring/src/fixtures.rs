//! What the unit tests of this crate share.

use ulid::Ulid;

use crate::key::RingKey;
use crate::member::{FORMAT, Member, MemberId, Role, State};
use crate::token_ring::TokenRing;

/// An active member without tokens.
pub(crate) fn member(name: &str, roles: &[Role]) -> Member {
    Member {
        format: FORMAT,
        id: MemberId::parse(name).unwrap(),
        incarnation: Ulid::from_parts(1, 1),
        roles: roles.to_vec(),
        address: format!("{name}:9095"),
        zone: String::new(),
        state: State::Active,
        log_url: None,
        registered_at_ms: 0,
        read_only_since_ms: None,
        tokens: Vec::new(),
    }
}

/// So many ingesters and gateways with chosen tokens, in zones if any.
pub(crate) fn cluster(size: usize, zones: &[&str]) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for index in 0..size {
        let name = format!("m-{index:02}");
        let others: Vec<&Member> = members.iter().collect();
        let tokens = crate::tokens::choose_tokens(&name, &[], 64, &others);
        let zone = if zones.is_empty() { "" } else { zones[index % zones.len()] };
        let roles = [Role::Ingester, Role::StoreGateway, Role::Compactor];
        members.push(Member { tokens, zone: zone.to_owned(), ..member(&name, &roles) });
    }
    members
}

/// The id of the owner of each key.
pub(crate) fn owners_of(members: &[Member], keys: &[u32]) -> Vec<String> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let ring = TokenRing::new(sorted.iter().map(|member| (member.tokens.as_slice(), member.zone.as_str())));
    let owner = |key: &u32| ring.first(RingKey(*key), |_| true).map_or(String::new(), |at| sorted[at].id.to_string());
    keys.iter().map(owner).collect()
}
