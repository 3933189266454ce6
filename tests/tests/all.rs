//! All tests of the whole in one binary, for one link.

mod house;
mod scenarios;
mod sim;
