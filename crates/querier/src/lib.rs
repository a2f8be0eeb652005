//! PLACEHOLDER querier
