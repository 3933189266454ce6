//! All tests of the whole in one binary, for one link.

mod enrol;
