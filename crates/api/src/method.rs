//! The methods that the public contract names, as data: `rpc` serves from this table what no role has built.

/// One RPC method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// `querier.v1.QuerierService`.
    pub service: &'static str,
    /// `LabelNames`.
    pub name: &'static str,
    /// `/querier.v1.QuerierService/LabelNames`.
    pub path: &'static str,
    /// Marked `NO_SIDE_EFFECTS` in its proto: Connect may call it by GET.
    pub no_side_effects: bool,
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));
