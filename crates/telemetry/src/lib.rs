//! PLACEHOLDER telemetry
