//! Lookups against the plainest reading of the rules.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::fixtures::cluster;
use crate::member::Member;

fn ring(members: &[Member]) -> TokenRing {
    TokenRing::new(members.iter().map(|member| (member.tokens.as_slice(), member.zone.as_str())))
}

#[test]
fn a_key_belongs_to_the_first_token_at_or_after_it() {
    let ring = TokenRing::new([(&[10_u32, 30][..], ""), (&[20, 30], "")]);
    for (key, owner) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 0), (30, 0), (31, 0), (u32::MAX, 0)] {
        assert_eq!(ring.first(RingKey(key), |_| true), Some(owner), "{key}");
    }
    assert_eq!(ring.neighbours(RingKey(11), 9, |_| true), [1, 0]);
    assert_eq!(ring.shares().iter().sum::<f64>(), 1.0);
    assert_eq!(TokenRing::default().first(RingKey(1), |_| true), None);
    assert!(TokenRing::new([(&[][..], "")]).neighbours(RingKey(1), 3, |_| true).is_empty());
}

/// As the format page says it, without a thought for speed.
fn plain_walk(members: &[Member], key: u32) -> Vec<usize> {
    let mut circle: BTreeMap<u32, usize> = BTreeMap::new();
    for (number, member) in members.iter().enumerate() {
        for token in &member.tokens {
            circle.entry(*token).or_insert(number);
        }
    }
    let mut seen = HashSet::new();
    circle.range(key..).chain(circle.range(..key)).map(|(_, member)| *member).filter(|one| seen.insert(*one)).collect()
}

proptest! {
    #[test]
    fn walks_equal_the_plain_one(size in 1_usize..12, key: u32, down in prop::collection::hash_set(0_usize..12, 0..4)) {
        let members = cluster(size, &[]);
        let ring = ring(&members);
        let usable = |member: usize| !down.contains(&member);
        let expected: Vec<usize> = plain_walk(&members, key).into_iter().filter(|member| usable(*member)).collect();
        prop_assert_eq!(ring.first(RingKey(key), usable), expected.first().copied());
        prop_assert_eq!(ring.neighbours(RingKey(key), usize::MAX, usable), expected.clone());
        prop_assert_eq!(ring.neighbours(RingKey(key), 2, usable), &expected[..expected.len().min(2)]);
    }

    /// Readers that learned of the members in different orders agree.
    #[test]
    fn all_readers_agree(size in 1_usize..12, key: u32, seed: u64) {
        let members = cluster(size, &["a", "b"]);
        let mut shuffled = members.clone();
        shuffled.sort_by_key(|member| xxhash_rust::xxh3::xxh3_64_with_seed(member.id.as_str().as_bytes(), seed));
        shuffled.sort_by(|a, b| a.id.cmp(&b.id));
        let (one, other) = (ring(&members), ring(&shuffled));
        prop_assert_eq!(one.neighbours(RingKey(key), 5, |_| true), other.neighbours(RingKey(key), 5, |_| true));
    }

    /// A member that is down hands its keys to its neighbours; no other key moves.
    #[test]
    fn only_the_keys_of_a_dead_member_move(size in 2_usize..12, dead in 0_usize..12, keys in prop::collection::vec(any::<u32>(), 200)) {
        let members = cluster(size, &[]);
        let (ring, dead) = (ring(&members), dead % size);
        for key in keys {
            let owner = ring.first(RingKey(key), |_| true).unwrap();
            let now = ring.first(RingKey(key), |member| member != dead).unwrap();
            if owner == dead {
                prop_assert_eq!(now, ring.neighbours(RingKey(key), 2, |_| true)[1]);
            } else {
                prop_assert_eq!(now, owner);
            }
        }
    }

    /// Any run of as many neighbours as there are zones lies in all zones, and fewer are a prefix of more.
    #[test]
    fn neighbours_honour_zones(size in 3_usize..12, key: u32) {
        let members = cluster(size, &["a", "b", "c"]);
        let ring = ring(&members);
        let all = ring.neighbours(RingKey(key), usize::MAX, |_| true);
        prop_assert_eq!(all.len(), size);
        prop_assert_eq!(all[0], ring.first(RingKey(key), |_| true).unwrap());
        let zones: HashSet<&str> = all[..3].iter().map(|member| members[*member].zone.as_str()).collect();
        prop_assert_eq!(zones.len(), 3);
        for count in 0..size {
            prop_assert_eq!(&ring.neighbours(RingKey(key), count, |_| true), &all[..count]);
        }
    }
}
