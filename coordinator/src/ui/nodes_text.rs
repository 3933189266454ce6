//! `quorate node list` as text. What a machine told of itself is nobody's word but its own: it comes to
//! the terminal without control characters, and cut to a length.

use quorate_proto::Machine;

use super::{line, utc, widths};
use crate::store::{Claimant, TokenRecord, TokenState, role_text};

/// Enough for any honest name of a system.
const LONGEST: usize = 60;
/// Of one machine; more than that is told by their number.
const ADDRESSES: usize = 4;

/// One line a node, and what waits for the person who reads it.
pub fn table(tokens: &[TokenRecord], now: i64) -> String {
    if tokens.is_empty() {
        return "no node yet: `quorate node token NAME` lets the first in\n".to_owned();
    }
    let rows = tokens.iter().map(|token| {
        let since = token.claimant.as_ref().map_or(token.issued_at, |claimant| claimant.at);
        let since = utc(u64::try_from(since).unwrap_or_default().saturating_mul(1000));
        [token.node.to_string(), role_text(token.role).to_owned(), since, standing(token, now)]
    });
    let head = ["NODE", "ROLE", "SINCE (UTC)", "ENROLMENT"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let [node, role, since, _] = widths(&rows);
    let mut text = String::new();
    for [a, b, c, d] in &rows {
        line(&mut text, format_args!("{a:<node$}  {b:<role$}  {c:<since$}  {d}"));
    }
    for token in tokens.iter().filter(|token| waits(token, now)) {
        let Some(claimant) = &token.claimant else { continue };
        let name = &token.node;
        line(&mut text, format_args!("\n{name} waits for your approval: {}", machine(claimant)));
        line(
            &mut text,
            format_args!(
                "  if that is it, read the six words on its console and run \
                 `quorate node approve {name} --code \"SIX WORDS\"`"
            ),
        );
    }
    text
}

fn waits(token: &TokenRecord, now: i64) -> bool {
    matches!(token.state, TokenState::Awaiting(_)) && !token.waited_out(now)
}

fn standing(token: &TokenRecord, now: i64) -> String {
    let from = token.claimant.as_ref().map(|claimant| tame(&claimant.from)).unwrap_or_default();
    match token.state {
        TokenState::Issued if now > token.not_after => "token expired unused".to_owned(),
        TokenState::Issued => "token made, not used yet".to_owned(),
        TokenState::Awaiting(_) if token.waited_out(now) => format!("expired, waited from {from}"),
        TokenState::Awaiting(_) => format!("WAITS for approval, from {from}"),
        TokenState::Claimed(_) => format!("approved, about to fetch its certificate, from {from}"),
        TokenState::Signed(_) => format!("enrolled, from {from}"),
        TokenState::Burned => {
            format!("BURNED: two keys claimed its token, the first from {from}")
        }
        TokenState::Rejected => format!("rejected after five wrong codes, from {from}"),
        TokenState::Void => "replaced by a newer token".to_owned(),
    }
}

/// What the machine said of itself when it claimed.
fn machine(claimant: &Claimant) -> String {
    let from = tame(&claimant.from);
    let Ok(machine) = serde_json::from_str::<Machine>(&claimant.facts_json) else {
        return format!("from {from}");
    };
    let Machine { machine_id, os, kernel, architecture, cpus, memory_mib, addresses, .. } = machine;
    let shown = addresses.iter().take(ADDRESSES).map(ToString::to_string);
    let at = shown.collect::<Vec<_>>().join(", ");
    let more = match addresses.len().saturating_sub(ADDRESSES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let [machine_id, os, kernel, architecture] =
        [machine_id, os, kernel, architecture].map(|text| tame(&text));
    format!(
        "from {from}; it says that it is machine {machine_id} at {at}{more}, {os}, Linux {kernel}, \
         {architecture}, {cpus} CPUs, {memory_mib} MiB"
    )
}

/// A stranger's text as a terminal may show it.
fn tame(text: &str) -> String {
    // Also what turns the direction of writing, or is not seen.
    let unseen = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
            || c == '\u{feff}'
    };
    let plain = |c: &char| !c.is_control() && !unseen(*c);
    let mut kept: Vec<char> = text.chars().filter(plain).take(LONGEST + 1).collect();
    if kept.len() > LONGEST {
        kept.truncate(LONGEST);
        kept.push('…');
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use quorate_proto::trust::{KeyDigest, TokenId, VerifyKey};

    use super::*;
    use crate::spec::Role;
    use crate::store::Approval;

    fn token(state: TokenState, machine: &Machine) -> TokenRecord {
        let facts_json = serde_json::to_string(machine).unwrap();
        TokenRecord {
            id: TokenId([7; 10]),
            node: "cp-1".try_into().unwrap(),
            verify_key: VerifyKey([9; 32]),
            role: Role::ControlPlane,
            approval: Approval::Code,
            issued_at: 0,
            not_after: 3_600,
            state,
            claimant: Some(Claimant { at: 60, from: "10.0.0.11".to_owned(), facts_json }),
        }
    }

    #[test]
    fn who_waits_is_told_with_all_that_helps_to_judge_and_without_the_code() {
        let machine = Machine {
            machine_id: "0123".to_owned(),
            os: "Debian GNU/Linux 12".to_owned(),
            kernel: "6.1.0".to_owned(),
            architecture: "x86_64".to_owned(),
            cpus: 4,
            memory_mib: 8_192,
            addresses: vec!["10.0.0.11".parse().unwrap()],
            ..Machine::default()
        };
        let text = table(&[token(TokenState::Awaiting(KeyDigest([1; 32])), &machine)], 100);
        let expected = "\
NODE  ROLE           SINCE (UTC)          ENROLMENT
cp-1  control-plane  1970-01-01 00:01:00  WAITS for approval, from 10.0.0.11

cp-1 waits for your approval: from 10.0.0.11; it says that it is machine 0123 at 10.0.0.11, Debian GNU/Linux 12, Linux 6.1.0, x86_64, 4 CPUs, 8192 MiB
  if that is it, read the six words on its console and run `quorate node approve cp-1 --code \"SIX WORDS\"`
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_stranger_says_cannot_write_to_the_terminal_or_fill_it() {
        let machine = Machine {
            os: "\u{1b}[2J\u{1b}]0;owned\u{7}Debian\r\n\u{202e}".to_owned(),
            kernel: "k".repeat(1 << 20),
            addresses: vec!["10.0.0.11".parse().unwrap(); 5_000],
            ..Machine::default()
        };
        let text = table(&[token(TokenState::Awaiting(KeyDigest([1; 32])), &machine)], 100);
        assert!(text.contains("[2J]0;ownedDebian"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
        assert!(text.len() < 1_000, "{}", text.len());
        assert!(text.contains("and 4996 more"));
    }

    #[test]
    fn a_wait_that_is_over_asks_nothing_of_anybody() {
        let waits = token(TokenState::Awaiting(KeyDigest([1; 32])), &Machine::default());
        let text = table(&[waits], 60 + 24 * 3_600 + 1);
        assert!(text.contains("expired, waited from") && !text.contains("approve"), "{text}");
    }
}
