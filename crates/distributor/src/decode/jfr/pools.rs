//! Constants of a chunk: texts, classes, methods and stack traces that its events refer to by number.

use std::borrow::Cow;
use std::ops::Range;

use crate::decode::Refused;
use crate::decode::jfr::metadata::{Class, Classes, Kind, Map};
use crate::decode::jfr::plan::Plan;
use crate::decode::jfr::reader::{Reader, Text, broken};

/// Checkpoint events of a chunk.
const CHECKPOINTS_MAX: usize = 100_000;

/// Constants of a class that room is made for at once: a file may say more than it holds.
const RESERVED_MAX: usize = 4096;

/// Frame of a stack trace: number of its method, line.
pub(crate) type Frame = (i64, i64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) class: i64,
    pub(crate) name: i64,
}

/// By number.
#[derive(Debug, Default)]
pub(crate) struct Pools<'a> {
    pub(crate) symbols: Map<Cow<'a, str>>,
    pub(crate) strings: Map<Cow<'a, str>>,
    /// Name of each class, in `symbols`.
    pub(crate) classes: Map<i64>,
    pub(crate) methods: Map<Method>,
    /// Of each stack trace, in `frames`.
    traces: Map<Range<usize>>,
    /// Leaf first.
    frames: Vec<Frame>,
    pub(crate) thread_states: Map<Cow<'a, str>>,
}

impl<'a> Pools<'a> {
    /// Follows the list of checkpoint events from the last, at `offset`, to the first.
    pub(crate) fn read(chunk: &'a [u8], offset: usize, classes: &Classes) -> Result<Self, Refused> {
        let mut pools = Self::default();
        let (mut at, mut end) = (offset, chunk.len());
        for _ in 0..CHECKPOINTS_MAX {
            let Some(bytes) = chunk.get(at..end) else { return broken("a checkpoint lies outside its chunk") };
            let mut reader = Reader::new(bytes);
            let (size, kind) = (reader.varint()?, reader.varint()?);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if kind != 1 || size > bytes.len() {
                return broken("its constants are not where it says");
            }
            let mut reader = Reader::new(&bytes[..size]);
            for _ in 0..4 {
                // Size, type, start, duration.
                reader.varint()?;
            }
            let delta = reader.varint()?;
            reader.byte()?;
            pools.checkpoint(&mut reader, classes)?;
            // Backwards only, so that it ends.
            match usize::try_from(delta.unsigned_abs()).ok().and_then(|delta| at.checked_sub(delta)) {
                Some(_) if delta == 0 => return Ok(pools),
                // One that reaches into the next would be read over and over.
                Some(before) if delta < 0 => (at, end) = (before, at),
                _ => return broken("its checkpoints do not lead backwards"),
            }
        }
        broken("it has too many checkpoints")
    }

    /// The frames of a stack trace, leaf first.
    pub(crate) fn trace(&self, trace: i64) -> Option<&[Frame]> {
        self.frames.get(self.traces.get(&trace)?.clone())
    }

    pub(crate) fn text<'t>(&'t self, text: &'t Text<'_>) -> &'t str {
        match text {
            Text::Own(text) => text,
            Text::Pooled(at) => self.strings.get(at).map_or("", |text| text),
        }
    }

    fn owned(&self, text: Text<'a>) -> Cow<'a, str> {
        match text {
            Text::Own(text) => text,
            Text::Pooled(at) => self.strings.get(&at).cloned().unwrap_or_default(),
        }
    }

    fn checkpoint(&mut self, reader: &mut Reader<'a>, classes: &Classes) -> Result<(), Refused> {
        for _ in 0..reader.count()? {
            let id = reader.varint()?;
            let Some(class) = classes.0.get(&id) else { return broken("a constant has an unknown class") };
            let constants = Constants::of(class, classes);
            let count = reader.count()?;
            self.reserve(&constants, count.min(RESERVED_MAX));
            for _ in 0..count {
                let number = reader.varint()?;
                reader.begin();
                self.constant(number, &constants, reader)?;
            }
        }
        Ok(())
    }

    fn reserve(&mut self, constants: &Constants<'_>, count: usize) {
        match constants {
            Constants::Symbols(_) => self.symbols.reserve(count),
            Constants::Methods(_) => self.methods.reserve(count),
            Constants::Traces(..) => self.traces.reserve(count),
            Constants::Strings | Constants::ThreadStates(_) | Constants::Classes(_) | Constants::Others(_) => {}
        }
    }

    fn constant(&mut self, number: i64, constants: &Constants<'_>, reader: &mut Reader<'a>) -> Result<(), Refused> {
        match constants {
            Constants::Strings => {
                if let Text::Own(text) = reader.text()? {
                    self.strings.insert(number, text);
                }
            }
            Constants::Symbols(plan) => {
                let [text] = plan.texts(reader)?;
                let text = self.owned(text);
                self.symbols.insert(number, text);
            }
            Constants::ThreadStates(plan) => {
                let [text] = plan.texts(reader)?;
                let text = self.owned(text);
                self.thread_states.insert(number, text);
            }
            Constants::Classes(plan) => {
                let [name] = plan.numbers(reader)?;
                self.classes.insert(number, name);
            }
            Constants::Methods(plan) => {
                let [class, name] = plan.numbers(reader)?;
                self.methods.insert(number, Method { class, name });
            }
            Constants::Traces(plan, frame) => {
                let start = self.frames.len();
                let frames = &mut self.frames;
                plan.each(reader, |_, field, reader| {
                    let Some(frame) = frame.as_ref().filter(|_| field.is_array) else {
                        return plan.skip(reader, field);
                    };
                    for _ in 0..reader.count()? {
                        reader.step()?;
                        let [method, line] = frame.numbers(reader)?;
                        frames.push((method, line));
                    }
                    Ok(())
                })?;
                self.traces.insert(number, start..self.frames.len());
            }
            Constants::Others(plan) => {
                let [] = plan.numbers(reader)?;
            }
        }
        Ok(())
    }
}

/// What the constants of a class are, and how they are read.
enum Constants<'a> {
    Strings,
    Symbols(Plan<'a>),
    ThreadStates(Plan<'a>),
    Classes(Plan<'a>),
    Methods(Plan<'a>),
    /// With the plan of a frame.
    Traces(Plan<'a>, Option<Plan<'a>>),
    Others(Plan<'a>),
}

impl<'a> Constants<'a> {
    fn of(class: &'a Class, classes: &'a Classes) -> Self {
        let plan = |wanted: &[&str]| Plan::new(class, classes, wanted);
        match class.name.as_str() {
            "java.lang.String" => Self::Strings,
            "jdk.types.Symbol" => Self::Symbols(plan(&["string"])),
            "jdk.types.ThreadState" => Self::ThreadStates(plan(&["name"])),
            "java.lang.Class" => Self::Classes(plan(&["name"])),
            "jdk.types.Method" => Self::Methods(plan(&["type", "name"])),
            "jdk.types.StackTrace" => {
                let kind = class.fields.iter().find(|field| field.name == "frames").map(|field| field.kind);
                let frame = match kind {
                    Some(Kind::Inline(id)) => classes.0.get(&id),
                    _ => None,
                };
                let frame = frame.map(|frame| Plan::new(frame, classes, &["method", "lineNumber"]));
                Self::Traces(plan(&["frames"]), frame)
            }
            _ => Self::Others(plan(&[])),
        }
    }
}
