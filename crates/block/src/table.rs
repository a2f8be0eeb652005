//! The seven tables and two that a block may have: names, columns, types and how each column is coded. One list for the writer and the reader.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

use crate::meta::{PartitionTables, RowRange};

/// One table, one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Series,
    Profiles,
    Samples,
    Stacks,
    FunctionStacks,
    Frames,
    Functions,
    Rollups,
    RollupSamples,
}

/// How the writer codes a column; readers need not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Few distinct values, or long runs.
    Dictionary,
    /// Integers that mostly rise by small steps.
    Delta,
    /// Texts in order.
    DeltaText,
    /// Random bytes.
    Plain,
    /// Integers of which only a trial tells.
    Measured,
}

pub(crate) const TABLES: [Table; 7] = [
    Table::Functions,
    Table::Frames,
    Table::FunctionStacks,
    Table::Stacks,
    Table::Samples,
    Table::Profiles,
    Table::Series,
];

/// Only merged blocks have them, and older ones have not.
pub(crate) const OPTIONAL_TABLES: [Table; 2] = [Table::RollupSamples, Table::Rollups];

/// Lengths of rollups in seconds, the longest first.
pub(crate) const ROLLUP_STEPS_S: [u32; 2] = [3600, 300];

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Profiles => "profiles",
            Self::Samples => "samples",
            Self::Stacks => "stacks",
            Self::FunctionStacks => "fnstacks",
            Self::Frames => "frames",
            Self::Functions => "functions",
            Self::Rollups => "rollups",
            Self::RollupSamples => "rollup_samples",
        }
    }

    pub(crate) fn file_name(self) -> String {
        format!("{}.parquet", self.name())
    }

    /// A partition's rows of this table.
    pub(crate) fn rows(self, tables: &PartitionTables) -> RowRange {
        match self {
            Self::Series => tables.series,
            Self::Profiles => tables.profiles,
            Self::Samples => tables.samples,
            Self::Stacks => tables.stacks,
            Self::FunctionStacks => tables.fnstacks,
            Self::Frames => tables.frames,
            Self::Functions => tables.functions,
            Self::Rollups => tables.rollups,
            Self::RollupSamples => tables.rollup_samples,
        }
    }

    /// Sets a partition's rows of this table.
    pub(crate) fn set_rows(self, tables: &mut PartitionTables, rows: RowRange) {
        match self {
            Self::Series => tables.series = rows,
            Self::Profiles => tables.profiles = rows,
            Self::Samples => tables.samples = rows,
            Self::Stacks => tables.stacks = rows,
            Self::FunctionStacks => tables.fnstacks = rows,
            Self::Frames => tables.frames = rows,
            Self::Functions => tables.functions = rows,
            Self::Rollups => tables.rollups = rows,
            Self::RollupSamples => tables.rollup_samples = rows,
        }
    }

    pub(crate) fn schema(self) -> SchemaRef {
        let fields = self.columns().into_iter().map(|(field, _)| field).collect::<Vec<_>>();
        Arc::new(Schema::new(fields))
    }

    /// Columns in order with their coding.
    pub(crate) fn columns(self) -> Vec<(Field, Coding)> {
        use Coding::{Delta, DeltaText, Dictionary, Measured, Plain};
        use DataType::{Boolean, Int64, UInt8, UInt16, UInt32, UInt64, Utf8};
        let column = |name: &str, kind: DataType, coding| (Field::new(name, kind, false), coding);
        let optional = |name: &str, kind: DataType, coding| (Field::new(name, kind, true), coding);
        match self {
            Self::Series => vec![
                column("part", UInt16, Dictionary),
                column("series", UInt32, Delta),
                column("service_name", Utf8, Dictionary),
                column("profile_type", Utf8, Dictionary),
                column("labels", labels_type(), Dictionary),
                column("min_time_ns", Int64, Delta),
                column("max_time_ns", Int64, Delta),
                column("first_profile", UInt32, Delta),
                column("profiles", UInt32, Dictionary),
                column("samples", UInt64, Dictionary),
                column("total", Int64, Plain),
                column("scale", Int64, Dictionary),
            ],
            Self::Profiles => vec![
                column("part", UInt16, Dictionary),
                column("series", UInt32, Delta),
                column("profile", UInt32, Delta),
                column("time_ns", Int64, Measured),
                column("profile_id", DataType::FixedSizeBinary(16), Plain),
                column("duration_ns", Int64, Dictionary),
                column("period", Int64, Dictionary),
                column("total", Int64, Measured),
                column("first_sample", UInt64, Delta),
                column("samples", UInt32, Measured),
            ],
            Self::Samples => vec![
                column("part", UInt16, Dictionary),
                column("series", UInt32, Delta),
                column("profile", UInt32, Delta),
                column("stack", UInt32, Measured),
                column("value", Int64, Measured),
                optional("span_id", UInt64, Plain),
                optional("trace_id", DataType::FixedSizeBinary(16), Dictionary),
            ],
            Self::Stacks => vec![
                column("part", UInt16, Dictionary),
                column("stack", UInt32, Delta),
                column("up", UInt32, Measured),
                column("size", UInt32, Measured),
                column("location", UInt32, Measured),
                column("fnstack", UInt32, Measured),
            ],
            Self::FunctionStacks => vec![
                column("part", UInt16, Dictionary),
                column("fnstack", UInt32, Delta),
                column("up", UInt32, Measured),
                column("size", UInt32, Measured),
                column("function", UInt32, Measured),
            ],
            Self::Frames => vec![
                column("part", UInt16, Dictionary),
                column("location", UInt32, Delta),
                column("inline_index", UInt32, Dictionary),
                optional("function", UInt32, Dictionary),
                optional("line", Int64, Dictionary),
                column("address", UInt64, Measured),
                column("is_folded", Boolean, Plain),
                column("mapping_start", UInt64, Dictionary),
                column("mapping_limit", UInt64, Dictionary),
                column("mapping_offset", UInt64, Dictionary),
                column("mapping_file", Utf8, Dictionary),
                column("mapping_build_id", Utf8, Dictionary),
                column("mapping_flags", UInt8, Dictionary),
            ],
            Self::Functions => vec![
                column("part", UInt16, Dictionary),
                column("function", UInt32, Delta),
                column("name", Utf8, DeltaText),
                optional("system_name", Utf8, DeltaText),
                column("filename", Utf8, Dictionary),
                column("start_line", Int64, Dictionary),
            ],
            Self::Rollups => vec![
                column("part", UInt16, Dictionary),
                column("series", UInt32, Delta),
                column("step_s", UInt32, Dictionary),
                column("time_ns", Int64, Delta),
                column("profiles", UInt32, Measured),
                column("first_sample", UInt64, Delta),
                column("samples", UInt32, Measured),
            ],
            Self::RollupSamples => vec![
                column("part", UInt16, Dictionary),
                column("stack", UInt32, Measured),
                column("value", Int64, Measured),
            ],
        }
    }
}

/// Names inside the map of labels: those of the Parquet specification.
pub(crate) const MAP_NAMES: [&str; 3] = ["key_value", "key", "value"];

fn labels_type() -> DataType {
    let [entry, key, value] = MAP_NAMES;
    let fields = Fields::from(vec![Field::new(key, DataType::Utf8, false), Field::new(value, DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new(entry, DataType::Struct(fields), false)), false)
}

/// Bits of `frames.mapping_flags`.
pub(crate) mod mapping_flag {
    pub(crate) const FUNCTIONS: u8 = 1;
    pub(crate) const FILENAMES: u8 = 2;
    pub(crate) const LINE_NUMBERS: u8 = 4;
    pub(crate) const INLINE_FRAMES: u8 = 8;
}
