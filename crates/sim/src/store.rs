//! The object store: strongly consistent, slow, and faulty as the weather says. A request that was sent happens or not whatever becomes of
//! its sender.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::Rng;

use crate::world::{Event, ProcessId, STORE, World};

/// Longer than any timeout, far shorter than any keeping time.
const LATE_MS: std::ops::Range<u64> = 1_000..12_000;

/// What lies in the store.
#[derive(Default)]
pub(crate) struct Objects {
    objects: BTreeMap<String, Object>,
    deleted: BTreeSet<String>,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    modified_ms: i64,
}

impl Objects {
    fn meta(key: &str, object: &Object) -> ObjectMeta {
        ObjectMeta {
            location: Path::from(key),
            last_modified: DateTime::<Utc>::from_timestamp_millis(object.modified_ms).unwrap_or_default(),
            size: object.bytes.len() as u64,
            e_tag: None,
            version: None,
        }
    }

    /// Everything below a folder.
    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a String, &'a Object)> {
        let rest = self.objects.range(folder.to_owned()..);
        rest.take_while(move |(key, _)| key.starts_with(folder))
    }
}

/// The store as one process reaches it.
pub(crate) struct SimStore {
    pub(crate) world: Arc<World>,
    pub(crate) process: ProcessId,
    pub(crate) name: String,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Refused,
    AnswerLost,
    Conflict,
    Late,
    Twice,
    Cut,
}

fn folder_of(prefix: Option<&Path>) -> String {
    match prefix.map(AsRef::<str>::as_ref).unwrap_or_default() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

fn broken(what: &'static str) -> Error {
    Error::Generic { store: "sim", source: what.into() }
}

impl SimStore {
    fn fate(&self, is_create: bool, is_write: bool) -> Fate {
        if !self.world.reaches(&self.name, STORE) {
            return Fate::Cut;
        }
        let weather = self.world.weather();
        let mut left = self.world.draw(|rng| rng.random_range(0..1000_u32));
        let faults = [
            (weather.refuse, Fate::Refused),
            (if is_write { weather.lose } else { 0 }, Fate::AnswerLost),
            (if is_create { weather.conflict } else { 0 }, Fate::Conflict),
            (weather.late, Fate::Late),
            (if is_create { weather.twice } else { 0 }, Fate::Twice),
        ];
        for (share, fate) in faults {
            if left < share {
                return fate;
            }
            left -= share;
        }
        Fate::Done
    }

    /// Sends a request on its way.
    async fn request<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl Fn(&mut Objects, i64) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let (is_create, is_write) = (operation == "create", matches!(operation, "create" | "put" | "delete"));
        let fate = self.fate(is_create, is_write);
        let (world, key) = (Arc::clone(&self.world), key.to_owned());
        let mut there = world.latency(2, 60);
        let mut back = Some(world.latency(1, 30));
        if fate == Fate::Late {
            there = Duration::from_millis(world.draw(|rng| rng.random_range(LATE_MS)));
        } else if fate == Fate::Cut {
            // A connection that is refused, or packets that vanish.
            back = world.draw(|rng| rng.random_bool(0.5)).then(|| Duration::from_millis(300));
        }
        let name = self.name.clone();
        let work = Arc::new(work);
        let again = (fate == Fate::Twice).then(|| {
            let (work, after) = (Arc::clone(&work), world.draw(|rng| rng.random_range(LATE_MS)));
            (work, Duration::from_millis(after))
        });
        let asked = world.ask(self.process, there, back, move |world| {
            let outcome = match fate {
                Fate::Refused => Err(broken("503 slow down")),
                Fate::Cut => Err(broken("connection refused")),
                Fate::Conflict => Err(Error::AlreadyExists { path: key.clone(), source: "409 conflict".into() }),
                _ => work(&mut world.objects.lock(), world.unix_ms()),
            };
            if let Some((work, after)) = again {
                let (name, key) = (name.clone(), key.clone());
                let repeat = move |world: &Arc<World>| {
                    let done = work(&mut world.objects.lock(), world.unix_ms()).is_ok();
                    world.trace(&name, || {
                        format!("{operation} {key} a second time: {}", if done { "done" } else { "refused" })
                    });
                };
                world.schedule(after, Event::Do(Box::new(repeat)));
            }
            let result = match &outcome {
                Ok(_) => "done",
                Err(Error::AlreadyExists { .. }) => "exists",
                Err(Error::NotFound { .. }) => "absent",
                Err(_) => "failed",
            };
            world.trace(&name, || match fate {
                Fate::Done => format!("{operation} {key}: {result}"),
                fate => format!("{operation} {key}: {result} ({fate:?})"),
            });
            if fate == Fate::AnswerLost { Err(broken("500 internal error")) } else { outcome }
        });
        asked.await
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore({})", self.name)
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore({})", self.name)
    }
}

