//! How a run begins, as this version stores it and as earlier ones did.

use quorate_proto::{NodeName, RunId};
use serde::{Deserialize, Serialize};

use crate::procedure::{Procedure, Removal, Title};

/// What the first event of a run says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OfAnyVersion")]
pub struct Began {
    pub run: RunId,
    pub term: u64,
    pub cluster: String,
    /// In the order of the specification.
    pub nodes: Vec<NodeName>,
    pub title: Title,
    /// Milliseconds since 1970, by the coordinator's clock.
    pub started_ms: u64,
}

/// Versions before titles named what tells a run from a bring-up.
#[derive(Deserialize)]
struct OfAnyVersion {
    run: RunId,
    term: u64,
    cluster: String,
    nodes: Vec<NodeName>,
    title: Option<Title>,
    /// The node that the run removes.
    removes: Option<NodeName>,
    /// The run changes the site's roots.
    #[serde(default)]
    rotates: bool,
    started_ms: u64,
}

impl From<OfAnyVersion> for Began {
    fn from(stored: OfAnyVersion) -> Self {
        let OfAnyVersion { run, term, cluster, nodes, title, removes, rotates, started_ms } =
            stored;
        let title = title.unwrap_or_else(|| match removes {
            Some(node) => {
                let removal = Removal { node, addresses: Vec::new(), alive: false };
                Procedure::Remove(removal).title(&cluster)
            }
            None if rotates => Title::rotation(&cluster),
            None => Procedure::BringUp.title(&cluster),
        });
        Self { run, term, cluster, nodes, title, started_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunEvent;

    #[test]
    fn runs_stored_without_a_title_keep_their_words() {
        let title = |with: &str| {
            let json = format!(
                r#"{{"kind":"began","run":"r","term":3,"cluster":"lab","nodes":["cp-1"],{with}"started_ms":1}}"#
            );
            let RunEvent::Began(began) = serde_json::from_str(&json).unwrap() else {
                panic!("{json}")
            };
            let again = serde_json::to_value(&began).unwrap();
            assert_eq!(serde_json::from_value::<Began>(again).unwrap(), began);
            began.title
        };
        assert_eq!(title("").command, "quorate apply");
        let removal = title(r#""removes":"cp-3","#);
        assert_eq!(removal.command, "quorate node remove cp-3");
        assert_eq!(removal.subject.as_ref().map(NodeName::as_str), Some("cp-3"));
        assert_eq!(title(r#""rotates":true,"#).command, "quorate trust rotate");
    }
}
