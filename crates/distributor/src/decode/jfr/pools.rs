//! Constants of a chunk: texts, classes, methods and stack traces that its events refer to by number.

use std::collections::HashMap;

use crate::decode::Refused;
use crate::decode::jfr::metadata::{Class, Classes, Kind};
use crate::decode::jfr::reader::{Reader, Text, broken};

/// Classes hold others inline as deep as this.
const DEPTH_MAX: usize = 8;
/// Checkpoint events of a chunk.
const CHECKPOINTS_MAX: usize = 100_000;

/// A value as its class describes it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(i64),
    Text(Text),
    List(Vec<Value>),
    /// In the order of the class's fields.
    Fields(Vec<Value>),
    /// A number that nothing here looks at.
    Other,
}

/// Frame of a stack trace: number of its method, line.
pub(crate) type Frame = (i64, i64);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    pub(crate) class: i64,
    pub(crate) name: i64,
}

/// By number.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pub(crate) symbols: HashMap<i64, String>,
    pub(crate) strings: HashMap<i64, String>,
    /// Name of each class, in `symbols`.
    pub(crate) classes: HashMap<i64, i64>,
    pub(crate) methods: HashMap<i64, Method>,
    /// Leaf first.
    pub(crate) traces: HashMap<i64, Vec<Frame>>,
    pub(crate) thread_states: HashMap<i64, String>,
}

impl Pools {
    /// Follows the list of checkpoint events from the last, at `offset`, to the first.
    pub(crate) fn read(chunk: &[u8], offset: usize, classes: &Classes) -> Result<Self, Refused> {
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

    pub(crate) fn text<'a>(&'a self, text: &'a Text) -> &'a str {
        match text {
            Text::Own(text) => text,
            Text::Pooled(at) => self.strings.get(at).map_or("", String::as_str),
        }
    }

    fn checkpoint(&mut self, reader: &mut Reader<'_>, classes: &Classes) -> Result<(), Refused> {
        for _ in 0..reader.count()? {
            let id = reader.varint()?;
            let Some(class) = classes.0.get(&id) else { return broken("a constant has an unknown class") };
            for _ in 0..reader.count()? {
                let number = reader.varint()?;
                if class.name == "java.lang.String" {
                    if let Text::Own(text) = reader.text()? {
                        self.strings.insert(number, text);
                    }
                    continue;
                }
                reader.begin();
                let fields = fields(reader, class, classes, 0)?;
                self.keep(number, class, &fields, classes);
            }
        }
        Ok(())
    }

    fn keep(&mut self, number: i64, class: &Class, fields: &[Value], classes: &Classes) {
        let int = |name: &str| int(class, fields, name);
        match class.name.as_str() {
            "jdk.types.Symbol" => {
                if let Some(Value::Text(text)) = get(class, fields, "string") {
                    let text = self.text(text).to_owned();
                    self.symbols.insert(number, text);
                }
            }
            "java.lang.Class" => {
                self.classes.insert(number, int("name"));
            }
            "jdk.types.Method" => {
                self.methods.insert(number, Method { class: int("type"), name: int("name") });
            }
            "jdk.types.StackTrace" => {
                self.traces.insert(number, trace(class, fields, classes));
            }
            "jdk.types.ThreadState" => {
                if let Some(Value::Text(text)) = get(class, fields, "name") {
                    let text = self.text(text).to_owned();
                    self.thread_states.insert(number, text);
                }
            }
            _ => {}
        }
    }
}

fn trace(class: &Class, fields: &[Value], classes: &Classes) -> Vec<Frame> {
    let kind = class.fields.iter().find(|field| field.name == "frames").map(|field| field.kind);
    let (Some(Kind::Inline(id)), Some(Value::List(frames))) = (kind, get(class, fields, "frames")) else {
        return Vec::new();
    };
    let Some(class) = classes.0.get(&id) else { return Vec::new() };
    let frame = |value: &Value| match value {
        Value::Fields(fields) => Some((int(class, fields, "method"), int(class, fields, "lineNumber"))),
        _ => None,
    };
    frames.iter().filter_map(frame).collect()
}

pub(crate) fn get<'a>(class: &Class, values: &'a [Value], name: &str) -> Option<&'a Value> {
    values.get(class.fields.iter().position(|field| field.name == name)?)
}

/// 0 if it is absent.
pub(crate) fn int(class: &Class, values: &[Value], name: &str) -> i64 {
    match get(class, values, name) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    }
}

/// The fields of a class in order.
pub(crate) fn fields(
    reader: &mut Reader<'_>,
    class: &Class,
    classes: &Classes,
    depth: usize,
) -> Result<Vec<Value>, Refused> {
    if depth > DEPTH_MAX {
        return broken("its classes nest too deep");
    }
    let mut values = Vec::with_capacity(class.fields.len().min(64));
    for field in &class.fields {
        values.push(if field.is_array {
            let count = reader.count()?;
            let mut list = Vec::new();
            for _ in 0..count {
                list.push(value(reader, field.kind, classes, depth)?);
            }
            Value::List(list)
        } else {
            value(reader, field.kind, classes, depth)?
        });
    }
    Ok(values)
}

fn value(reader: &mut Reader<'_>, kind: Kind, classes: &Classes, depth: usize) -> Result<Value, Refused> {
    reader.step()?;
    Ok(match kind {
        Kind::Byte => Value::Int(i64::from(reader.byte()?)),
        Kind::Varint | Kind::Pooled(_) => Value::Int(reader.varint()?),
        Kind::Float => reader.take(4).map(|_| Value::Other)?,
        Kind::Double => reader.take(8).map(|_| Value::Other)?,
        Kind::Text => Value::Text(reader.text()?),
        Kind::Inline(id) => match classes.0.get(&id) {
            Some(class) => Value::Fields(fields(reader, class, classes, depth + 1)?),
            None => return broken("a field has an unknown class"),
        },
    })
}
