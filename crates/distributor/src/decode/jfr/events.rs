//! The events of a chunk that become samples.

use crate::decode::Refused;
use crate::decode::jfr::chunk::Chunk;
use crate::decode::jfr::metadata::Map;
use crate::decode::jfr::plan::Plan;
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

impl Event {
    /// The fields that are read: numbers, or texts of a setting.
    fn fields(self) -> [&'static str; 6] {
        let own = match self {
            Self::Setting => return ["name", "value", "", "", "", ""],
            Self::WallClock => "samples",
            Self::Sized(_, field, _) => field,
            Self::Execution | Self::Live => "",
        };
        ["stackTrace", "contextId", "spanId", "spanName", "state", own]
    }
}

/// Adds the samples of a chunk.
pub(crate) fn read(chunk: &Chunk<'_>, profiles: &mut Profiles<'_>) -> Result<(), Refused> {
    let known: Map<(Event, Plan<'_>)> = chunk
        .classes
        .0
        .iter()
        .filter_map(|(id, class)| {
            let event = event(&class.name)?;
            Some((*id, (event, Plan::new(class, &chunk.classes, &event.fields()))))
        })
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
        if let Some((kind, plan)) = known.get(&kind) {
            add(chunk, *kind, plan, &mut Reader::new(&event[head..]), profiles)?;
        }
    }
    profiles.end_chunk(&chunk.pools)
}

fn add(
    chunk: &Chunk<'_>,
    event: Event,
    plan: &Plan<'_>,
    reader: &mut Reader<'_>,
    profiles: &mut Profiles<'_>,
) -> Result<(), Refused> {
    if event == Event::Setting {
        let [name, value] = plan.texts(reader)?;
        if chunk.pools.text(&name) == "event" {
            profiles.set_event(chunk.pools.text(&value));
        }
        return Ok(());
    }
    let [trace, id, span, span_name, state, own] = plan.numbers(reader)?;
    let context = Context { id, span, span_name };
    let state = || chunk.pools.thread_states.get(&state).map_or("", |text| text);
    match event {
        Event::Setting => Ok(()),
        Event::Execution => {
            if state() != "STATE_SLEEPING" {
                profiles.add(Kind::Cpu, trace, context, [1, 0])?;
            }
            if profiles.is_wall() { profiles.add(Kind::Wall, trace, context, [1, 0]) } else { Ok(()) }
        }
        Event::WallClock => {
            if state() == "STATE_RUNNABLE" && profiles.is_wall() {
                profiles.add(Kind::Cpu, trace, context, [own, 0])?;
            }
            profiles.add(Kind::Wall, trace, context, [own, 0])
        }
        Event::Sized(kind, _, HasContext::Yes) => profiles.add(kind, trace, context, [1, own]),
        Event::Sized(kind, _, HasContext::No) => profiles.add(kind, trace, Context::default(), [1, own]),
        Event::Live => profiles.add(Kind::Live, trace, Context::default(), [1, 0]),
    }
}
