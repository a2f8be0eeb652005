//! From pprof messages to a tree for each type of values.

use flamelake_model::tree::Tree;
use flamelake_model::{ProfileId, ProfileType, StatusError};
use flamelake_pprof::frame::{Frame, ValueType};
use flamelake_pprof::{Decoder, ProfileLimits};

use super::{AdHocPprof, FILE_BYTES_MAX};

/// What a file shows first, if it has it.
const FIRST: [&str; 4] = ["cpu", "wall", "inuse_space", "samples"];

/// The values of one type.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    /// As the API calls it.
    pub(super) word: String,
    pub(super) profile_type: ProfileType,
    pub(super) tree: Tree,
}

/// Types in order of the file; those of one name and type are one.
pub(super) fn of(profiles: Vec<AdHocPprof>) -> Result<Vec<Typed>, StatusError> {
    let mut out: Vec<Typed> = Vec::new();
    let mut decoder = Decoder::new();
    let limits = ProfileLimits {
        max_profile_size_bytes: FILE_BYTES_MAX,
        max_samples: 0,
        max_sample_labels: 0,
        max_depth: 0,
        max_symbol_length: 0,
        reject_older_than: std::time::Duration::ZERO,
        reject_newer_than: std::time::Duration::ZERO,
        now_ns: 1,
    };
    for AdHocPprof { name, pprof } in profiles {
        let labels = [("__name__".to_owned(), name.clone()), ("service_name".to_owned(), "adhoc".to_owned())];
        let frames = decoder.frames(&pprof, &labels, &limits, ProfileId([0; 16]));
        for frame in frames.map_err(|error| StatusError::invalid_argument(error.to_string()))? {
            add(&mut out, &name, &frame);
        }
    }
    for at in 0..out.len() {
        let kind = out[at].profile_type.sample_type.clone();
        let is_alone = out.iter().filter(|one| one.profile_type.sample_type == kind).count() == 1;
        out[at].word = if is_alone { kind } else { format!("{}:{kind}", out[at].profile_type.name) };
    }
    if out.is_empty() {
        return Err(StatusError::invalid_argument("the file holds no samples"));
    }
    Ok(out)
}

fn add(out: &mut Vec<Typed>, name: &str, frame: &Frame) {
    let pair = |of: ValueType| (frame.strings.get(of.kind).to_owned(), frame.strings.get(of.unit).to_owned());
    let columns = frame.sample_types.len();
    let mut path = Vec::new();
    for (column, value_type) in frame.sample_types.iter().enumerate() {
        let ((sample_type, sample_unit), (period_type, period_unit)) = (pair(*value_type), pair(frame.period_type));
        let profile_type = ProfileType { name: name.to_owned(), sample_type, sample_unit, period_type, period_unit };
        let at = out.iter().position(|one| one.profile_type == profile_type).unwrap_or_else(|| {
            out.push(Typed { word: String::new(), profile_type, tree: Tree::new() });
            out.len() - 1
        });
        let tree = &mut out[at].tree;
        for (sample, stack) in frame.sample_stacks.iter().enumerate() {
            let value = frame.sample_values[sample * columns + column];
            if value > 0 {
                path.clear();
                for location in frame.stack(*stack).iter().rev() {
                    let lines = frame.location_lines(&frame.locations[*location as usize]).iter().rev();
                    path.extend(lines.map(|line| frame.strings.get(frame.functions[line.function as usize].name)));
                }
                tree.add(path.iter().copied(), value);
            }
        }
    }
}

/// The type of this word; without one that which people look at first.
pub(super) fn chosen<'a>(types: &'a [Typed], wanted: Option<&str>) -> Result<&'a Typed, StatusError> {
    let by_word = |word: &str| types.iter().find(|one| one.word == word);
    let found = match wanted {
        Some(word) => by_word(word),
        None => FIRST.iter().find_map(|word| by_word(word)).or_else(|| types.first()),
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = types.iter().map(|one| one.word.as_str()).collect();
        StatusError::invalid_argument(format!("the file has no values of that type; it has {}", known.join(", ")))
    })
}
