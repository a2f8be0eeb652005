//! One binary for all tests of the system: linking everything once saves minutes. One file a promise; each starts processes of its own.

mod admin;
mod bad_input;
mod bad_store;
mod cluster;
mod cluster_golden;
mod cluster_ledger;
mod cluster_network;
mod connections;
mod damage;
mod dedup;
mod disk_full;
mod duckdb;
mod golden;
mod grpc_clients;
mod ingest;
mod isolation;
mod kill_points;
mod ledger;
mod legacy_http;
mod otlp;
mod own_fixtures;
mod protocols;
mod real_clients;
mod restart;
mod retention;
mod s3;