fn absent(key: &str) -> Error {
    Error::NotFound { path: key.to_owned(), source: "404".into() }
}

#[async_trait::async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (key, is_create) = (location.to_string(), opts.mode == PutMode::Create);
        let bytes = self.world.plant.written(&key, payload.into());
        let (world, name) = (Arc::clone(&self.world), self.name.clone());
        self.request(if is_create { "create" } else { "put" }, location.as_ref(), move |objects, modified_ms| {
            if is_create && objects.objects.contains_key(&key) {
                return Err(Error::AlreadyExists { path: key.clone(), source: "412 exists".into() });
            }
            if is_create && objects.deleted.contains(&key) {
                world.trace(&name, || format!("writes a deleted name again: {key}"));
            }
            objects.objects.insert(key.clone(), Object { bytes: bytes.clone(), modified_ms });
            Ok(())
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(broken("no object of a simulation is so large"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = location.to_string();
        let work = move |objects: &mut Objects, _| {
            objects.objects.get(&key).cloned().ok_or_else(|| absent(&key)).map(|object| (key.clone(), object))
        };
        let (key, object) = self.request("get", location.as_ref(), work).await?;
        let size = object.bytes.len() as u64;
        let range = match &options.range {
            Some(range) => range.as_range(size).map_err(|_| broken("416 range"))?,
            None => 0..size,
        };
        let bytes = object.bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed()),
            meta: Objects::meta(&key, &object),
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = Self { world: Arc::clone(&self.world), process: self.process, name: self.name.clone() };
        locations
            .then(move |location| {
                let store = Self { world: Arc::clone(&store.world), process: store.process, name: store.name.clone() };
                async move {
                    let location = location?;
                    let key = location.to_string();
                    let work = move |objects: &mut Objects, _| {
                        if objects.objects.remove(&key).is_some() {
                            objects.deleted.insert(key.clone());
                        }
                        Ok(())
                    };
                    store.request("delete", location.as_ref(), work).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = Self { world: Arc::clone(&self.world), process: self.process, name: self.name.clone() };
        let folder = folder_of(prefix);
        let listing = async move {
            let below = folder.clone();
            let work = move |objects: &mut Objects, _| {
                Ok(objects.below(&below).map(|(key, object)| Ok(Objects::meta(key, object))).collect::<Vec<_>>())
            };
            store.request("list", &folder, work).await.map(stream::iter)
        };
        stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = folder_of(prefix);
        let below = folder.clone();
        let work = move |objects: &mut Objects, _| {
            let (mut folders, mut found) = (BTreeSet::new(), Vec::new());
            for (key, object) in objects.below(&below) {
                match key[below.len()..].split_once('/') {
                    Some((name, _)) => drop(folders.insert(format!("{below}{name}"))),
                    None => found.push(Objects::meta(key, object)),
                }
            }
            let common_prefixes = folders.iter().map(|folder| Path::from(folder.as_str())).collect();
            Ok(ListResult { common_prefixes, objects: found, extensions: Default::default() })
        };
        self.request("list", &folder, work).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(broken("nothing copies"))
    }
}
