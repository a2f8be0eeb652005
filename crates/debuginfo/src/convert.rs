//! From an ELF file to its table. CPU-bound, and it holds what the debug sections unpack to: off the async threads, one at a time.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use addr2line::Context;
use addr2line::gimli::{self, EndianSlice, RunTimeEndian};
use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use object::{Object, ObjectKind, ObjectSection, ObjectSegment, ObjectSymbol, SegmentFlags, SymbolKind};

use crate::address::{Layout, Segment};
use crate::error::ConvertError;
use crate::store::{FileMetadata, StoredTable};
use crate::table::{FrameView, TableWriter};

type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// Of one binary: eight bytes each while they are sorted.
const BOUNDARIES_MAX: usize = 32 << 20;
/// Lookups of one context of `addr2line`.
const LOOKUPS_OF_CONTEXT: usize = 1 << 16;
/// Bytes of a table.
const TABLE_BYTES_MAX: usize = 256 << 20;
/// Frames of an address; more are cut off.
const DEPTH_MAX: usize = 256;
/// `PF_X` of a segment's flags.
const EXECUTABLE: u32 = 1;

/// A binary's table and what is needed to use it.
#[derive(Debug)]
pub struct Converted {
    /// `symbols.parquet`.
    pub table: Vec<u8>,
    /// Its rows.
    pub rows: u64,
    /// Where the binary's code lies.
    pub layout: Layout,
}

impl Converted {
    /// What is stored of it: where it came from, and when that began and ended (Unix milliseconds).
    pub(crate) fn stored(self, file: FileMetadata, file_bytes: u64, times_ms: (i64, i64)) -> (StoredTable, Bytes) {
        let bytes = Bytes::from(self.table);
        let table = StoredTable {
            file,
            started_at_ms: times_ms.0,
            finished_at_ms: times_ms.1,
            file_bytes,
            rows: self.rows,
            crc32c: format!("{:08x}", crc32c::crc32c(&bytes)),
            layout: self.layout,
        };
        (table, bytes)
    }
}

/// The GNU build id of an ELF file, lower-case hex.
pub fn build_id_of(file: &[u8]) -> Result<Option<String>, ConvertError> {
    Ok(object::File::parse(file)?.build_id()?.map(hex))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the table. `build_id`: lower-case hex; a file that bears another one is refused.
pub fn convert(file: &[u8], build_id: &str, unpacked_bytes_max: u64) -> Result<Converted, ConvertError> {
    let elf = object::File::parse(file)?;
    if let Some(found) = elf.build_id()? {
        let found = hex(found);
        if found != build_id {
            return Err(ConvertError::OtherBinary { claimed: build_id.to_owned(), found });
        }
    }
    let layout = layout(&elf);
    let sections = debug_sections(&elf, unpacked_bytes_max)?;
    let endian = if elf.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let dwarf = sections.borrow(|section| EndianSlice::new(section, endian));
    let symbols = Symbols::of(&elf, &layout);
    let mut boundaries = Boundaries { addresses: symbols.boundaries(), layout: &layout };
    boundaries.of_units(&dwarf)?;
    let mut walk = Walk {
        dwarf: Arc::new(dwarf),
        context: None,
        lookups: 0,
        symbols,
        names: HashMap::new(),
        files: HashSet::new(),
        writer: TableWriter::new()?,
        open: None,
    };
    for pair in boundaries.sorted().windows(2) {
        walk.interval(pair[0], pair[1])?;
    }
    let writer = walk.finish()?;
    let rows = writer.rows();
    if rows == 0 {
        return Err(ConvertError::NoSymbols);
    }
    Ok(Converted { rows, table: writer.finish()?, layout })
}

fn layout(elf: &object::File<'_>) -> Layout {
    let segment = |segment: object::Segment<'_, '_>| {
        let (offset, file_bytes) = segment.file_range();
        let is_executable = matches!(segment.flags(), SegmentFlags::Elf { p_flags, .. } if p_flags.0 & EXECUTABLE != 0);
        Segment { offset, file_bytes, address: segment.address(), memory_bytes: segment.size(), is_executable }
    };
    Layout { is_fixed: elf.kind() == ObjectKind::Executable, segments: elf.segments().map(segment).collect() }
}

fn debug_sections<'a>(
    elf: &object::File<'a>,
    unpacked_bytes_max: u64,
) -> Result<gimli::DwarfSections<Cow<'a, [u8]>>, ConvertError> {
    let mut unpacked = 0;
    gimli::DwarfSections::load(|id| {
        let Some(section) = elf.section_by_name(id.name()) else { return Ok(Cow::Borrowed(&[][..])) };
        unpacked += section.compressed_data()?.uncompressed_size;
        if unpacked > unpacked_bytes_max {
            let what = "bytes of unpacked debug sections";
            return Err(ConvertError::TooLarge { what, found: unpacked, max: unpacked_bytes_max });
        }
        Ok(section.uncompressed_data()?)
    })
}

