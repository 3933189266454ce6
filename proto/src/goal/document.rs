//! A goal as a document: `{"KIND": DATA}`, or `"KIND"` where it has no data.
//!
//! The family is no part of it: a goal may move to another one while ledgers and orders of earlier
//! versions hold it.

use std::fmt;

use serde::de::value::{EnumAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, EnumAccess, Error as _, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::table::Family;
use super::{Goal, Kind, KubeadmGoal};

impl Serialize for Goal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Host(goal) => goal.serialize(serializer),
            Self::Runtime(goal) => goal.serialize(serializer),
            Self::Balancer(goal) => goal.serialize(serializer),
            Self::Etcd(goal) => goal.serialize(serializer),
            Self::Kubeadm(_, node) => {
                serializer.serialize_newtype_variant("Goal", 0, self.kind().as_str(), node)
            }
            Self::Cluster(goal) => goal.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Goal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("Goal", &[], Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Goal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a goal")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, document: A) -> Result<Goal, A::Error> {
        let (kind, data) = document.variant::<String>()?;
        let kind = Kind::of(&kind).ok_or_else(|| A::Error::unknown_variant(&kind, &[]))?;
        let goal = OfKind { kind, data };
        match kind.family() {
            Family::Host => goal.read().map(Goal::Host),
            Family::Runtime => goal.read().map(Goal::Runtime),
            Family::Balancer => goal.read().map(Goal::Balancer),
            Family::Etcd => goal.read().map(Goal::Etcd),
            Family::Kubeadm => {
                let phase = KubeadmGoal::deserialize(StrDeserializer::new(kind.as_str()))?;
                goal.data.newtype_variant().map(|node| Goal::Kubeadm(phase, node))
            }
            Family::Cluster => goal.read().map(Goal::Cluster),
        }
    }
}

/// A document of which the kind is read, for the family to read the rest.
struct OfKind<V> {
    kind: Kind,
    data: V,
}

impl<'de, V: VariantAccess<'de>> OfKind<V> {
    fn read<G: Deserialize<'de>>(self) -> Result<G, V::Error> {
        G::deserialize(EnumAccessDeserializer::new(self))
    }
}

impl<'de, V: VariantAccess<'de>> EnumAccess<'de> for OfKind<V> {
    type Error = V::Error;
    type Variant = V;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, V), V::Error> {
        Ok((seed.deserialize(StrDeserializer::new(self.kind.as_str()))?, self.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::{HostGoal, Service};

    #[test]
    fn documents_name_kind_and_no_family() {
        let unit = "kubelet".to_owned();
        let goal = Goal::Host(HostGoal::ServiceRunning(Service { unit }));
        for (goal, document) in [
            (Goal::Host(HostGoal::SwapOff), r#""swap-off""#),
            (goal, r#"{"service-running":{"unit":"kubelet"}}"#),
        ] {
            assert_eq!(serde_json::to_string(&goal).unwrap(), document);
            assert_eq!(serde_json::from_str::<Goal>(document).unwrap(), goal);
        }
    }

    #[test]
    fn every_kind_is_read_by_its_family() {
        for kind in Kind::ALL {
            let document = serde_json::json!({ kind.as_str(): {"unknown": 1} });
            let error = serde_json::from_value::<Goal>(document).unwrap_err().to_string();
            assert!(!error.contains("unknown variant"), "{kind}: {error}");
        }
    }
}
