//! The change of both roots, with overlap. Where it stands is read from the bundle, from the authorities and
//! from the nodes, so it may be killed anywhere and run again.
//!
//! First all nodes are told of the new roots. Then the site works with them, and the nodes get
//! certificates of theirs. The old roots go last, and only if that is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use quorate_proto::NodeName;
use quorate_proto::trust::RootsPem;
use serde::Serialize;

use super::folder::alone;
use super::keys::{
    keep, keep_next_root_keys, load_pem, load_root_keys, root_keys_folder, root_keys_of,
    settle_root_keys,
};
use super::{NodeCall, Site, SiteError, renew_all, trust};
use crate::fleet::Pushed;
use crate::spec::ClusterSpec;
use crate::store::seconds;

/// How far a change of roots is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// One root of each kind: nothing changes.
    Standby,
    /// Nodes are told of the new roots; everything is still signed below the old ones.
    Announced,
    /// Everything is signed below the new roots; the old ones are still trusted.
    InUse,
}

/// Takes what was done, at a node or to the site itself, before anything further is.
pub type Tell<'a> = dyn FnMut(Option<NodeName>, String) -> Result<(), SiteError> + Send + 'a;

/// A change of roots.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    pub state: &'a Path,
    pub spec: &'a ClusterSpec,
    pub root_keys: Option<&'a Path>,
    /// Nodes that are not waited for. They have to be enrolled anew.
    pub without: &'a BTreeSet<NodeName>,
    /// The old roots may go.
    pub retire: bool,
}

/// Where it stands when it goes no further by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// There is one root of each kind, and every node knows.
    Whole,
    /// All is ready for the old roots to go.
    Overlaps,
    /// These nodes are waited for, and why.
    Waits(Phase, BTreeMap<NodeName, String>),
}

