//! PLACEHOLDER store-gateway
