//! The program's own files about the life of a member, compiled here against a network that is simulated: `remote` stands in the place of
//! the program's file of that name, the others *are* the program's.

#![allow(dead_code, reason = "the program uses more of its files than a simulation does")]

#[path = "../../flamelake/src/cluster/gate.rs"]
pub(crate) mod gate;
#[path = "../../flamelake/src/cluster/members.rs"]
pub(crate) mod members;
#[path = "../../flamelake/src/cluster/recovery.rs"]
pub(crate) mod recovery;
#[path = "../../flamelake/src/cluster/registration.rs"]
pub(crate) mod registration;
pub(crate) mod remote;