impl Rotation<'_> {
    /// Where it stands and who is waited for there. Changes nothing.
    pub async fn look(
        &self,
        now: SystemTime,
    ) -> Result<(Phase, BTreeMap<NodeName, String>), SiteError> {
        let site = Site::open(self.state)?;
        let phase = site.phase()?;
        let (newest, _) = site.bundle()?;
        let mut late = self.strangers(&site, now)?;
        for (node, answer) in site.run_calls(self.spec, now)?.statuses().await {
            match answer {
                Err(error) => drop(late.insert(node, error.why())),
                Ok(status) if status.generation < newest.generation => {
                    let why = format!("it keeps generation {}", status.generation);
                    late.insert(node, why);
                }
                Ok(_) => {}
            }
        }
        if phase == Phase::InUse {
            for (node, why) in self.behind(&site, now).await? {
                late.entry(node).or_insert(why);
            }
        }
        late.retain(|node, _| !self.without.contains(node));
        Ok((phase, late))
    }

    /// Goes as far as the nodes let it.
    pub async fn go(&self, now: SystemTime, tell: &mut Tell<'_>) -> Result<Rotated, SiteError> {
        loop {
            // Whatever a step changed is read anew.
            let site = Arc::new(Site::open(self.state)?);
            let phase = site.phase()?;
            if phase == Phase::Standby && !self.retire {
                site.announce(self.root_keys, now)?;
                let text = "new roots are made; the old ones sign until every node knows them";
                tell(None, text.to_owned())?;
                continue;
            }
            let mut late = self.strangers(&site, now)?;
            late.extend(self.push(&site, now, tell).await?);
            if phase == Phase::InUse {
                self.renew(&site, now, tell).await?;
                for (node, why) in self.behind(&site, now).await? {
                    late.entry(node).or_insert(why);
                }
            }
            late.retain(|node, _| !self.without.contains(node));
            if !late.is_empty() {
                for (node, why) in &late {
                    tell(Some(node.clone()), format!("is waited for: {why}"))?;
                }
                return Ok(Rotated::Waits(phase, late));
            }
            match phase {
                Phase::Standby => {
                    settle_root_keys(&site.root_keys(self.root_keys), &site.roots.to_pem())?;
                    let text = "the site has one root of each kind, and every node knows";
                    tell(None, text.to_owned())?;
                    return Ok(Rotated::Whole);
                }
                Phase::Announced => {
                    let void = site.use_new(self.root_keys, now)?;
                    tell(
                        None,
                        "every node knows the new roots: these sign from now on".to_owned(),
                    )?;
                    for node in void {
                        let text = format!(
                            "the join token of {node} pins the old root and is void: `quorate node token \
                             {node}` makes another"
                        );
                        tell(None, text)?;
                    }
                }
                Phase::InUse if self.retire => {
                    site.retire(self.root_keys, now)?;
                    tell(None, "the old roots are not trusted any more".to_owned())?;
                }
                Phase::InUse => {
                    let text = "every node works with the new roots: issue credentials for other \
                                machines again, then `quorate trust rotate --retire` removes the old roots";
                    tell(None, text.to_owned())?;
                    return Ok(Rotated::Overlaps);
                }
            }
        }
    }

    /// Nodes that hold a certificate of the site and cannot be told of anything, as the specification
    /// does not say where they are.
    fn strangers(
        &self,
        site: &Site,
        now: SystemTime,
    ) -> Result<BTreeMap<NodeName, String>, SiteError> {
        let held = site.store()?.node_certificates().map_err(SiteError::Store)?;
        let alive = held.into_iter().filter(|held| {
            let named = self.spec.nodes.iter().any(|node| node.name == held.node);
            held.state.is_of_use() && held.not_after >= seconds(now) && !named
        });
        let why = "it has a certificate of this site, and this specification does not name it";
        Ok(alive.map(|held| (held.node, why.to_owned())).collect())
    }

    /// Who does not keep the newest bundle now.
    async fn push(
        &self,
        site: &Site,
        now: SystemTime,
        tell: &mut Tell<'_>,
    ) -> Result<BTreeMap<NodeName, String>, SiteError> {
        let (newest, signed) = site.bundle()?;
        let calls = site.run_calls(self.spec, now)?;
        let statuses = calls.statuses().await;
        let pushed = calls.push(statuses, newest.generation, &signed.to_json()).await;
        let mut late = BTreeMap::new();
        for (node, answer) in pushed {
            match answer {
                Ok(Pushed::Given(kept) | Pushed::Had(kept)) => {
                    tell(Some(node), format!("keeps trust bundle {kept}"))?;
                }
                Ok(Pushed::Ahead(kept)) => {
                    let why = format!(
                        "it keeps generation {kept}: the state folder was set back, restore the newest \
                         backup"
                    );
                    late.insert(node, why);
                }
                Err(error) => drop(late.insert(node, error.why())),
            }
        }
        Ok(late)
    }

    /// Gives a certificate of the new root to every node that shows another one.
    async fn renew(
        &self,
        site: &Arc<Site>,
        now: SystemTime,
        tell: &mut Tell<'_>,
    ) -> Result<(), SiteError> {
        let behind = self.behind(site, now).await?.into_keys().collect();
        let calls = site.run_calls(self.spec, now)?;
        // The next question finds out which were not renewed.
        for (node, renewed) in renew_all(site, &calls, behind, NodeCall::Now, now).await {
            if renewed.is_ok() {
                tell(Some(node), "has a certificate of the new root".to_owned())?;
            }
        }
        Ok(())
    }

    /// Which nodes do not answer where the new roots alone are trusted: they have to take an operator of
    /// the new root, and show a certificate of the new root.
    async fn behind(
        &self,
        site: &Site,
        now: SystemTime,
    ) -> Result<BTreeMap<NodeName, String>, SiteError> {
        let [_, nodes] = site.newest_roots()?;
        let mut credentials = site.run_credentials(now)?.credentials;
        credentials.peer_roots_pem = nodes;
        let answers = site.trust_calls(self.spec, credentials)?.statuses().await;
        Ok(answers
            .into_iter()
            .filter_map(|(node, answer)| Some((node, answer.err()?.why())))
            .collect())
    }
}

