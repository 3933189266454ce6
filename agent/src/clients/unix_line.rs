//! One line to a Unix socket, and the answer to its end.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time;

use crate::host::linux::LinuxHost;
use crate::host::{HostError, UnixLine};

/// HAProxy answers its socket at once or not at all.
const DEADLINE: Duration = Duration::from_secs(5);

#[async_trait]
impl UnixLine for LinuxHost {
    async fn ask_socket(&self, path: &str, line: &str) -> Result<String, HostError> {
        let service = format!("the socket {path}");
        let asked = time::timeout(DEADLINE, async {
            let mut socket = UnixStream::connect(self.at(path)).await?;
            socket.write_all(format!("{line}\n").as_bytes()).await?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
        });
        match asked.await {
            Ok(answer) => answer.map_err(|error| HostError::silent(&service, error)),
            Err(elapsed) => Err(HostError::silent(&service, elapsed)),
        }
    }
}
