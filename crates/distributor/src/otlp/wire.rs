//! The messages of the newest layout (opentelemetry-proto 1.10), as far as they are used. `RawExport` leaves undecoded what differs between
//! layouts.

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{json, json_request};

/// Declares messages that are read from protobuf and from JSON.
macro_rules! messages {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $kind:ty),* $(,)? })*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, PartialEq, Message, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub(crate) struct $name { $($(#[$field_attribute])* pub(crate) $field: $kind),* }
        )*
    };
}

messages! {
    Export {
        #[prost(message, repeated, tag = "1")]
        resource_profiles: Vec<ResourceProfiles>,
        #[prost(message, optional, tag = "2")]
        dictionary: Option<Dictionary>,
    }
    ResourceProfiles {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_profiles: Vec<ScopeProfiles>,
    }
    ScopeProfiles {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        profiles: Vec<Profile>,
    }
    Resource {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }
    Scope {
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue>,
    }
    KeyValue {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }
    /// Kinds of values that become labels; the others are left out.
    AnyValue {
        #[prost(string, optional, tag = "1")]
        string_value: Option<String>,
        #[prost(int64, optional, tag = "3")]
        #[serde(deserialize_with = "json::optional_number")]
        int_value: Option<i64>,
        #[prost(message, optional, tag = "5")]
        array_value: Option<ArrayValue>,
    }
    ArrayValue {
        #[prost(message, repeated, tag = "1")]
        values: Vec<Element>,
    }
    /// A value inside an array: one level is all that is looked at.
    Element {
        #[prost(string, optional, tag = "1")]
        string_value: Option<String>,
        #[prost(int64, optional, tag = "3")]
        #[serde(deserialize_with = "json::optional_number")]
        int_value: Option<i64>,
    }
    Dictionary {
        #[prost(message, repeated, tag = "1")]
        mapping_table: Vec<Mapping>,
        #[prost(message, repeated, tag = "2")]
        location_table: Vec<Location>,
        #[prost(message, repeated, tag = "3")]
        function_table: Vec<Function>,
        #[prost(message, repeated, tag = "4")]
        link_table: Vec<Link>,
        #[prost(string, repeated, tag = "5")]
        string_table: Vec<String>,
        #[prost(message, repeated, tag = "6")]
        attribute_table: Vec<Attribute>,
        #[prost(message, repeated, tag = "7")]
        stack_table: Vec<Stack>,
    }
    Mapping {
        #[prost(uint64, tag = "1")]
        #[serde(deserialize_with = "json::number")]
        memory_start: u64,
        #[prost(uint64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        memory_limit: u64,
        #[prost(uint64, tag = "3")]
        #[serde(deserialize_with = "json::number")]
        file_offset: u64,
        #[prost(int32, tag = "4")]
        filename_strindex: i32,
        #[prost(int32, repeated, tag = "5")]
        attribute_indices: Vec<i32>,
    }
    Location {
        #[prost(int32, tag = "1")]
        mapping_index: i32,
        #[prost(uint64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        address: u64,
        #[prost(message, repeated, tag = "3")]
        #[serde(alias = "line")]
        lines: Vec<Line>,
        #[prost(int32, repeated, tag = "4")]
        attribute_indices: Vec<i32>,
    }
    Line {
        #[prost(int32, tag = "1")]
        function_index: i32,
        #[prost(int64, tag = "2")]
        #[serde(deserialize_with = "json::number")]
        line: i64,
    }
    Function {
        #[prost(int32, tag = "1")]
        name_strindex: i32,
        #[prost(int32, tag = "2")]
        system_name_strindex: i32,
        #[prost(int32, tag = "3")]
        filename_strindex: i32,
        #[prost(int64, tag = "4")]
        #[serde(deserialize_with = "json::number")]
        start_line: i64,
    }
    Link {
        #[prost(bytes = "vec", tag = "1")]
        #[serde(deserialize_with = "json::bytes")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(deserialize_with = "json::bytes")]
        span_id: Vec<u8>,
    }
    /// `KeyValueAndUnit` of the specification, without the unit.
    Attribute {
        #[prost(int32, tag = "1")]
        key_strindex: i32,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }
    Stack {
        #[prost(int32, repeated, tag = "1")]
        location_indices: Vec<i32>,
    }
    Profile {
        #[prost(message, optional, tag = "1")]
        sample_type: Option<ValueType>,
        #[prost(message, repeated, tag = "2")]
        #[serde(alias = "sample")]
        samples: Vec<Sample>,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "json::number")]
        time_unix_nano: u64,
        #[prost(uint64, tag = "4")]
        #[serde(deserialize_with = "json::number")]
        duration_nano: u64,
        #[prost(message, optional, tag = "5")]
        period_type: Option<ValueType>,
        #[prost(int64, tag = "6")]
        #[serde(deserialize_with = "json::number")]
        period: i64,
        #[prost(int32, repeated, tag = "11")]
        attribute_indices: Vec<i32>,
    }
    ValueType {
        #[prost(int32, tag = "1")]
        type_strindex: i32,
        #[prost(int32, tag = "2")]
        unit_strindex: i32,
    }
    Sample {
        #[prost(int32, tag = "1")]
        stack_index: i32,
        #[prost(int32, repeated, tag = "2")]
        attribute_indices: Vec<i32>,
        #[prost(int32, tag = "3")]
        link_index: i32,
        #[prost(int64, repeated, tag = "4")]
        #[serde(deserialize_with = "json::numbers")]
        values: Vec<i64>,
        #[prost(fixed64, repeated, tag = "5")]
        #[serde(deserialize_with = "json::numbers")]
        timestamps_unix_nano: Vec<u64>,
    }
}

/// [`RawExport::told`]: JSON with names of 1.7.
pub(super) const TOLD_1_7: u32 = 7;
/// [`RawExport::told`]: JSON with names of 1.8 or later.
pub(super) const TOLD_1_10: u32 = 10;

/// A request whose profiles and tables are not decoded yet.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(from = "json_request::Request")]
pub(crate) struct RawExport {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource_profiles: Vec<RawResourceProfiles>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) dictionary: Option<Bytes>,
    /// Not of the specification: the layout, where JSON told it. 0 = the wire types tell.
    #[prost(uint32, tag = "1000")]
    pub(crate) told: u32,
}

/// See [`RawExport`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawResourceProfiles {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scope_profiles: Vec<RawScopeProfiles>,
}

/// See [`RawExport`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawScopeProfiles {
    #[prost(message, optional, tag = "1")]
    pub(crate) scope: Option<Scope>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) profiles: Vec<Bytes>,
}

/// Says only what was left out: what is wrong with a whole request is an error.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// Some profiles were stored and some can never be: sending them again would not help.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    #[serde(serialize_with = "json::text")]
    pub(crate) rejected_profiles: i64,
    #[prost(string, tag = "2")]
    pub(crate) error_message: String,
}
