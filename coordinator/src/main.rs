//! The command line `quorate`.

fn main() {}