/// Where frames may change.
struct Boundaries<'a> {
    addresses: Vec<u64>,
    layout: &'a Layout,
}

impl Boundaries<'_> {
    /// Functions that the linker dropped lie at addresses outside of all segments.
    fn range(&mut self, start: u64, end: u64) -> Result<(), ConvertError> {
        if start < end && self.layout.holds(start) {
            self.addresses.extend([start, end]);
        }
        if self.addresses.len() > BOUNDARIES_MAX {
            self.addresses.sort_unstable();
            self.addresses.dedup();
            let found = self.addresses.len();
            if found > BOUNDARIES_MAX / 2 {
                let what = "intervals of the debug information";
                return Err(ConvertError::TooLarge { what, found: found as u64, max: BOUNDARIES_MAX as u64 / 2 });
            }
        }
        Ok(())
    }

    /// Ends of functions and of what was inlined into them, and rows of line programs. What cannot be read is left out.
    fn of_units(&mut self, dwarf: &gimli::Dwarf<Reader<'_>>) -> Result<(), ConvertError> {
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            self.of_lines(&unit)?;
            let mut entries = unit.entries();
            while let Ok(Some(entry)) = entries.next_dfs() {
                if !matches!(entry.tag(), gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine) {
                    continue;
                }
                let Ok(mut ranges) = dwarf.die_ranges(&unit, entry) else { continue };
                while let Ok(Some(range)) = ranges.next() {
                    self.range(range.begin, range.end)?;
                }
            }
        }
        Ok(())
    }

    fn of_lines(&mut self, unit: &gimli::Unit<Reader<'_>>) -> Result<(), ConvertError> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let (mut rows, mut last) = (program.rows(), None);
        while let Ok(Some((_, row))) = rows.next_row() {
            if let Some(last) = last.replace(row.address()) {
                self.range(last, row.address())?;
            }
            if row.end_sequence() {
                last = None;
            }
        }
        Ok(())
    }

    fn sorted(mut self) -> Vec<u64> {
        self.addresses.sort_unstable();
        self.addresses.dedup();
        self.addresses
    }
}

/// Functions of the symbol table: `(start, end, name)` in order, without overlap.
struct Symbols<'a>(Vec<(u64, u64, &'a str)>);

impl<'a> Symbols<'a> {
    fn of(elf: &object::File<'a>, layout: &Layout) -> Self {
        let mut functions: Vec<(u64, u64, &str)> = elf
            .symbols()
            .chain(elf.dynamic_symbols())
            .filter(|symbol| {
                symbol.is_definition() && symbol.kind() == SymbolKind::Text && layout.holds(symbol.address())
            })
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?)))
            .filter(|(_, _, name)| !name.is_empty())
            .collect();
        // Of names for one place the one that says how long it is, then the first: always the same.
        functions.sort_unstable_by_key(|(address, bytes, name)| (*address, std::cmp::Reverse(*bytes), *name));
        functions.dedup_by_key(|(address, _, _)| *address);
        let next: Vec<u64> = functions.iter().skip(1).map(|(start, _, _)| *start).chain([u64::MAX]).collect();
        let end = |start: u64, bytes: u64, next: u64| match bytes {
            // Written by hand: to the next one.
            0 => layout.segments.iter().map(|one| one.address.saturating_add(one.memory_bytes)).fold(
                next,
                |end, segment| {
                    if segment > start { end.min(segment) } else { end }
                },
            ),
            _ => start.saturating_add(bytes).min(next),
        };
        let rows = functions.into_iter().zip(next);
        Self(rows.map(|((start, bytes, name), next)| (start, end(start, bytes, next), name)).collect())
    }

    fn boundaries(&self) -> Vec<u64> {
        self.0.iter().flat_map(|(start, end, _)| [*start, *end]).collect()
    }

    fn at(&self, address: u64) -> Option<&'a str> {
        let after = self.0.partition_point(|(start, _, _)| *start <= address);
        let (_, end, name) = self.0.get(after.checked_sub(1)?)?;
        (address < *end).then_some(name)
    }
}

