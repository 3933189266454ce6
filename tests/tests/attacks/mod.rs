//! What strangers and mistakes send, by the numbers of the list in docs/SECURITY.md.

mod spec;
