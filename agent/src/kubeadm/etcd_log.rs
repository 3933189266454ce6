//! What etcd's container said last: kubeadm tells only that a member does not start.

use serde_json::Value;

use crate::host::{Host, HostError};

const PODS: &str = "/var/log/pods";
/// A crash says why in its last few lines.
const LINES: usize = 6;

/// The last complaints of etcd here, oldest first; empty where it has none.
pub async fn complaints(host: &dyn Host) -> Vec<String> {
    newest(host).await.ok().flatten().map(|log| complaints_in(&log)).unwrap_or_default()
}

/// The log of the container that was started last.
async fn newest(host: &dyn Host) -> Result<Option<String>, HostError> {
    let pods = host.list(PODS).await?;
    let Some(pod) = pods.iter().find(|pod| pod.starts_with("kube-system_etcd-")) else {
        return Ok(None);
    };
    let folder = format!("{PODS}/{pod}/etcd");
    let files = host.list(&folder).await?;
    let number = |file: &String| file.strip_suffix(".log")?.parse::<u32>().ok();
    let Some(newest) = files.iter().filter_map(number).max() else { return Ok(None) };
    host.text(&format!("{folder}/{newest}.log")).await
}

fn complaints_in(log: &str) -> Vec<String> {
    let said: Vec<String> = log.lines().filter_map(complaint).collect();
    said.into_iter().rev().take(LINES).rev().collect()
}

/// A line is a time, a stream, a flag, and then etcd's own JSON.
fn complaint(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line.splitn(4, ' ').nth(3)?).ok()?;
    let text = |key: &str| event.get(key).and_then(Value::as_str);
    if !matches!(text("level")?, "warn" | "error" | "panic" | "fatal") {
        return None;
    }
    let because = text("error").map(|error| format!(": {error}")).unwrap_or_default();
    Some(format!("etcd: {}{because}", text("msg")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;

    #[tokio::test]
    async fn the_newest_container_says_why_it_ended() {
        let host = FakeHost::bare();
        assert!(complaints(&host).await.is_empty());
        let at = "2026-11-23T12:25:22.976725381Z stderr F";
        let pod = "/var/log/pods/kube-system_etcd-cp-3_f1ec/etcd";
        let panic =
            r#"{"level":"panic","msg":"failed to create WAL","error":"no space left on device"}"#;
        let info = r#"{"level":"info","msg":"starting an etcd server"}"#;
        host.state().put(&format!("{pod}/9.log"), &format!("{at} {info}\n"));
        host.state().put(
            &format!("{pod}/10.log"),
            &format!("{at} {info}\n{at} {panic}\n{at} goroutine 1:\n"),
        );
        let said = complaints(&host).await;
        assert_eq!(said, ["etcd: failed to create WAL: no space left on device"]);
    }
}
