//! PLACEHOLDER ingester
