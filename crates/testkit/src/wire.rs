//! Just enough of the protobuf wire format to write any message, also broken ones.

/// A LEB128 varint.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A varint field. Negative numbers go in as their two's complement, ten bytes long.
pub fn int(number: u32, value: i64) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3);
    out.extend(varint(value as u64));
    out
}

/// A length-delimited field: text, bytes or a message.
pub fn bytes(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(value.as_ref().len() as u64));
    out.extend_from_slice(value.as_ref());
    out
}

/// A packed list of varints.
pub fn packed(number: u32, values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    bytes(number, values.into_iter().flat_map(varint).collect::<Vec<_>>())
}
