//! One question to one DNS server over UDP: how many addresses has a name?

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UdpSocket;

use crate::host::linux::LinuxHost;
use crate::host::{Dns, HostError};

/// A cluster's DNS answers in milliseconds; the caller asks again.
const DEADLINE: Duration = Duration::from_secs(1);
/// What fits a datagram without EDNS; a truncated answer still counts its addresses.
const LARGEST: usize = 512;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

#[async_trait]
impl Dns for LinuxHost {
    /// Asks `server` for the addresses of `name`, of the family that the server itself has.
    async fn resolve(&self, name: &str, server: SocketAddr) -> Result<usize, HostError> {
        let service = format!("the DNS server at {server}");
        let kind = if server.is_ipv4() { TYPE_A } else { TYPE_AAAA };
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let ask = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(server).await?;
            // The port is the kernel's choice and the socket is connected, so that an id adds nothing.
            socket.send(&question(name, kind)).await?;
            let mut answer = [0; LARGEST];
            let length = socket.recv(&mut answer).await?;
            Ok::<_, std::io::Error>(answer.iter().copied().take(length).collect::<Vec<u8>>())
        };
        let answer = tokio::time::timeout(DEADLINE, ask).await;
        let answer = answer.map_err(|late| HostError::silent(&service, late))?;
        let answer = answer.map_err(|error| HostError::silent(&service, error))?;
        addresses(&answer, kind)
            .ok_or_else(|| HostError::silent(&service, "the answer is not a DNS message"))
    }
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    // Id, recursion desired, one question, no answer, authority or addition.
    let mut message = vec![0x71, 0x75, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // A label longer than 63 is no name; the server then refuses the question.
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    message
}

/// How many addresses a message gives; `None` if it is none.
fn addresses(message: &[u8], kind: u16) -> Option<usize> {
    let (questions, answers) = (number(message, 4)?, number(message, 6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = past_name(message, at)? + 4;
    }
    let mut found = 0;
    for _ in 0..answers {
        at = past_name(message, at)?;
        found += usize::from(number(message, at)? == kind);
        at += 10 + usize::from(number(message, at + 8)?);
    }
    Some(found)
}

/// Where a name ends: at a zero length, or after a pointer of two bytes.
fn past_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some(at + 1),
            1..0xc0 => at += 1 + length,
            _ => return Some(at + 2),
        }
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One answer for `a.b`: its question, then a pointer to the name, and 10.0.0.1.
    fn answered() -> Vec<u8> {
        let mut message = question("a.b", TYPE_A);
        message[7] = 1;
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1]);
        message
    }

    #[test]
    fn addresses_are_counted() {
        assert_eq!(addresses(&answered(), TYPE_A), Some(1));
        assert_eq!(addresses(&answered(), TYPE_AAAA), Some(0));
        assert_eq!(addresses(&question("a.b", TYPE_A), TYPE_A), Some(0));
    }

    #[test]
    fn a_message_cut_short_is_none() {
        let whole = answered();
        for length in 0..whole.len() - 5 {
            assert_eq!(addresses(&whole[..length], TYPE_A), None, "{length}");
        }
    }

    #[tokio::test]
    async fn a_server_is_asked_over_udp() {
        let host = LinuxHost::new();
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut asked = [0; 512];
            let (length, from) = server.recv_from(&mut asked).await.unwrap();
            assert_eq!(asked[..length], question("a.b", TYPE_A));
            server.send_to(&answered(), from).await.unwrap();
        };
        let (found, ()) = tokio::join!(host.resolve("a.b.", address), serve);
        assert_eq!(found.unwrap(), 1);
    }
}
