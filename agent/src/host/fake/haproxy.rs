//! The fake HAProxy: tries configurations, takes them up a while after a reload, and tells at its
//! socket which one runs and which servers are up.

use std::collections::BTreeSet;

use super::{State, complaint, printed};
use crate::host::{HostError, Output};

/// What runs beside the service itself.
#[derive(Debug, Default)]
pub struct Haproxy {
    /// Servers whose health check fails.
    pub down: BTreeSet<String>,
    /// Until then, as `State::uptime_ms` tells it, no server is up.
    pub up_from_ms: u64,
    /// The new worker has not taken over yet.
    pub(super) reloading: bool,
}

/// `haproxy -c -f PATH`
pub(super) fn try_out(state: &State, args: &[&str]) -> Output {
    match args {
        ["-c", "-f", path] if state.text(path).contains("frontend") => printed(""),
        _ => complaint(1, "[ALERT] config : no frontend\n"),
    }
}

/// Lets the new worker take over.
pub(super) fn finish_reload(state: &mut State) {
    if std::mem::take(&mut state.haproxy.reloading)
        && let Some(service) = state.systemd.services.get_mut("haproxy")
    {
        service.read = state.files.get("/etc/haproxy/haproxy.cfg").cloned();
    }
}

/// What the socket answers; it exists where the configuration that runs has it.
pub(super) fn answer(state: &State, path: &str, line: &str) -> Result<String, HostError> {
    let service = state.systemd.services.get("haproxy").filter(|service| service.active);
    let read = service.and_then(|service| service.read.as_deref()).unwrap_or_default();
    let config = String::from_utf8_lossy(read);
    if !config.contains(&format!("stats socket {path} ")) {
        let service = format!("the socket {path}");
        return Err(HostError::Silent { service, source: "no such file".into() });
    }
    let words = |line: &str, first: &str| line.trim().strip_prefix(first).map(str::to_owned);
    if line == "show info" {
        let described = config.lines().find_map(|line| words(line, "description "));
        let described = described.unwrap_or_default();
        return Ok(format!("Name: HAProxy\ndescription: {}\n\n", described.trim_matches('"')));
    }
    let mut table = "# pxname,svname,status,\nkubernetes-frontend,FRONTEND,OPEN,\n".to_owned();
    for server in config.lines().filter_map(|line| words(line, "server ")) {
        let name = server.split(' ').next().unwrap_or_default();
        let late = state.uptime_ms < state.haproxy.up_from_ms;
        let status = if late || state.haproxy.down.contains(name) { "DOWN" } else { "UP" };
        let row = format!("kubernetes-backend,{name},{status},\n");
        table.push_str(&row);
    }
    Ok(table)
}