impl Site {
    /// How far a change of roots is.
    pub fn phase(&self) -> Result<Phase, SiteError> {
        let (bundle, _) = self.bundle()?;
        if bundle.operator_roots.len() < 2 && bundle.node_roots.len() < 2 {
            return Ok(Phase::Standby);
        }
        let [newest, _] = bundle.newest_roots().map_err(SiteError::Trust)?;
        let first = bundle.operator_roots.first().is_some_and(|first| first == newest);
        Ok(if first { Phase::InUse } else { Phase::Announced })
    }

    fn newest_roots(&self) -> Result<[String; 2], SiteError> {
        let (bundle, _) = self.bundle()?;
        let newest = bundle.newest_roots().map_err(SiteError::Trust)?;
        Ok(newest.map(str::to_owned))
    }

    fn root_keys(&self, root_keys: Option<&Path>) -> std::path::PathBuf {
        root_keys_folder(&self.folder, root_keys)
    }

    /// Makes new roots, and a bundle that names them beside those in use. The bundle is what counts: keys
    /// without it are made again.
    fn announce(&self, root_keys: Option<&Path>, now: SystemTime) -> Result<(), SiteError> {
        let keys = load_root_keys(&self.folder, root_keys, self.id())?;
        let _alone = alone(&self.folder)?;
        let folder = self.root_keys(root_keys);
        // The end of the last change may have been cut off.
        settle_root_keys(&folder, &self.roots.to_pem())?;
        let (mut bundle, _) = self.bundle()?;
        let next = keys.successor(now).map_err(SiteError::Trust)?;
        keep_next_root_keys(&folder, &next)?;
        let first = next.first_bundle(now);
        bundle.operator_roots.extend(first.operator_roots);
        bundle.node_roots.extend(first.node_roots);
        trust::keep(&self.folder, &trust::sign_next(&keys, &mut bundle, now)?)
    }

    /// Signs below the new roots from now on, and says so in a bundle of theirs. Gives the nodes whose
    /// join tokens are void by that: these pin the old root.
    fn use_new(
        &self,
        root_keys: Option<&Path>,
        now: SystemTime,
    ) -> Result<Vec<NodeName>, SiteError> {
        let [operators_pem, nodes_pem] = self.newest_roots()?;
        let new = RootsPem { operators_pem, nodes_pem, ..load_pem(&self.folder)? };
        let keys = root_keys_of(&new, &self.root_keys(root_keys), self.id())?;
        let _alone = alone(&self.folder)?;
        let void = self.store()?.void_tokens(now).map_err(SiteError::Store)?;
        keep(&self.folder, &keys.issue(now).map_err(SiteError::Trust)?)?;
        let (mut bundle, _) = self.bundle()?;
        // The roots that a site works with come first.
        let new_first = |roots: &mut Vec<String>, new: &String| {
            roots.sort_by_key(|root| root != new);
        };
        new_first(&mut bundle.operator_roots, &new.operators_pem);
        new_first(&mut bundle.node_roots, &new.nodes_pem);
        trust::keep(&self.folder, &trust::sign_next(&keys, &mut bundle, now)?)?;
        Ok(void)
    }

    /// A bundle without the old roots.
    fn retire(&self, root_keys: Option<&Path>, now: SystemTime) -> Result<(), SiteError> {
        let keys = load_root_keys(&self.folder, root_keys, self.id())?;
        let _alone = alone(&self.folder)?;
        let (mut bundle, _) = self.bundle()?;
        let RootsPem { operators_pem, nodes_pem, .. } = self.roots.to_pem();
        bundle.operator_roots = vec![operators_pem];
        bundle.node_roots = vec![nodes_pem];
        trust::keep(&self.folder, &trust::sign_next(&keys, &mut bundle, now)?)
    }
}

#[cfg(test)]
mod tests;
