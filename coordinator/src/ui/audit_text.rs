//! Lines of a node's audit log for people. A node may say anything: it is shown plainly and cut.

use jiff::Timestamp;
use quorate_proto::audit::{By, Deed, Entry, Own};
use quorate_proto::redact::Lines;
use quorate_proto::{OperationId, Redactor};

/// A line; to the letter where another version of the agent wrote it.
pub fn line(entry: Option<&Entry>, line: &str) -> String {
    let text = entry.map_or_else(|| line.to_owned(), words);
    // Line ends and all else that moves a cursor go with this.
    Lines::new(Redactor::default()).line(&text) + "\n"
}

fn words(entry: &Entry) -> String {
    let Entry { seq, at_ms, deed, .. } = entry;
    let at = i64::try_from(*at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.map_or_else(|| "?".to_owned(), |at| format!("{at:.3}"));
    format!("{at} {seq:>6} {}", deed_words(deed))
}

fn deed_words(deed: &Deed) -> String {
    let by = |by: &By| format!("{} at {}", by.operator, by.address);
    let left = |operation: &OperationId, goes_on: bool| {
        let fate = if goes_on { "goes on" } else { "ended with the agent before" };
        format!("; operation {operation} {fate}")
    };
    match deed {
        Deed::AgentStarted { version, boot, operation, goes_on } => {
            let left = operation.as_ref().map(|operation| left(operation, *goes_on));
            format!("agent {version} started, boot {boot}{}", left.unwrap_or_default())
        }
        Deed::Mended { bytes } => format!("a last line of {bytes} bytes was cut short and removed"),
        Deed::Shed { upto, sha256 } => {
            format!("the oldest lines, up to line {upto} with digest {sha256}, are removed")
        }
        Deed::Attempt { by: who, operation, term, goal, order } => {
            format!("{}: {goal}, operation {operation}, term {term}, order {order}", by(who))
        }
        Deed::Begun { operation } => format!("operation {operation} begins"),
        Deed::Ended { operation, holds: true, .. } => {
            format!("operation {operation} ended: it holds")
        }
        Deed::Ended { operation, holds: false, why } => {
            format!("operation {operation} ended and does not hold: {why}")
        }
        Deed::Refused { by: who, asked, why } => format!("{}: refused {asked}: {why}", by(who)),
        Deed::Claimed { by: who, term } => format!("{}: claims the node, term {term}", by(who)),
        Deed::Cancelled { by: who, operation, term } => {
            format!("{}: cancels operation {operation}, term {term}", by(who))
        }
        Deed::Keeps { by: who, own: Own::Bundle { generation } } => {
            format!("{}: gives it the trust bundle of generation {generation}", by(who))
        }
        Deed::Keeps { by: who, own: Own::Certificate { key } } => {
            format!("{}: gives it a certificate for the key {key}", by(who))
        }
        Deed::Kubeconfig { by: who } => format!("{}: was given the admin kubeconfig", by(who)),
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::Sha256;

    use super::*;

    #[test]
    fn a_line_tells_when_who_and_what_and_nothing_that_a_terminal_obeys() {
        let by = By { operator: "alice".to_owned(), address: "10.0.0.5:40000".to_owned() };
        let (asked, why) = ("operation 2, hosts".to_owned(), "bu\u{1b}[2Jsy\nfake line".to_owned());
        let deed = Deed::Refused { by, asked, why };
        let prev = Sha256::of(b"");
        let entry = Entry { seq: 7, at_ms: 1_700_000_000_123, machine: String::new(), deed, prev };
        assert_eq!(
            line(Some(&entry), ""),
            "2023-11-14T22:13:20.123Z      7 alice at 10.0.0.5:40000: refused operation 2, hosts: \
             busyfake line\n"
        );
        assert_eq!(line(None, "{\"what\":\"\u{9b}new\"}"), "{\"what\":\"new\"}\n");
    }
}
