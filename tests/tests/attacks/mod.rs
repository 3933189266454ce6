//! What an attacker would try, or a bad day brings to the doors of agents and coordinators, by the numbers
//! of the security review's list of bad inputs.

mod coordinator;
mod enrolment;
mod unclaimed;
