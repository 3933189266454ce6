//! The daemon `quorate-agent`.

fn main() {}
