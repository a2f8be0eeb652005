//! pprof bytes to normalised frames and back. No I/O, no async.

pub mod frame;
