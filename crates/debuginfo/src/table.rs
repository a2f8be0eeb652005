//! `symbols.parquet`: frames of intervals of addresses. Written in order, read by row group.

use std::sync::Arc;

use arrow_array::builder::{StringDictionaryBuilder, UInt16Builder, UInt32Builder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;

use crate::error::ConvertError;

/// Rows of a group, about: it ends with the interval in which it grows so large.
const GROUP_ROWS: usize = 65_536;

/// One frame of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameView<'a> {
    pub(crate) function: &'a str,
    /// The same as the function if the linker's name is no other.
    pub(crate) system_name: &'a str,
    /// Empty if unknown.
    pub(crate) filename: &'a str,
    /// 0 if unknown.
    pub(crate) line: u32,
}

fn schema() -> Schema {
    let text = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Schema::new(vec![
        Field::new("start", DataType::UInt64, false),
        Field::new("end", DataType::UInt64, false),
        Field::new("depth", DataType::UInt16, false),
        Field::new("function", text(), false),
        Field::new("system_name", text(), true),
        Field::new("filename", text(), true),
        Field::new("line", DataType::UInt32, true),
    ])
}

/// Takes intervals in order.
pub(crate) struct TableWriter {
    file: ArrowWriter<Vec<u8>>,
    schema: Arc<Schema>,
    group: GroupBuilder,
    rows: u64,
}

#[derive(Default)]
struct GroupBuilder {
    starts: UInt64Builder,
    ends: UInt64Builder,
    depths: UInt16Builder,
    functions: StringDictionaryBuilder<Int32Type>,
    system_names: StringDictionaryBuilder<Int32Type>,
    filenames: StringDictionaryBuilder<Int32Type>,
    lines: UInt32Builder,
}

impl TableWriter {
    pub(crate) fn new() -> Result<Self, ConvertError> {
        let schema = Arc::new(schema());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(usize::MAX >> 1))
            .build();
        let file = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
        Ok(Self { file, schema, group: GroupBuilder::default(), rows: 0 })
    }

    /// The next interval `[start, end)`, its frames from the innermost on.
    pub(crate) fn interval<'a>(
        &mut self,
        start: u64,
        end: u64,
        frames: impl Iterator<Item = FrameView<'a>>,
    ) -> Result<(), ConvertError> {
        let group = &mut self.group;
        for (depth, frame) in frames.enumerate() {
            group.starts.append_value(start);
            group.ends.append_value(end);
            group.depths.append_value(u16::try_from(depth).unwrap_or(u16::MAX));
            group.functions.append(frame.function)?;
            group.system_names.append_option((frame.system_name != frame.function).then_some(frame.system_name));
            group.filenames.append_option(Some(frame.filename).filter(|name| !name.is_empty()));
            group.lines.append_option(Some(frame.line).filter(|line| *line > 0));
            self.rows += 1;
        }
        if group.starts.values_slice().len() >= GROUP_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        self.file.bytes_written()
    }

    fn flush(&mut self) -> Result<(), ConvertError> {
        let mut group = std::mem::take(&mut self.group);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(group.starts.finish()),
            Arc::new(group.ends.finish()),
            Arc::new(group.depths.finish()),
            Arc::new(group.functions.finish()),
            Arc::new(group.system_names.finish()),
            Arc::new(group.filenames.finish()),
            Arc::new(group.lines.finish()),
        ];
        self.file.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        Ok(self.file.flush()?)
    }

    /// The file.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, ConvertError> {
        self.flush()?;
        Ok(self.file.into_inner()?)
    }
}

/// An opened table. Its bytes were checked before.
#[derive(Debug)]
pub(crate) struct Table {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    /// First address of each group.
    firsts: Vec<u64>,
}

impl Table {
    pub(crate) fn open(bytes: Bytes) -> Result<Self, ParquetError> {
        let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())?;
        let first = |group: &parquet::file::metadata::RowGroupMetaData| match group
            .columns()
            .first()
            .and_then(|column| column.statistics())
        {
            Some(Statistics::Int64(starts)) => starts.min_opt().map(|first| *first as u64),
            _ => None,
        };
        let firsts: Option<Vec<u64>> = metadata.metadata().row_groups().iter().map(first).collect();
        let firsts = firsts.ok_or_else(|| ParquetError::General("a group does not say where it starts".to_owned()))?;
        Ok(Self { bytes, metadata, firsts })
    }

    /// The group that an address falls into, if it is in the table.
    pub(crate) fn group_of(&self, address: u64) -> Option<usize> {
        self.firsts.partition_point(|first| *first <= address).checked_sub(1)
    }

    /// Decodes a group.
    pub(crate) fn group(&self, group: usize) -> Result<Group, ParquetError> {
        let rows = self.metadata.metadata().row_group(group).num_rows();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(usize::try_from(rows).unwrap_or(0))
            .build()?
            .next()
            .transpose()?;
        let batch = reader.ok_or_else(|| ParquetError::General(format!("group {group} is empty")))?;
        Ok(Group::of(&batch)?)
    }

    /// Memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.metadata.metadata().memory_size()
    }
}

