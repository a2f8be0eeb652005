//! Flamebearer documents (version 1, `single`), as the legacy routes answer them and people keep them.

use flamelake_model::tree::Tree;
use flamelake_model::{ProfileType, StatusError};
use serde::Deserialize;

use super::trees::Typed;

const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Head {
    version: Option<u32>,
    flamebearer: Option<Bars>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Bars {
    names: Vec<String>,
    /// Quadruples: offset from the end of the bar before, total, self, name.
    levels: Vec<Vec<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    format: String,
    units: String,
    name: String,
}

/// `None`: the file is something else.
pub(super) fn parse(file: &[u8]) -> Result<Option<Typed>, StatusError> {
    if file.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(None);
    }
    let Ok(Head { version, flamebearer: Some(bars), metadata }) = serde_json::from_slice::<Head>(file) else {
        return Ok(None);
    };
    let metadata = metadata.unwrap_or_default();
    if version.unwrap_or(VERSION) != VERSION || !["", "single"].contains(&metadata.format.as_str()) {
        let why = "the flamebearer document is not of version 1 and format single";
        return Err(StatusError::invalid_argument(why));
    }
    let tree =
        tree(&bars).ok_or_else(|| StatusError::invalid_argument("the flamebearer document's levels are damaged"))?;
    let word = if metadata.name.is_empty() { "samples".to_owned() } else { metadata.name };
    let profile_type = ProfileType {
        name: "adhoc".to_owned(),
        sample_type: word.clone(),
        sample_unit: metadata.units,
        period_type: String::new(),
        period_unit: String::new(),
    };
    Ok(Some(Typed { word, profile_type, tree }))
}

/// One bar of the level above: where it lies, and its path of names.
struct Bar<'a> {
    start: i64,
    end: i64,
    path: Vec<&'a str>,
}

fn tree(bars: &Bars) -> Option<Tree> {
    let mut tree = Tree::new();
    let mut parents: Vec<Bar<'_>> = Vec::new();
    for (depth, level) in bars.levels.iter().enumerate() {
        let (mut x, mut row, mut parent) = (0_i64, Vec::new(), 0);
        if level.len() % 4 != 0 {
            return None;
        }
        for bar in level.chunks_exact(4) {
            let [offset, total, own, name] = [bar[0], bar[1], bar[2], bar[3]];
            if offset < 0 || total < 0 || own < 0 || own > total {
                return None;
            }
            let name = bars.names.get(usize::try_from(name).ok()?)?;
            let start = x.checked_add(offset)?;
            let end = start.checked_add(total)?;
            x = end;
            let mut path = Vec::new();
            if depth > 0 {
                while parents.get(parent).is_some_and(|one| one.end < end || one.end <= start) {
                    parent += 1;
                }
                let above = parents.get(parent).filter(|one| one.start <= start && end <= one.end)?;
                path.extend(above.path.iter().copied());
                path.push(name.as_str());
                if own > 0 {
                    tree.add(path.iter().copied(), own);
                }
            }
            row.push(Bar { start, end, path });
        }
        parents = row;
    }
    Some(tree)
}
