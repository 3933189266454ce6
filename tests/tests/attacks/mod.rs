//! What strangers and mistakes send, by the numbers of the list in docs/SECURITY.md.

mod agent;
mod certificates;
mod coordinator;
mod enrolment;
mod protocol;
mod spec;
mod unclaimed;
