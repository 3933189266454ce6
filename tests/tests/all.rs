//! All tests of the whole in one binary, for one link.

mod enrol;
mod house;
mod scenarios;
mod sim;
