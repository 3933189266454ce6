//! What the tests of the whole share: a simulated cluster.
