//! PLACEHOLDER distributor
