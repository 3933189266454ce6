//! A service runs, and will at the next boot.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::Service;
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::{Ensure, Work};
use crate::host::{Command, Host, HostError};

/// systemd itself gives up on a service that has not started after 90 s.
const START_DEADLINE: Duration = Duration::from_secs(100);

#[async_trait]
impl Ensure for Service {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        Ok(Finding::from_drifts(ServiceState::of(host, &self.unit).await?.drifts(&self.unit)))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let unit = &self.unit;
        work.progress.doing(ActivityKind::Own, format!("starting {unit}"));
        let state = ServiceState::of(host, unit).await?;
        if !state.installed() {
            return Err(HostError::Refused(format!(
                "there is no service {unit} on this node: install the package that has it"
            )));
        }
        state.enable_and_start(host, unit).await
    }
}

/// What systemd tells of a service.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::goal) struct ServiceState {
    load: String,
    active: String,
    enabled: String,
    /// Names one run of the service, from start to stop.
    pub(in crate::goal) invocation: String,
}

impl ServiceState {
    /// Asks systemd, once.
    pub(in crate::goal) async fn of(host: &dyn Host, unit: &str) -> Result<Self, HostError> {
        let unit = format!("{unit}.service");
        let properties = "--property=LoadState,ActiveState,UnitFileState,InvocationID";
        let command = Command::new("systemctl", &["show", properties, "--", &unit]);
        let shown = host.output_of(&command).await?;
        let value = |key: &str| {
            let mut lines = shown.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.unwrap_or_default().to_owned()
        };
        Ok(Self {
            load: value("LoadState"),
            active: value("ActiveState"),
            enabled: value("UnitFileState"),
            invocation: value("InvocationID"),
        })
    }

    /// Whether systemd knows the unit at all.
    pub(in crate::goal) fn installed(&self) -> bool {
        self.load != "not-found"
    }

    /// Whether it runs. One that is reloading does.
    pub(in crate::goal) fn active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    /// Whether it starts at a boot; static units are started by others.
    fn enabled(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "static" | "alias" | "generated")
    }

    /// How the service differs from one that is active and enabled.
    pub(in crate::goal) fn drifts(&self, unit: &str) -> Vec<Drift> {
        let what = format!("service {unit}");
        if !self.installed() {
            return vec![Drift::new(what, "not installed", "active and enabled")];
        }
        let mut drifts = Vec::new();
        if !self.active() {
            drifts.push(Drift::new(&what, &self.active, "active"));
        }
        if !self.enabled() {
            drifts.push(Drift::new(&what, &self.enabled, "enabled"));
        }
        drifts
    }

    /// Does what is missing of the two.
    pub(in crate::goal) async fn enable_and_start(
        &self,
        host: &dyn Host,
        unit: &str,
    ) -> Result<(), HostError> {
        self.enable(host, unit).await?;
        if !self.active() {
            let unit = format!("{unit}.service");
            let start = Command::new("systemctl", &["start", "--", &unit]);
            host.output_of(&start.within(START_DEADLINE)).await?;
        }
        Ok(())
    }

    /// Has it start at each boot; now it is left as it is.
    pub(in crate::goal) async fn enable(
        &self,
        host: &dyn Host,
        unit: &str,
    ) -> Result<(), HostError> {
        let unit = format!("{unit}.service");
        if self.load == "masked" {
            return Err(HostError::Refused(format!(
                "{unit} is masked, so somebody wants it not to run: `systemctl unmask {unit}` if \
                 that is over, and apply again"
            )));
        }
        if !self.enabled() {
            host.output_of(&Command::new("systemctl", &["enable", "--", &unit])).await?;
        }
        Ok(())
    }
}
