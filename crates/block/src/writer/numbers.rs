//! A column chunk of integers of which none is missing: straight to the library's column writer. Its way for any Arrow array would first
//! copy the values that are there.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{ArrowNativeType, ScalarBuffer};
use arrow_schema::{DataType, Field};
use parquet::column::writer::{ColumnWriter, get_column_writer};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::pages::PageChunk;

/// Whether [`encode_numbers`] takes the column.
pub(super) fn is_plain_number(field: &Field) -> bool {
    !field.is_nullable() && matches!(field.data_type(), DataType::UInt32 | DataType::UInt64 | DataType::Int64)
}

/// A chunk of such a column, coded as the properties say.
pub(super) fn encode_numbers(
    column: &ColumnDescPtr,
    properties: &WriterPropertiesPtr,
    arrays: &[ArrayRef],
) -> Result<PageChunk> {
    let mut sink = TrackedWrite::new(Vec::new());
    let pages = Box::new(SerializedPageWriter::new(&mut sink));
    let close = match get_column_writer(Arc::clone(column), Arc::clone(properties), pages) {
        ColumnWriter::Int32ColumnWriter(mut writer) => {
            for array in arrays {
                writer.write_batch(&as_signed::<UInt32Type, i32>(array)?, None, None)?;
            }
            writer.close()?
        }
        ColumnWriter::Int64ColumnWriter(mut writer) => {
            for array in arrays {
                let values = match array.data_type() {
                    DataType::Int64 => as_signed::<Int64Type, i64>(array)?,
                    _ => as_signed::<UInt64Type, i64>(array)?,
                };
                writer.write_batch(&values, None, None)?;
            }
            writer.close()?
        }
        _ => return Err(ParquetError::General("not a column of integers".to_owned())),
    };
    Ok(PageChunk { bytes: sink.into_inner()?.into(), close })
}

/// The same bits: Parquet has no unsigned integers, only columns that say they are.
fn as_signed<From: ArrowPrimitiveType, To: ArrowNativeType>(array: &ArrayRef) -> Result<ScalarBuffer<To>> {
    let numbers = array.as_primitive_opt::<From>();
    let numbers = numbers.ok_or_else(|| ParquetError::General(format!("an array of {}", array.data_type())))?;
    Ok(ScalarBuffer::from(numbers.values().inner().clone()))
}
