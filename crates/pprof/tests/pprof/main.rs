//! The crate from outside: input → output, laws, and real profiles.

mod support;
mod message;
mod inflate;
mod validate;
mod normalise;
mod split;
mod go;
mod codec;
mod oracle;
mod builder;
mod corpus;
mod fuzz;
