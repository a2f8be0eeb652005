//! Whole names for functions of this program. Its debug information has lines only: the names in it are bare (`{async_block#0}`), while the symbol
//! table has them with their paths. That table is tens of megabytes, so it is read from the file when an address is new, and only names that were
//! asked for are kept.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SymbolKind};
use parking_lot::Mutex;

/// More names than this are forgotten and looked up anew.
const NAMES_MAX: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OwnSymbols {
    /// `None`: the table has no function there.
    names: Mutex<HashMap<usize, Option<Arc<str>>>>,
}

impl OwnSymbols {
    /// The names of functions that hold these addresses of the running program; what is not of its own file is left out.
    pub(super) fn names(&self, addresses: impl IntoIterator<Item = usize>) -> HashMap<usize, Arc<str>> {
        let mut known = self.names.lock();
        let addresses: Vec<usize> = addresses.into_iter().collect();
        let mut unknown: Vec<usize> =
            addresses.iter().copied().filter(|address| !known.contains_key(address)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            if known.len() + unknown.len() > NAMES_MAX {
                known.clear();
            }
            // Without the file there are the bare names.
            let found = look_up(&unknown).unwrap_or_default();
            known.extend(unknown.into_iter().map(|address| (address, found.get(&address).cloned())));
        }
        addresses.into_iter().filter_map(|address| Some((address, known.get(&address)?.clone()?))).collect()
    }
}

/// Of sorted addresses.
fn look_up(addresses: &[usize]) -> Option<HashMap<usize, Arc<str>>> {
    let program = ReadCache::new(File::open("/proc/self/exe").ok()?);
    let program = object::File::parse(&program).ok()?;
    let loaded_at = loaded_at()?;
    // Pages begin at multiples of their size.
    let first = program.segments().map(|segment| segment.address()).min()? & !0xfff;
    let moved = loaded_at.wrapping_sub(first as usize);
    let mut found = HashMap::new();
    for symbol in program.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let start = moved.wrapping_add(symbol.address() as usize);
        let end = start.saturating_add(symbol.size() as usize);
        let of_this =
            addresses.partition_point(|address| *address < start)..addresses.partition_point(|address| *address < end);
        if of_this.is_empty() {
            continue;
        }
        let Ok(name) = symbol.name() else { continue };
        // The hash of a version of a crate at its end is left out.
        let name: Arc<str> = format!("{:#}", rustc_demangle::demangle(name)).into();
        found.extend(addresses[of_this].iter().map(|address| (*address, Arc::clone(&name))));
    }
    Some(found)
}

/// Where the beginning of the program's file lies in memory.
fn loaded_at() -> Option<usize> {
    let own = std::fs::read_link("/proc/self/exe").ok()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| parse_mapping(line, &own))
}

/// The address of a mapping of this file, if it is that of its beginning: `start-end rights offset device inode  path`.
fn parse_mapping(line: &str, file: &Path) -> Option<usize> {
    let mut words = line.split_whitespace();
    let (start, _) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let path = line.get(line.find('/')?..)?;
    (usize::from_str_radix(offset, 16).ok()? == 0 && Path::new(path) == file)
        .then(|| usize::from_str_radix(start, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_of_this_test() -> usize {
        std::hint::black_box(7)
    }

    #[test]
    fn a_function_is_found_by_its_address_with_its_path() {
        assert_eq!(a_function_of_this_test(), 7);
        let address = a_function_of_this_test as fn() -> usize as usize;
        let symbols = OwnSymbols::default();
        for _ in 0..2 {
            let names = symbols.names([address, 1]);
            assert_eq!(names.len(), 1, "{names:?}");
            assert!(names[&address].ends_with("own_symbols::tests::a_function_of_this_test"), "{names:?}");
        }
    }

    #[test]
    fn the_first_mapping_of_the_file_counts() {
        let file = Path::new("/usr/bin/flame lake");
        let line = "55d0c0a00000-55d0c0b00000 r--p 00000000 fe:00 42       /usr/bin/flame lake";
        assert_eq!(parse_mapping(line, file), Some(0x55d0_c0a0_0000));
        assert_eq!(parse_mapping(&line.replace("p 00000000", "p 00100000"), file), None);
        assert_eq!(parse_mapping("7ffd0000-7ffd1000 rw-p 00000000 00:00 0 [stack]", file), None);
        assert_eq!(parse_mapping("", file), None);
    }
}
