//! `quorate init`: makes the state folder of a new site.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::site::{ROOT_KEYS, Site, SiteError};

/// Makes the state folder of a new site: its roots and its store
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder to make; it will hold the keys that command every node
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    pub state: PathBuf,
    /// Writes the keys of the roots there, such as to a medium that is kept in a safe
    ///
    /// Only a change of who is trusted needs them, and once a year the issuing authorities.
    #[arg(long, value_name = "DIR")]
    pub root_keys: Option<PathBuf>,
}

impl InitArgs {
    /// Gives what to tell the person.
    pub fn run(&self, now: SystemTime) -> Result<String, SiteError> {
        let site = Site::create_apart(&self.state, self.root_keys.as_deref(), now)?;
        let keys = self.root_keys.clone().unwrap_or_else(|| self.state.join(ROOT_KEYS));
        let folder = self.state.display();
        Ok(format!(
            "made site {} in {folder}\n\
             Keep this folder private and back it up: its keys command every node of the site.\n\
             The roots' own keys are in {}: they can be moved to a medium in a safe.\n\
             next: `quorate node token NAME` for each node, and `quorate serve` while they enrol\n",
            site.id(),
            keys.display()
        ))
    }
}
