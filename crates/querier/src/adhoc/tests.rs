//! Uploads, what is listed, what is shown.

use std::time::Duration;

use flamelake_config::Limits;
use flamelake_model::ErrorCode;
use flamelake_testkit::{FakeClock, ProfileBuilder};
use serde_json::Value;

use super::*;

struct World {
    profiles: AdHocProfiles,
    clock: FakeClock,
    tenant: TenantId,
}

impl World {
    fn new() -> Self {
        let clock = FakeClock::at_unix_nanos(1_700_000_000_000_000_000);
        let limits: Arc<dyn LimitsSource> = Arc::new(Arc::new(Limits::default()));
        let formats = |file: &Bytes| match &file[..2] {
            b"no" => Err("no profile".to_owned()),
            _ => Ok(vec![AdHocPprof { name: "process_cpu".to_owned(), pprof: file.clone() }]),
        };
        let profiles = AdHocProfiles::new(Bucket::in_memory(), clock.shared(), limits, Arc::new(formats));
        Self { profiles, clock, tenant: TenantId::parse("a").unwrap() }
    }

    async fn upload(&self, name: &str, file: &[u8]) -> Result<v1::AdHocProfilesGetResponse, StatusError> {
        self.clock.advance(Duration::from_secs(1));
        let request =
            v1::AdHocProfilesUploadRequest { name: name.to_owned(), profile: STANDARD.encode(file), max_nodes: None };
        self.profiles.upload(&self.tenant, request).await
    }

    async fn get(&self, id: &str, kind: Option<&str>) -> Result<v1::AdHocProfilesGetResponse, StatusError> {
        let profile_type = kind.map(str::to_owned);
        let request = v1::AdHocProfilesGetRequest { id: id.to_owned(), profile_type, max_nodes: None };
        self.profiles.get(&self.tenant, request).await
    }
}

fn cpu(folded: &str) -> Vec<u8> {
    ProfileBuilder::cpu().time_ns(5).folded(folded).gzip()
}

fn names(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let mut names: Vec<String> = serde_json::from_value(document["flamebearer"]["names"].clone()).unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_uploaded_can_be_seen_again() {
    let world = World::new();
    let told = world.upload("my cpu.pprof", &cpu("main;a 3\nmain;b 4")).await.unwrap();
    assert_eq!((&told.name[..], told.uploaded_at, &told.profile_type[..]), ("my cpu.pprof", 1_700_000_001_000, "cpu"));
    assert_eq!(told.profile_types, ["cpu"]);
    assert_eq!(names(&told.flamebearer_profile), ["a", "b", "main", "total"]);
    assert_eq!(world.get(&told.id, None).await.unwrap(), told);
    let heap = ProfileBuilder::heap().time_ns(5).stack("main;c", &[1, 2, 3, 4]).gzip();
    let heap = world.upload("heap", &heap).await.unwrap();
    assert_eq!((heap.profile_type.as_str(), heap.profile_types.len()), ("inuse_space", 4));
    assert_eq!(world.get(&heap.id, Some("alloc_space")).await.unwrap().profile_type, "alloc_space");
    let listed = world.profiles.list(&world.tenant).await.unwrap().profiles;
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["heap", "my cpu.pprof"]);
    assert!(world.profiles.list(&TenantId::parse("b").unwrap()).await.unwrap().profiles.is_empty());
}

#[tokio::test]
async fn two_files_are_compared() {
    let world = World::new();
    let left = world.upload("left", &cpu("main;a 3")).await.unwrap().id;
    let right = world.upload("right", &cpu("main;b 4")).await.unwrap().id;
    let request = |right_id: &str, kind: Option<&str>| v1::AdHocProfilesDiffRequest {
        left_id: left.clone(),
        right_id: right_id.to_owned(),
        profile_type: kind.map(str::to_owned),
        max_nodes: None,
    };
    let told = world.profiles.diff(&world.tenant, request(&right, None)).await.unwrap();
    assert_eq!(
        (told.profile_types, names(&told.flamebearer_profile)),
        (vec!["cpu".to_owned()], ["a", "b", "main", "total"].map(str::to_owned).to_vec())
    );
    let document: Value = serde_json::from_str(&told.flamebearer_profile).unwrap();
    assert_eq!((&document["leftTicks"], &document["rightTicks"]), (&3.into(), &4.into()));
    let heap = ProfileBuilder::heap().time_ns(5).stack("main;c", &[1, 2, 3, 4]).gzip();
    let heap = world.upload("heap", &heap).await.unwrap().id;
    let error = world.profiles.diff(&world.tenant, request(&heap, None)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn our_own_document_can_be_uploaded() {
    let world = World::new();
    let first = world.upload("cpu", &cpu("main;a 3\nmain;b;c 4\nidle 1")).await.unwrap();
    let again = world.upload("cpu.json", first.flamebearer_profile.as_bytes()).await.unwrap();
    let bars = |document: &str| serde_json::from_str::<Value>(document).unwrap()["flamebearer"].clone();
    assert_eq!(bars(&again.flamebearer_profile), bars(&first.flamebearer_profile));
    for damaged in [
        r#"{"flamebearer":{"names":["total"],"levels":[[0,1,0]]}}"#,
        r#"{"flamebearer":{"names":["total"],"levels":[[0,1,0,7]]}}"#,
        r#"{"flamebearer":{"names":["total","a"],"levels":[[0,1,0,0],[5,1,1,1]]}}"#,
        r#"{"version":2,"flamebearer":{"names":[],"levels":[]}}"#,
    ] {
        assert_eq!(
            world.upload("x", damaged.as_bytes()).await.unwrap_err().code,
            ErrorCode::InvalidArgument,
            "{damaged}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused() {
    let world = World::new();
    let code = |answer: Result<v1::AdHocProfilesGetResponse, StatusError>| answer.unwrap_err().code;
    assert_eq!(code(world.upload("", &cpu("main 1")).await), ErrorCode::InvalidArgument);
    assert_eq!(code(world.upload(&"n".repeat(129), &cpu("main 1")).await), ErrorCode::InvalidArgument);
    assert_eq!(code(world.upload("x", b"no profile").await), ErrorCode::InvalidArgument);
    assert_eq!(code(world.upload("x", b"\x1f\x8bxx").await), ErrorCode::InvalidArgument);
    let request = v1::AdHocProfilesUploadRequest { name: "x".to_owned(), profile: "*".to_owned(), max_nodes: None };
    assert_eq!(code(world.profiles.upload(&world.tenant, request).await), ErrorCode::InvalidArgument);
    let id = world.upload("x", &cpu("main 1")).await.unwrap().id;
    assert_eq!(code(world.get(&id, Some("wall")).await), ErrorCode::InvalidArgument);
    for unknown in ["", "../x", &id.replace("01", "02"), &id[..26]] {
        assert_eq!(code(world.get(unknown, None).await), ErrorCode::NotFound, "{unknown}");
    }
    assert!(world.profiles.list(&world.tenant).await.unwrap().profiles.len() == 1, "what was refused is not kept");
}
