//! Procedures: what a run is to bring about, one file each. Pure: values in, values out.
//!
//! A procedure is its file here, an arm of [`Procedure`], and its command in `cli`.

mod bring_up;
mod cordon;
mod prepare;
mod remove;
mod title;

use quorate_proto::goal::Scheduling;
use quorate_proto::trust::Role;
pub use remove::Removal;
pub use title::Title;

use self::bring_up::BringUp;
use crate::plan::{Blocked, Observed, Outline};
use crate::spec::ClusterSpec;

/// What a run is to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Procedure {
    /// The cluster becomes what the specification says.
    BringUp,
    /// A node that the specification does not name leaves the cluster.
    Remove(Removal),
    /// A node takes new pods, or takes none.
    Cordon(Scheduling),
}

/// What tells one procedure from another; all else is the same for each.
trait Steps {
    /// Returns the words for its runs on a cluster of this name.
    fn title(&self, cluster: &str) -> Title;

    /// The least role of an operator who may carry it out.
    fn least_role(&self) -> Role;

    /// Checks what has to be true before any of its steps is planned.
    ///
    /// # Errors
    /// Names what stands against it, and what a person can do.
    fn preconditions(&self, spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked>;

    /// Lists every step, also those whose goals hold already.
    ///
    /// # Errors
    /// Where the facts leave a decision to a person.
    fn steps(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked>;
}

impl Procedure {
    fn of(&self) -> &dyn Steps {
        match self {
            Self::BringUp => &BringUp,
            Self::Remove(removal) => removal,
            Self::Cordon(scheduling) => scheduling,
        }
    }

    /// Returns the words for its runs on a cluster of this name.
    pub fn title(&self, cluster: &str) -> Title {
        self.of().title(cluster)
    }

    /// The least role of an operator who may carry it out.
    pub fn least_role(&self) -> Role {
        self.of().least_role()
    }

    /// Lists every step that it asks for.
    ///
    /// # Errors
    /// Where something stands against it, or the facts leave a decision to a person.
    pub fn outline(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked> {
        self.of().preconditions(spec, observed)?;
        self.of().steps(spec, observed)
    }
}
