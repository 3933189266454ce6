//! What goals of all families promise, and what they refuse.

mod conformance;
mod refusals;
