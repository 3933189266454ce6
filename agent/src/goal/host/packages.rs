//! Packages are installed; those with an exact version are held there, so that no upgrade of the
//! system takes the kubelet along. What an interruption left is repaired first.

use std::collections::BTreeMap;

use async_trait::async_trait;
use quorate_proto::goal::{Package, Packages};
use quorate_proto::{Drift, Finding};

use super::package_manager::{PACKAGE_MANAGER, State, Versions};
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};

#[async_trait]
impl Ensure for Packages {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let states = PACKAGE_MANAGER.states(host, &self.packages).await?;
        let drift = |package| drift(package, states.get(&package.name));
        Ok(Finding::from_drifts(self.packages.iter().filter_map(drift).collect()))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let mut states = PACKAGE_MANAGER.states(host, &self.packages).await?;
        if PACKAGE_MANAGER.repair(host, &states, work).await? {
            states = PACKAGE_MANAGER.states(host, &self.packages).await?;
        }
        let lacking = |package: &&Package| {
            let state = states.get(&package.name).filter(|state| state.installed);
            state.is_none_or(|state| package.version.as_ref().is_some_and(|v| *v != state.version))
        };
        let lacking: Vec<&Package> = self.packages.iter().filter(lacking).collect();
        if !lacking.is_empty() {
            refuse_downgrades(host, &lacking, &states).await?;
            find_versions(host, &lacking, work).await?;
            PACKAGE_MANAGER.install(host, &lacking, work).await?;
            // An upgrade ends a hold.
            states = PACKAGE_MANAGER.states(host, &self.packages).await?;
        }
        let held = |name: &str| states.get(name).is_some_and(|state| state.held);
        let pinned = self.packages.iter().filter(|package| package.version.is_some());
        let hold: Vec<&str> =
            pinned.map(|package| package.name.as_str()).filter(|name| !held(name)).collect();
        if hold.is_empty() {
            return Ok(());
        }
        PACKAGE_MANAGER.hold(host, &hold).await
    }
}

fn drift(package: &Package, state: Option<&State>) -> Option<Drift> {
    let wanted = package.version.as_deref().map_or("any version", |version| version);
    let what = format!("package {}", package.name);
    let found = match state {
        None => "not installed".to_owned(),
        Some(state) if !state.installed => "half installed".to_owned(),
        Some(State { version, held, .. }) => match &package.version {
            None => return None,
            Some(wanted) if wanted != version => {
                return Some(Drift::new(what, version, wanted).in_use());
            }
            Some(_) if !held => format!("{version}, not held"),
            Some(_) => return None,
        },
    };
    Some(Drift::new(what, found, wanted))
}

/// An older version than the installed one is not quorate's to bring about.
async fn refuse_downgrades(
    host: &dyn Host,
    lacking: &[&Package],
    states: &BTreeMap<String, State>,
) -> Result<(), HostError> {
    for package in lacking {
        let (Some(wanted), Some(state)) = (&package.version, states.get(&package.name)) else {
            continue;
        };
        if PACKAGE_MANAGER.is_newer(host, &state.version, wanted).await? {
            return Err(HostError::Refused(format!(
                "{} {} is installed, which is newer than the {wanted} that is asked for, and \
                 quorate does not downgrade: ask for the installed version, or downgrade the \
                 package by hand",
                package.name, state.version
            )));
        }
    }
    Ok(())
}

/// Makes sure that the versions can be installed; fetches the lists once if they are not known.
async fn find_versions(
    host: &dyn Host,
    lacking: &[&Package],
    work: &Work<'_>,
) -> Result<(), HostError> {
    let missing = |known: &Versions| {
        let unknown = |package: &&&Package| {
            let known = known.get(&package.name);
            known.is_none_or(|known| package.version.as_ref().is_some_and(|v| !known.contains(v)))
        };
        lacking.iter().find(unknown).copied()
    };
    if missing(&PACKAGE_MANAGER.versions(host, lacking).await?).is_none() {
        return Ok(());
    }
    PACKAGE_MANAGER.refresh(host, work).await?;
    let known = PACKAGE_MANAGER.versions(host, lacking).await?;
    // A name without any version may be a virtual package.
    let pinned = lacking.iter().filter_map(|package| Some((package, package.version.as_ref()?)));
    for (Package { name, .. }, wanted) in pinned {
        let offered = known.get(name).map(Vec::as_slice).unwrap_or_default();
        if !offered.contains(wanted) {
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            return Err(HostError::Refused(format!(
                "no package source of this node has {name} {wanted}; versions that they have: \
                 {offered}. Ask for one of these in spec.packages.kubernetes, or name the source \
                 that has it in spec.packages.repository"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_drifts_by_version_by_hold_and_by_state() {
        let pinned = Package { name: "kubelet".to_owned(), version: Some("1.2".to_owned()) };
        let found = |version: &str, installed, held| {
            let state = State { version: version.to_owned(), installed, held };
            drift(&pinned, Some(&state)).map(|drift| drift.found)
        };
        assert_eq!(found("1.2", true, true), None);
        assert_eq!(found("1.2", true, false).unwrap(), "1.2, not held");
        assert_eq!(found("1.1", true, true).unwrap(), "1.1");
        assert_eq!(found("1.2", false, true).unwrap(), "half installed");
        assert_eq!(drift(&pinned, None).unwrap().found, "not installed");
        let any = Package { name: "socat".to_owned(), version: None };
        let state = State { version: "1".to_owned(), installed: true, held: false };
        assert_eq!(drift(&any, Some(&state)), None);
    }
}
