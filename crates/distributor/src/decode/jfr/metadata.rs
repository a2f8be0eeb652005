//! The classes of a chunk: what its events and constants are made of.

use std::borrow::Cow;

use crate::decode::Refused;
use crate::decode::jfr::reader::{Reader, Text, broken};

/// Elements nest as deep as this: root, metadata, class, field, annotation.
const DEPTH_MAX: usize = 16;
/// Longer names are none that anyone looks for; kept, a small file could repeat one without end.
const NAME_BYTES_MAX: usize = 256;

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Byte,
    Varint,
    Float,
    Double,
    Text,
    /// A number in the pool of a class.
    Pooled(i64),
    /// The fields of a class, one after another.
    Inline(i64),
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_array: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

/// By id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes(pub(crate) Map<Class>);

/// By number.
pub(crate) type Map<T> = hashbrown::HashMap<i64, T, foldhash::fast::RandomState>;

/// A field whose class may stand further down.
struct Raw {
    name: String,
    class: i64,
    is_pooled: bool,
    is_array: bool,
}

#[derive(Default)]
struct Builder {
    classes: Map<(String, Vec<Raw>)>,
}

impl Classes {
    /// Reads a metadata event behind its size and type.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Refused> {
        // Start, duration, id.
        for _ in 0..3 {
            reader.varint()?;
        }
        let count = reader.count()?;
        let mut texts = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            match reader.text()? {
                Text::Own(text) => texts.push(text),
                Text::Pooled(_) => return broken("its metadata refers to a pool"),
            }
        }
        let mut builder = Builder::default();
        builder.element(reader, &texts, None, 0)?;
        Ok(builder.finish())
    }
}

impl Builder {
    fn element(
        &mut self,
        reader: &mut Reader<'_>,
        texts: &[Cow<'_, str>],
        class: Option<i64>,
        depth: usize,
    ) -> Result<(), Refused> {
        if depth > DEPTH_MAX {
            return broken("its metadata nests too deep");
        }
        reader.begin();
        reader.step()?;
        let name = text(reader, texts)?;
        let attributes = reader.count()?;
        let (mut id, mut own_name, mut of_class, mut pooled, mut array) = (None, "", None, false, false);
        for _ in 0..attributes {
            let (key, value) = (text(reader, texts)?, text(reader, texts)?);
            match key {
                "id" => id = value.parse().ok(),
                "name" => own_name = value,
                "class" => of_class = value.parse().ok(),
                "constantPool" => pooled = value == "true",
                "dimension" => array = value != "0",
                _ => {}
            }
        }
        let own_name = if own_name.len() > NAME_BYTES_MAX { "" } else { own_name };
        let class = match (name, id, class, of_class) {
            ("class", Some(id), _, _) => {
                self.classes.insert(id, (own_name.to_owned(), Vec::new()));
                Some(id)
            }
            ("field", _, Some(class), Some(of_class)) => {
                let raw = Raw { name: own_name.to_owned(), class: of_class, is_pooled: pooled, is_array: array };
                if let Some((_, fields)) = self.classes.get_mut(&class) {
                    fields.push(raw);
                }
                None
            }
            _ => None,
        };
        for _ in 0..reader.count()? {
            self.element(reader, texts, class, depth + 1)?;
        }
        Ok(())
    }

    fn finish(self) -> Classes {
        let kinds: Map<Kind> = self.classes.iter().map(|(id, (name, _))| (*id, kind(*id, name))).collect();
        let class = |(id, (name, fields)): (i64, (String, Vec<Raw>))| {
            let field = |raw: Raw| {
                let own = kinds.get(&raw.class).copied().unwrap_or(Kind::Inline(raw.class));
                let kind = if raw.is_pooled { Kind::Pooled(raw.class) } else { own };
                Field { name: raw.name, kind, is_array: raw.is_array }
            };
            (id, Class { name, fields: fields.into_iter().map(field).collect() })
        };
        Classes(self.classes.into_iter().map(class).collect())
    }
}

fn kind(id: i64, name: &str) -> Kind {
    match name {
        "boolean" | "byte" => Kind::Byte,
        "char" | "short" | "int" | "long" => Kind::Varint,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "java.lang.String" => Kind::Text,
        _ => Kind::Inline(id),
    }
}

fn text<'a>(reader: &mut Reader<'_>, texts: &'a [Cow<'_, str>]) -> Result<&'a str, Refused> {
    let at = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    match texts.get(at) {
        Some(text) => Ok(text),
        None => broken("its metadata refers to a text that is not there"),
    }
}
