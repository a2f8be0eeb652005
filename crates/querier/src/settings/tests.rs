//! What is set is there, for its tenant alone, whoever sets at the same time.

use std::sync::Arc;

use flamelake_object_storage::faulty::{Fault, Faults, FaultyStore, Operation};
use flamelake_object_storage::{BucketDeps, RetryPolicy};
use flamelake_runtime::clock::SystemClock;
use object_store::memory::InMemory;

use super::*;

fn service() -> (Settings, Faults) {
    let faults = Faults::default();
    let store = FaultyStore::new(Arc::new(InMemory::new()), faults.clone());
    let bucket = Bucket::from_store(Arc::new(store), RetryPolicy::once(), BucketDeps::default());
    (Settings::new(bucket, SystemClock::shared()), faults)
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn set(name: &str, value: &str, modified_at: i64) -> v1::SetSettingsRequest {
    let setting = v1::Setting { name: name.to_owned(), value: value.to_owned(), modified_at };
    v1::SetSettingsRequest { setting: Some(setting) }
}

async fn shown(settings: &Settings, of: &TenantId) -> Vec<(String, String)> {
    settings.get(of).await.unwrap().settings.into_iter().map(|setting| (setting.name, setting.value)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn what_is_set_is_there_for_its_tenant_alone_until_it_is_deleted() {
    let (settings, _) = service();
    let (a, b) = (tenant("a"), tenant("b"));
    assert_eq!(shown(&settings, &a).await, []);
    settings.set(&a, set("y", "1", 0)).await.unwrap();
    settings.set(&a, set("x", "2", 0)).await.unwrap();
    let reply = settings.set(&a, set("y", "3", 0)).await.unwrap().setting.unwrap();
    assert!(reply.value == "3" && reply.modified_at > 1_700_000_000_000);
    assert_eq!(shown(&settings, &a).await, pairs(&[("x", "2"), ("y", "3")]));
    assert_eq!(shown(&settings, &b).await, []);
    let delete = |name: &str| v1::DeleteSettingsRequest { name: name.to_owned() };
    settings.delete(&a, delete("y")).await.unwrap();
    settings.delete(&a, delete("y")).await.unwrap();
    assert_eq!(shown(&settings, &a).await, pairs(&[("x", "2")]));
    assert_eq!(settings.delete(&a, delete("")).await.unwrap_err().code, ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn an_older_change_is_refused() {
    let (settings, _) = service();
    let a = tenant("a");
    settings.set(&a, set("x", "new", 2_000)).await.unwrap();
    assert_eq!(settings.set(&a, set("x", "old", 1_999)).await.unwrap_err().code, ErrorCode::AlreadyExists);
    settings.set(&a, set("x", "same moment", 2_000)).await.unwrap();
    assert_eq!(shown(&settings, &a).await, pairs(&[("x", "same moment")]));
}

#[tokio::test]
async fn everything_has_a_bound() {
    let (settings, _) = service();
    let a = tenant("a");
    for bad in [set("", "x", 0), set(&"n".repeat(129), "x", 0), set("x", &"v".repeat((64 << 10) + 1), 0)] {
        assert_eq!(settings.set(&a, bad).await.unwrap_err().code, ErrorCode::InvalidArgument);
    }
    let none = v1::SetSettingsRequest { setting: None };
    assert_eq!(settings.set(&a, none).await.unwrap_err().code, ErrorCode::InvalidArgument);
    for number in 0..SETTINGS_MAX {
        settings.set(&a, set(&format!("s{number}"), "", 0)).await.unwrap();
    }
    assert_eq!(settings.set(&a, set("one more", "", 0)).await.unwrap_err().code, ErrorCode::ResourceExhausted);
    settings.set(&a, set("s0", "changed", 0)).await.unwrap();
}

#[tokio::test]
async fn changes_at_the_same_time_and_lost_answers_lose_nothing() {
    let (settings, faults) = service();
    let a = tenant("a");
    faults.plan(Operation::Create, "", 3, 2, Fault::LoseAnswer);
    let changes = (0..8).map(|number| {
        let (settings, a) = (settings.clone(), a.clone());
        async move { (number, settings.set(&a, set(&format!("s{number}"), "v", 0)).await.is_ok()) }
    });
    let acknowledged = futures::future::join_all(changes).await;
    let there = shown(&settings, &a).await;
    for (number, is_acknowledged) in acknowledged {
        assert!(!is_acknowledged || there.iter().any(|(name, _)| *name == format!("s{number}")), "s{number} is lost");
    }
    assert!(there.len() >= 6, "only the two without an answer may have failed");
}

#[tokio::test]
async fn a_damaged_state_is_told_and_not_overwritten() {
    let (settings, _) = service();
    let a = tenant("a");
    let bucket = settings.bucket();
    bucket.put("tenants/a/settings/00000000000000000007.json", "{".into()).await.unwrap();
    let error = settings.set(&a, set("x", "1", 0)).await.unwrap_err();
    assert!(error.code == ErrorCode::DataLoss && error.message.contains("00000000000000000007.json"), "{error:?}");
    let newer = r#"{"format":2,"writer":"","settings":{}}"#;
    bucket.put("tenants/a/settings/00000000000000000007.json", newer.into()).await.unwrap();
    assert!(settings.get(&a).await.unwrap_err().message.contains("newer version"));
}

/// Two of them, so that the first looks like what the second builds on.
#[tokio::test]
async fn who_slept_into_a_deleted_name_is_not_acknowledged() {
    let (settings, _) = service();
    let a = tenant("a");
    let mut places = Vec::new();
    for number in 1..=6 {
        settings.set(&a, set("x", &number.to_string(), 0)).await.unwrap();
        places.push(settings.store.newest(&a).await.unwrap().unwrap().0);
    }
    // As somebody does ten minutes later.
    for number in 2..=3 {
        settings.bucket().delete(&format!("tenants/a/settings/{number:020}.json")).await.unwrap();
    }
    for slept in &places[..2] {
        let error = settings.store.put_after(slept, &a, &All::default()).await.unwrap_err();
        assert!(error.message.contains("slept"), "{error}");
    }
    assert_eq!(shown(&settings, &a).await, pairs(&[("x", "6")]));
    assert_eq!(settings.store.put_after(&places[2], &a, &All::default()).await.unwrap(), None, "4 is there");
    settings.set(&a, set("x", "7", 0)).await.unwrap();
    assert_eq!(shown(&settings, &a).await, pairs(&[("x", "7")]));
}
