//! The ring from 1 to 1,000 ingesters: shares, churn, bytes in etcd, and what a lookup costs. The real token and lookup code, no etcd.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use flamelake_model::TenantId;
use flamelake_ring::{FORMAT, Member, MemberId, RingKey, Role, Seen, Snapshot, State, choose_tokens};
use ulid::Ulid;

const TOKENS: usize = 128;
const KEYS: u32 = 100_000;

fn member(number: usize, others: &[Member]) -> Member {
    let name = format!("ingester-{number}");
    let tokens = choose_tokens(&name, &[], TOKENS, &others.iter().collect::<Vec<_>>());
    Member {
        format: FORMAT,
        id: MemberId::parse(&name).expect("a plain name"),
        incarnation: Ulid::from_parts(1, 1),
        roles: vec![Role::Ingester],
        address: format!("10.0.{}.{}:9095", number / 256, number % 256),
        zone: String::new(),
        state: State::Active,
        log_url: Some("bucket".to_owned()),
        registered_at_ms: 1_800_000_000_000,
        read_only_since_ms: None,
        tokens,
    }
}

fn snapshot(members: &[Member]) -> Snapshot {
    let seen = |member: &Member| Seen { member: Arc::new(member.clone()), healthy: true, forget: false };
    Snapshot::new(1, members.iter().map(seen).collect())
}

fn keys() -> Vec<RingKey> {
    let tenant = TenantId::anonymous();
    (0..KEYS).map(|number| RingKey::of_service(&tenant, &format!("service-{number}"))).collect()
}

fn owners(snapshot: &Snapshot, keys: &[RingKey]) -> Vec<MemberId> {
    keys.iter().map(|key| snapshot.ingesters_for(*key, 1)[0].id.clone()).collect()
}

fn main() {
    let keys = keys();
    println!(
        "| ingesters | largest share / fair | services moved by one more | fair | bytes in etcd | a view is built in | a lookup |\n|---|---|---|---|---|---|---|"
    );
    let mut members: Vec<Member> = Vec::new();
    for size in [1, 3, 10, 30, 100, 300, 1_000] {
        while members.len() < size {
            members.push(member(members.len(), &members));
        }
        let started = Instant::now();
        let before = snapshot(&members);
        let built = started.elapsed();
        let shares = before.shares(Role::Ingester);
        let largest = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max) * size as f64;
        let bytes: usize = members.iter().map(|member| member.to_json().len()).sum();
        let started = Instant::now();
        keys.iter().for_each(|key| drop(black_box(before.ingesters_for(*key, 3))));
        let lookup = started.elapsed() / KEYS;
        let joining = member(size, &members);
        let after = snapshot(&members.iter().cloned().chain([joining]).collect::<Vec<_>>());
        let (old, new) = (owners(&before, &keys), owners(&after, &keys));
        let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
        println!(
            "| {size} | {largest:.2} | {:.2} % | {:.2} % | {} kB | {built:.1?} | {lookup:.1?} |",
            moved as f64 / f64::from(KEYS) * 100.0,
            100.0 / (size + 1) as f64,
            bytes / 1000
        );
    }
}
