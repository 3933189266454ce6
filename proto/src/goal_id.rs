//! The id of a goal: `etcd-member`, or with a name `node-removed:cp-3`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::goal::Kind;

/// Names a goal among all goals of a node; the same goal has the same id in every plan.
///
/// On the wire, in stores and in logs it is one text. A kind that only an older or a newer version
/// knows must not make a node's facts or a stored run unreadable, so any text is an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum GoalId {
    Known {
        kind: Kind,
        /// Where a node may have several goals of the kind.
        name: Option<String>,
    },
    /// Of a kind that this version does not know.
    Unknown(String),
}

impl GoalId {
    /// The kind, where this version knows it.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Known { kind, .. } => Some(*kind),
            Self::Unknown(_) => None,
        }
    }

    /// What a node does while it works on the goal, such as "joining etcd".
    pub fn doing(&self) -> String {
        match self {
            Self::Known { kind, name } => fill(kind.traits().doing, name.as_deref()),
            Self::Unknown(id) => format!("working on {id}"),
        }
    }
}

/// Puts a name where the text has braces, or what is between them where there is none.
pub(crate) fn fill(text: &str, name: Option<&str>) -> String {
    let Some((before, (unnamed, after))) =
        text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return text.to_owned();
    };
    format!("{before}{}{after}", name.unwrap_or(unnamed))
}

impl From<Kind> for GoalId {
    fn from(kind: Kind) -> Self {
        Self::Known { kind, name: None }
    }
}

impl From<&str> for GoalId {
    fn from(id: &str) -> Self {
        let (kind, name) =
            id.split_once(':').map_or((id, None), |(kind, name)| (kind, Some(name.to_owned())));
        Kind::of(kind)
            .map_or_else(|| Self::Unknown(id.to_owned()), |kind| Self::Known { kind, name })
    }
}

impl From<String> for GoalId {
    fn from(id: String) -> Self {
        Self::from(id.as_str())
    }
}

impl From<GoalId> for String {
    fn from(id: GoalId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for GoalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known { kind, name: None } => write!(f, "{kind}"),
            Self::Known { kind, name: Some(name) } => write!(f, "{kind}:{name}"),
            Self::Unknown(id) => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_as_id() {
        for text in
            ["etcd-member", "node-removed:cp-3", "hosts:", "etcd-defragmented:cp-1", "", ":"]
        {
            let id: GoalId = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&id).unwrap(), text);
        }
    }

    #[test]
    fn id_of_known_kind_is_typed() {
        let named = GoalId::Known { kind: Kind::NodeRemoved, name: Some("cp-3".to_owned()) };
        assert_eq!(GoalId::from("node-removed:cp-3"), named);
        assert_eq!(GoalId::from("etcd-member"), Kind::EtcdMember.into());
        assert_eq!(GoalId::from("etcd-member-2").kind(), None);
    }

    #[test]
    fn words_name_the_subject() {
        let doing = |id: &str| GoalId::from(id).doing();
        assert_eq!(doing("etcd-member"), "joining etcd");
        assert_eq!(doing("node-removed:cp-3"), "deleting node cp-3 and its system pods");
        assert_eq!(doing("network"), "installing the network plugin");
        assert_eq!(doing("etcd-defragmented"), "working on etcd-defragmented");
    }
}
