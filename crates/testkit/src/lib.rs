//! PLACEHOLDER testkit
