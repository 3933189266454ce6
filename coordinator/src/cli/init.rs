//! `quorate init`: makes the state folder of a new site.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::site::{Site, SiteError};

/// Makes the state folder of a new site: its roots and its store
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder to make; it will hold the keys that command every node
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    pub state: PathBuf,
}

impl InitArgs {
    /// Gives what to tell the person.
    pub fn run(&self, now: SystemTime) -> Result<String, SiteError> {
        let site = Site::create(&self.state, now)?;
        let folder = self.state.display();
        Ok(format!(
            "made site {} in {folder}\n\
             Keep this folder private and back it up: its keys command every node of the site.\n\
             next: `quorate node token NAME` for each node, and `quorate serve` while they enrol\n",
            site.id()
        ))
    }
}
