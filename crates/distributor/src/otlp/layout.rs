//! Which layout a request has: a request does not say, but its wire types do.
//!
//! The specification gave new meanings to old numbers (`Sample` field 2: a length in 1.7, values in 1.8 and 1.9, attributes in 1.10), so a
//! request can decode under a layout that it does not have. The same number has another *wire type* in each, which is what is looked at
//! here. Only a request whose samples have nothing but stacks, field 2 and moments is left open (see [`Evidence::None`]).

use bytes::{Buf as _, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::wire::RawExport;

/// Field numbers of opentelemetry-proto's `profiles/v1development`, as tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// 1.7: no table of stacks, several types of values.
    V1_7,
    /// 1.8 and 1.9: `values = 2, attribute_indices = 3, link_index = 4`.
    V1_9,
    /// 1.10: `attribute_indices = 2, link_index = 3, values = 4`.
    V1_10,
}

/// What the wire types of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing, or this and that: 1.7 is ruled out if any sample was seen.
    None,
    Sure(Layout),
}

/// Looks at all profiles until one field tells.
pub(super) fn evidence(raw: &RawExport) -> Evidence {
    let scopes = raw.resource_profiles.iter().flat_map(|resource| &resource.scope_profiles);
    let told = scopes.flat_map(|scope| &scope.profiles).find_map(|profile| of_profile(profile.clone()));
    told.map_or(Evidence::None, Evidence::Sure)
}

fn of_profile(mut bytes: Bytes) -> Option<Layout> {
    while bytes.has_remaining() {
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        let told = match (tag, wire_type) {
            (2, WireType::LengthDelimited) => of_sample(message(&mut bytes)?),
            // Indexes of locations and times of 1.7; later 3 is a fixed time, 5 and 6 are the period.
            (3 | 6, WireType::LengthDelimited) | (5, WireType::Varint) => Some(Layout::V1_7),
            _ => None,
        };
        if told.is_some() {
            return told;
        }
        if (tag, wire_type) != (2, WireType::LengthDelimited) {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).ok()?;
        }
    }
    None
}

/// Lists are packed by every encoder of proto3.
fn of_sample(mut bytes: Bytes) -> Option<Layout> {
    while bytes.has_remaining() {
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        match (tag, wire_type) {
            (2, WireType::Varint) | (5, WireType::Varint) | (6, _) => return Some(Layout::V1_7),
            (3, WireType::LengthDelimited) | (4, WireType::Varint) => return Some(Layout::V1_9),
            (3, WireType::Varint) | (4, WireType::LengthDelimited) => return Some(Layout::V1_10),
            _ => skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).ok()?,
        }
    }
    None
}

fn message(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    (length <= bytes.remaining()).then(|| bytes.split_to(length))
}
