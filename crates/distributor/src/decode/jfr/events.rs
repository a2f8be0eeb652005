//! The events of a chunk that become samples.

use std::collections::HashMap;

use crate::decode::Refused;
use crate::decode::jfr::chunk::Chunk;
use crate::decode::jfr::metadata::Class;
use crate::decode::jfr::pools::{Value, fields, get, int};
use crate::decode::jfr::profiles::{Context, Kind, Profiles};
use crate::decode::jfr::reader::{Reader, broken};

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Setting,
    Execution,
    WallClock,
    /// An allocation or a wait; its second value is this field.
    Sized(Kind, &'static str, HasContext),
    Live,
}

/// Does the event name the span that it belongs to?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HasContext {
    Yes,
    No,
}

fn event(class: &str) -> Option<Event> {
    use HasContext::{No, Yes};
    Some(match class {
        "jdk.ActiveSetting" => Event::Setting,
        "jdk.ExecutionSample" => Event::Execution,
        "profiler.WallClockSample" => Event::WallClock,
        "jdk.ObjectAllocationInNewTLAB" => Event::Sized(Kind::InTlab, "tlabSize", Yes),
        "jdk.ObjectAllocationOutsideTLAB" => Event::Sized(Kind::OutsideTlab, "allocationSize", Yes),
        "jdk.ObjectAllocationSample" => Event::Sized(Kind::AllocSample, "weight", No),
        "jdk.JavaMonitorEnter" => Event::Sized(Kind::Lock, "duration", Yes),
        "jdk.ThreadPark" => Event::Sized(Kind::Park, "duration", No),
        "profiler.Malloc" => Event::Sized(Kind::Malloc, "size", No),
        "profiler.LiveObject" => Event::Live,
        _ => return None,
    })
}

/// Adds the samples of a chunk.
pub(crate) fn read(chunk: &Chunk<'_>, profiles: &mut Profiles<'_>) -> Result<(), Refused> {
    let known: HashMap<i64, (Event, &Class)> = chunk
        .classes
        .0
        .iter()
        .filter_map(|(id, class)| event(&class.name).map(|event| (*id, (event, class))))
        .collect();
    let mut rest = chunk.events;
    while !rest.is_empty() {
        let mut reader = Reader::new(rest);
        let (size, kind) = (reader.varint()?, reader.varint()?);
        let head = rest.len() - reader.left();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some((event, after)) = rest.split_at_checked(size).filter(|_| size >= head) else {
            return broken("an event runs past its chunk");
        };
        rest = after;
        if let Some((kind, class)) = known.get(&kind) {
            let values = fields(&mut Reader::new(&event[head..]), class, &chunk.classes, 0)?;
            add(chunk, *kind, class, &values, profiles)?;
        }
    }
    profiles.end_chunk(&chunk.pools)
}

fn add(
    chunk: &Chunk<'_>,
    event: Event,
    class: &Class,
    values: &[Value],
    profiles: &mut Profiles<'_>,
) -> Result<(), Refused> {
    let int = |name: &str| int(class, values, name);
    let trace = int("stackTrace");
    let context = Context { id: int("contextId"), span: int("spanId"), span_name: int("spanName") };
    match event {
        Event::Setting => {
            let text = |name: &str| match get(class, values, name) {
                Some(Value::Text(text)) => chunk.pools.text(text),
                _ => "",
            };
            if text("name") == "event" {
                profiles.set_event(text("value"));
            }
            Ok(())
        }
        Event::Execution => {
            let state = chunk.pools.thread_states.get(&int("state")).map_or("", String::as_str);
            if state != "STATE_SLEEPING" {
                profiles.add(Kind::Cpu, trace, context, [1, 0])?;
            }
            if profiles.is_wall() { profiles.add(Kind::Wall, trace, context, [1, 0]) } else { Ok(()) }
        }
        Event::WallClock => {
            let state = chunk.pools.thread_states.get(&int("state")).map_or("", String::as_str);
            let samples = int("samples");
            if state == "STATE_RUNNABLE" && profiles.is_wall() {
                profiles.add(Kind::Cpu, trace, context, [samples, 0])?;
            }
            profiles.add(Kind::Wall, trace, context, [samples, 0])
        }
        Event::Sized(kind, field, HasContext::Yes) => profiles.add(kind, trace, context, [1, int(field)]),
        Event::Sized(kind, field, HasContext::No) => profiles.add(kind, trace, Context::default(), [1, int(field)]),
        Event::Live => profiles.add(Kind::Live, trace, Context::default(), [1, 0]),
    }
}