/// A frame whose texts are shared.
#[derive(Clone, PartialEq, Eq)]
struct Frame {
    /// Demangled, and as the linker has it.
    names: Rc<(String, String)>,
    filename: Rc<str>,
    line: u32,
}

impl Frame {
    fn view(&self) -> FrameView<'_> {
        let (function, system_name) = &*self.names;
        FrameView { function, system_name, filename: &self.filename, line: self.line }
    }
}

/// The last interval, which the next one may lengthen.
struct Open {
    start: u64,
    end: u64,
    frames: Vec<Frame>,
}

struct Walk<'a> {
    dwarf: Arc<gimli::Dwarf<Reader<'a>>>,
    /// Keeps what it has parsed, so that it is made anew now and then. `None` where debug information is damaged: what the symbol
    /// table has is better than nothing.
    context: Option<Context<Reader<'a>>>,
    lookups: usize,
    symbols: Symbols<'a>,
    /// By the linker's name.
    names: HashMap<String, Rc<(String, String)>>,
    files: HashSet<Rc<str>>,
    writer: TableWriter,
    open: Option<Open>,
}

fn name_of(
    names: &mut HashMap<String, Rc<(String, String)>>,
    linker_name: &str,
    language: Option<gimli::DwLang>,
) -> Rc<(String, String)> {
    if let Some(known) = names.get(linker_name) {
        return Rc::clone(known);
    }
    let demangled = addr2line::demangle_auto(Cow::Borrowed(linker_name), language).into_owned();
    let new = Rc::new((demangled, linker_name.to_owned()));
    names.insert(linker_name.to_owned(), Rc::clone(&new));
    new
}

fn shared(files: &mut HashSet<Rc<str>>, name: &str) -> Rc<str> {
    Rc::clone(files.get_or_insert_with(name, |name| name.into()))
}

impl Walk<'_> {
    fn interval(&mut self, start: u64, end: u64) -> Result<(), ConvertError> {
        let frames = self.frames(start);
        if let Some(open) = &mut self.open
            && open.end == start
            && open.frames == frames
        {
            open.end = end;
            return Ok(());
        }
        self.close()?;
        if !frames.is_empty() {
            self.open = Some(Open { start, end, frames });
        }
        Ok(())
    }

    /// Innermost first. What debug information does not name, the symbol table may.
    fn frames(&mut self, address: u64) -> Vec<Frame> {
        let mut out = Vec::new();
        if self.lookups.is_multiple_of(LOOKUPS_OF_CONTEXT) {
            self.context = Context::from_arc_dwarf(Arc::clone(&self.dwarf)).ok();
        }
        self.lookups += 1;
        let Self { context, symbols, names, files, .. } = self;
        let mut found = context.as_ref().and_then(|context| context.find_frames(address).skip_all_loads().ok());
        while let Some(Ok(Some(frame))) = found.as_mut().map(|frames| frames.next())
            && out.len() < DEPTH_MAX
        {
            let name = match &frame.function {
                Some(function) => function.raw_name().ok().map(|name| name_of(names, &name, function.language)),
                None => symbols.at(address).map(|name| name_of(names, name, None)),
            };
            let Some(names) = name else { continue };
            let location = frame.location.as_ref();
            let filename = location.and_then(|location| location.file).unwrap_or_default();
            let line = location.and_then(|location| location.line).unwrap_or_default();
            out.push(Frame { names, filename: shared(files, filename), line });
        }
        if out.is_empty()
            && let Some(name) = symbols.at(address)
        {
            out.push(Frame { names: name_of(names, name, None), filename: shared(files, ""), line: 0 });
        }
        out
    }

    fn close(&mut self) -> Result<(), ConvertError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.writer.interval(open.start, open.end, open.frames.iter().map(Frame::view))?;
        if self.writer.bytes() > TABLE_BYTES_MAX {
            let (what, found) = ("bytes of the table", self.writer.bytes() as u64);
            return Err(ConvertError::TooLarge { what, found, max: TABLE_BYTES_MAX as u64 });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<TableWriter, ConvertError> {
        self.close()?;
        Ok(self.writer)
    }
}