/// Rows of one group.
#[derive(Debug)]
pub(crate) struct Group {
    starts: UInt64Array,
    ends: UInt64Array,
    functions: Texts,
    system_names: Texts,
    filenames: Texts,
    lines: UInt32Array,
}

#[derive(Debug)]
struct Texts {
    rows: DictionaryArray<Int32Type>,
    values: StringArray,
}

impl Texts {
    fn get(&self, row: usize) -> Option<&str> {
        self.rows.key(row).map(|key| self.values.value(key))
    }

    fn memory_bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }
}

impl Group {
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("column {name} is missing")))
        };
        let other = |name: &str| ArrowError::SchemaError(format!("column {name} has another type"));
        let addresses = |name: &str| column(name)?.as_primitive_opt::<UInt64Type>().cloned().ok_or_else(|| other(name));
        let texts = |name: &str| {
            let rows = column(name)?.as_dictionary_opt::<Int32Type>().cloned().ok_or_else(|| other(name))?;
            let values = rows.values().as_string_opt::<i32>().cloned().ok_or_else(|| other(name))?;
            Ok::<_, ArrowError>(Texts { rows, values })
        };
        Ok(Self {
            starts: addresses("start")?,
            ends: addresses("end")?,
            functions: texts("function")?,
            system_names: texts("system_name")?,
            filenames: texts("filename")?,
            lines: column("line")?.as_primitive_opt::<UInt32Type>().cloned().ok_or_else(|| other("line"))?,
        })
    }

    /// Frames of an address, innermost first; none if no interval holds it.
    pub(crate) fn frames(&self, address: u64) -> impl Iterator<Item = FrameView<'_>> {
        let starts = self.starts.values();
        let end = starts.partition_point(|start| *start <= address);
        let start = end.checked_sub(1).map_or(0, |last| starts.partition_point(|start| *start < starts[last]));
        let rows = if start < end && address < self.ends.value(start) { start..end } else { 0..0 };
        rows.map(|row| {
            let function = self.functions.get(row).unwrap_or_default();
            FrameView {
                function,
                system_name: self.system_names.get(row).unwrap_or(function),
                filename: self.filenames.get(row).unwrap_or_default(),
                line: if self.lines.is_null(row) { 0 } else { self.lines.value(row) },
            }
        })
    }

    /// Memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.starts.get_array_memory_size() * 2
            + self.lines.get_array_memory_size()
            + [&self.functions, &self.system_names, &self.filenames]
                .iter()
                .map(|texts| texts.memory_bytes())
                .sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found() {
        let mut writer = TableWriter::new().unwrap();
        let names: Vec<String> = (0..50_000).map(|at| format!("function {at}")).collect();
        for (at, name) in names.iter().enumerate() {
            let start = 0x1000 + at as u64 * 16;
            let inner = FrameView { function: "inlined", system_name: "_inlined", filename: "a.h", line: at as u32 };
            let outer = FrameView { function: name, system_name: name, filename: "", line: 0 };
            // Twelve bytes, then a gap of four.
            writer.interval(start, start + 12, [inner, outer].into_iter()).unwrap();
        }
        assert_eq!(writer.rows(), 100_000);
        let table = Table::open(writer.finish().unwrap().into()).unwrap();
        assert_eq!(table.firsts.len(), 2);
        let at = |address| {
            let group = table.group_of(address).map(|group| table.group(group).unwrap());
            let frames = |group: Group| -> Vec<(String, u32)> {
                group.frames(address).map(|frame| (frame.function.to_owned(), frame.line)).collect()
            };
            group.map(frames).unwrap_or_default()
        };
        for index in [0, 1, 32_767, 32_768, 49_999] {
            let start = 0x1000 + index * 16;
            let expected = vec![("inlined".to_owned(), index as u32), (format!("function {index}"), 0)];
            assert_eq!(at(start), expected);
            assert_eq!(at(start + 11), expected);
            assert_eq!(at(start + 12), [], "a gap");
        }
        assert_eq!(at(0), []);
        assert_eq!(at(0xfff), []);
        assert_eq!(at(u64::MAX), []);
    }
}
