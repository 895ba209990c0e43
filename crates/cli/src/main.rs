//! The `taskwright` command.
fn main() {}
