//! The lab of real nodes, for tests of the whole: runs of the real `quorate`, faults at chosen moments, and
//! watchers that tell how long a cluster stood still. The nodes themselves are the lab's scripts.

mod fault;
mod journey;
mod leaks;
mod matrix;
mod moment;
mod run;
mod site;
mod strikes;
mod table;
mod watch;

pub use fault::Fault;
pub use journey::{Journey, Stage};
pub use leaks::leaks;
pub use matrix::{crash_matrix, names, sample};
pub use moment::Moment;
pub use run::{Run, RunEnd};
pub use site::{Lab, Nodes, text};
pub use table::{Row, Table};
pub use watch::{Watch, Watcher};
