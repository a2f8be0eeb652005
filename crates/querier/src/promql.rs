//! PromQL over profiles: a read API as Prometheus has it, so that dashboards and alert rules can ask for what functions cost.
//!
//! The way of a query: [`http`] takes it, [`parse`] makes a tree, [`plan`] says what must be read, [`source`] reads it by the questions that every
//! other query asks too, [`eval`] computes all moments at once, [`document`] writes the answer. Which series there are says [`metrics`]. Where
//! this differs from Prometheus (a profile's value is the amount of its own time, not a counter) says [`over_time`].

mod ast;
mod parse;
mod functions;
mod metrics;
mod plan;
mod source;
mod values;
mod eval;
mod call;
mod calendar;
mod over_time;
mod aggregate;
mod binary;
mod query;
mod document;
mod params;
mod labels;
mod federate;
mod http;

#[cfg(test)]
mod tests;
