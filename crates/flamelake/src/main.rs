//! PLACEHOLDER flamelake
fn main() {}
