//! Fields appended to messages of others.

use crate::write::{put_bytes, put_varint};

/// Appends a field that is a text or a message to a protobuf message: what repairs of foreign profiles are made of, as of a repeated
/// scalar the last counts.
pub fn append_field(message: &mut Vec<u8>, field: u32, value: FieldValue<'_>) {
    match value {
        FieldValue::Int(value) => {
            put_varint(message, u64::from(field) << 3);
            put_varint(message, value);
        }
        FieldValue::Bytes(bytes) => put_bytes(message, field, bytes),
    }
}

/// What [`append_field`] appends.
#[derive(Clone, Copy, Debug)]
pub enum FieldValue<'a> {
    /// A varint.
    Int(u64),
    /// Text or message.
    Bytes(&'a [u8]),
}
