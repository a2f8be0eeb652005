//! From an address in a process to the one that an ELF file counts (`docs/formats/debuginfo.md`).

use flamelake_symbols::MappingView;
use serde::{Deserialize, Serialize};

const PAGE: u64 = 4096;

/// What of a binary decides where its code lies in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// `ET_EXEC`: addresses are never moved.
    pub is_fixed: bool,
    /// Loadable segments.
    pub segments: Vec<Segment>,
}

/// A loadable segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its first byte in the file.
    pub offset: u64,
    /// Bytes in the file; 0 in a debug file.
    pub file_bytes: u64,
    /// Its first address.
    pub address: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Holds code.
    pub is_executable: bool,
}

impl Layout {
    /// Whether an address may be that of code.
    pub(crate) fn holds(&self, address: u64) -> bool {
        let holds = |segment: &Segment| address.wrapping_sub(segment.address) < segment.memory_bytes;
        self.segments.iter().any(|segment| segment.is_executable && holds(segment))
    }

    /// The file's address of one in a process. `None` if it lies outside of the mapping or of the file.
    pub(crate) fn address_in_file(&self, address: u64, mapping: &MappingView<'_>) -> Option<u64> {
        if mapping.memory_start == 0 || self.is_fixed {
            return Some(address);
        }
        if mapping.memory_limit > 0 && address >= mapping.memory_limit {
            return None;
        }
        let in_mapping = address.checked_sub(mapping.memory_start)?;
        let offset = in_mapping.checked_add(mapping.file_offset)?;
        let holds = |segment: &&Segment| offset.wrapping_sub(segment.offset) < segment.file_bytes;
        if let Some(segment) = self.segments.iter().find(holds) {
            return (offset - segment.offset).checked_add(segment.address);
        }
        let mut executable = self.segments.iter().filter(|segment| segment.is_executable);
        let (segment, None) = (executable.next()?, executable.next()) else { return None };
        (segment.address / PAGE * PAGE).checked_add(in_mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(memory_start: u64, memory_limit: u64, file_offset: u64) -> MappingView<'static> {
        MappingView {
            memory_start,
            memory_limit,
            file_offset,
            filename: "",
            build_id: "",
            has_functions: false,
            has_filenames: false,
            has_line_numbers: false,
            has_inline_frames: false,
        }
    }

    fn segment(offset: u64, file_bytes: u64, address: u64, is_executable: bool) -> Segment {
        Segment { offset, file_bytes, address, memory_bytes: 0x1000, is_executable }
    }

    #[test]
    fn in_all_ways_that_files_are_mapped() {
        let pie = Layout {
            is_fixed: false,
            segments: vec![segment(0, 0x800, 0, false), segment(0x1000, 0x800, 0x2000, true)],
        };
        let at = |address, mapping: &MappingView<'_>| pie.address_in_file(address, mapping);
        assert_eq!(at(0x2010, &mapping(0, 0, 0)), Some(0x2010), "addresses of the file already");
        assert_eq!(at(0x7f00_0010, &mapping(0x7f00_0000, 0x7f00_1000, 0x1000)), Some(0x2010));
        assert_eq!(
            at(0x7f00_1010, &mapping(0x7f00_0000, 0x7f00_3000, 0)),
            Some(0x2010),
            "one mapping of the whole file"
        );
        assert_eq!(at(0x6000_0000, &mapping(0x7f00_0000, 0x7f00_1000, 0x1000)), None, "below");
        assert_eq!(at(0x7f00_1000, &mapping(0x7f00_0000, 0x7f00_1000, 0x1000)), None, "beyond");

        let debug_file =
            Layout { is_fixed: false, segments: vec![segment(0, 0x800, 0, false), segment(0x40, 0, 0x2040, true)] };
        let mapped = mapping(0x7f00_0000, 0x7f00_1000, 0x1000);
        assert_eq!(debug_file.address_in_file(0x7f00_0050, &mapped), Some(0x2050), "offsets are lost");

        let fixed = Layout { is_fixed: true, segments: vec![segment(0, 0x800, 0x40_0000, true)] };
        assert_eq!(fixed.address_in_file(0x40_0010, &mapping(0x40_0000, 0x40_1000, 0)), Some(0x40_0010));
        assert_eq!(pie.address_in_file(u64::MAX, &mapping(1, 0, u64::MAX)), None, "no overflow");
    }
}
