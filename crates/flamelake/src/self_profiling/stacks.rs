//! Stacks of this process as a pprof profile.

use std::collections::HashMap;
use std::io::Write as _;

use flamelake_api::google::v1 as pprof;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

/// A place in the code; several make a location where the compiler inlined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: i64,
}

/// What is measured, as `(type, unit)`.
pub(super) type Measure = (&'static str, &'static str);

/// When and how a profile was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) time_nanos: i64,
    pub(super) duration_nanos: i64,
    /// One sample stands for so many of the period type.
    pub(super) period: i64,
}

/// Collects samples; equal texts, functions and locations are kept once.
#[derive(Debug)]
pub(super) struct Stacks {
    profile: pprof::Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<Vec<Line>, u64>,
}

impl Stacks {
    pub(super) fn new(measures: &[Measure], period: Measure) -> Self {
        let (profile, strings) = (pprof::Profile::default(), HashMap::new());
        let mut stacks = Self { profile, strings, functions: HashMap::new(), locations: HashMap::new() };
        stacks.string("");
        for measure in measures {
            let measure = stacks.value_type(*measure);
            stacks.profile.sample_type.push(measure);
        }
        stacks.profile.period_type = Some(stacks.value_type(period));
        stacks
    }

    /// A stack from its leaf, each location from the innermost inlined function, and one value for each measure.
    pub(super) fn add(&mut self, stack: impl IntoIterator<Item = Vec<Line>>, value: Vec<i64>) {
        let location_id = stack.into_iter().map(|lines| self.location(lines)).collect();
        self.profile.sample.push(pprof::Sample { location_id, value, label: Vec::new() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.profile.sample.is_empty()
    }

    /// The message, packed by gzip as everybody expects it.
    pub(super) fn finish(mut self, taken: Taken) -> std::io::Result<Vec<u8>> {
        let Taken { time_nanos, duration_nanos, period } = taken;
        (self.profile.time_nanos, self.profile.duration_nanos, self.profile.period) =
            (time_nanos, duration_nanos, period);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&self.profile.encode_to_vec())?;
        packed.finish()
    }

    fn value_type(&mut self, (what, unit): Measure) -> pprof::ValueType {
        pprof::ValueType { r#type: self.string(what), unit: self.string(unit) }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(at) = self.strings.get(text) {
            return *at;
        }
        let at = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), at);
        at
    }

    fn location(&mut self, lines: Vec<Line>) -> u64 {
        if let Some(id) = self.locations.get(&lines) {
            return *id;
        }
        let line = lines
            .iter()
            .map(|line| pprof::Line { function_id: self.function(&line.function, &line.file), line: line.line })
            .collect();
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(pprof::Location { id, line, ..pprof::Location::default() });
        self.locations.insert(lines, id);
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.string(name), self.string(file));
        if let Some(id) = self.functions.get(&(name, filename)) {
            return *id;
        }
        let id = self.profile.function.len() as u64 + 1;
        let function = pprof::Function { id, name, system_name: name, filename, start_line: 0 };
        self.profile.function.push(function);
        self.functions.insert((name, filename), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn equal_things_are_kept_once() {
        let line = |function: &str, line| Line { function: function.to_owned(), file: "a.rs".to_owned(), line };
        let mut stacks = Stacks::new(&[("samples", "count"), ("cpu", "nanoseconds")], ("cpu", "nanoseconds"));
        assert!(stacks.is_empty());
        stacks.add([vec![line("leaf", 3), line("inlined_into", 9)], vec![line("main", 1)]], vec![1, 10]);
        stacks.add([vec![line("main", 1)]], vec![2, 20]);
        stacks.add([vec![line("main", 2)]], vec![4, 40]);
        let packed = stacks.finish(Taken { time_nanos: 5, duration_nanos: 6, period: 10 }).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        let profile = pprof::Profile::decode(&bytes[..]).unwrap();
        assert_eq!(
            profile.string_table,
            ["", "samples", "count", "cpu", "nanoseconds", "leaf", "a.rs", "inlined_into", "main"]
        );
        assert_eq!((profile.function.len(), profile.location.len()), (3, 3));
        let stacks: Vec<_> = profile.sample.iter().map(|sample| (&sample.location_id[..], &sample.value[..])).collect();
        assert_eq!(stacks, [(&[1, 2][..], &[1, 10][..]), (&[2], &[2, 20]), (&[3], &[4, 40])]);
        assert_eq!((profile.time_nanos, profile.duration_nanos, profile.period), (5, 6, 10));
    }
}
