//! Secrets that are known by their look: tokens of kubeadm, of ours, keys, headers.

use std::ops::Range;
use std::sync::LazyLock;

use super::{Scan, forms};

/// The three ways in which a private key's first line looks inside a base64 text.
static KEY_IN_BASE64: LazyLock<[String; 3]> =
    LazyLock::new(|| forms::within_base64("PRIVATE KEY-----"));

/// Finds them all. `goes_on`: the line is longer than this text, so what reaches its end may be.
pub(super) fn find(line: &str, in_key: bool, goes_on: bool, scan: &mut Scan) {
    private_keys(line, in_key, scan);
    bootstrap_tokens(line, scan);
    certificate_keys(line, scan);
    let text = Text { line, goes_on };
    text.join_tokens(scan);
    text.web_tokens(scan);
    text.encoded_keys(scan);
    text.headers(scan);
}

/// PEM blocks, over lines. One that begins is hidden until it ends.
fn private_keys(line: &str, in_key: bool, scan: &mut Scan) {
    let mut key = in_key.then_some(0);
    let mut from = 0;
    loop {
        let Some(start) = key else {
            let Some(begin) = marker(line, from, "-----BEGIN ") else { return };
            (key, from) = (Some(begin.start), begin.end);
            continue;
        };
        let Some(end) = marker(line, from, "-----END ") else {
            scan.spans.push(start..line.len());
            scan.key_from = Some(start);
            return;
        };
        scan.spans.push(start..end.end);
        (key, from) = (None, end.end);
    }
}

/// The first or last line of a private key.
fn marker(line: &str, mut from: usize, opening: &str) -> Option<Range<usize>> {
    loop {
        let start = from + line.get(from..)?.find(opening)?;
        let label = start + opening.len();
        let rest = line.get(label..)?;
        let Some(length) = rest.find("-----") else {
            // The end of the label is not here: what it says so far has to do.
            return rest.contains("PRIVATE KEY").then_some(start..line.len());
        };
        if rest.get(..length)?.contains("PRIVATE KEY") {
            return Some(start..label + length + 5);
        }
        from = label;
    }
}

/// `[a-z0-9]{6}.[a-z0-9]{16}`, and no letter beside it.
fn bootstrap_tokens(line: &str, scan: &mut Scan) {
    let bytes = line.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    for (dot, _) in line.match_indices('.') {
        let (Some(start), end) = (dot.checked_sub(6), dot + 17) else { continue };
        let all = |range: Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(plain));
        if all(start..dot) && all(dot + 1..end) && !joined_before(bytes, start) {
            let after = bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
            if !after {
                scan.spans.push(start..end);
            }
        }
    }
}

/// A letter stands before it, and not the `n` of an escaped line end.
fn joined_before(bytes: &[u8], start: usize) -> bool {
    let before = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at));
    let escaped = before(2) == Some(&b'\\') && before(1).is_some_and(|b| b"nrt".contains(b));
    before(1).is_some_and(u8::is_ascii_alphanumeric) && !escaped
}

/// 64 hexadecimal digits that are named so, or a line of their own, as kubeadm prints them. Others
/// are digests.
fn certificate_keys(line: &str, scan: &mut Scan) {
    const NAMES: [&str; 4] =
        ["certificate-key", "certificatekey", "certificate key", "certificate_key"];
    let bytes = line.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if length == 64 {
            let end = start + length;
            let before = line.get(..start).unwrap_or_default();
            let named = before.trim_end_matches(|c: char| " \t=:\"'\\".contains(c));
            let from = named.ceil_char_boundary(named.len().saturating_sub(15));
            let name = named.get(from..).unwrap_or_default().to_ascii_lowercase();
            let after = line.get(end..).unwrap_or_default();
            let name = NAMES.iter().find(|known| name.ends_with(*known));
            if let Some(name) = name {
                scan.whole.push(named.len().saturating_sub(name.len())..start + 1);
            }
            if name.is_some() || (before.trim().is_empty() && after.trim().is_empty()) {
                scan.spans.push(start..end);
            }
        }
        start += length + 1;
    }
}

/// Shapes without a fixed length: they may go on beyond the text.
struct Text<'a> {
    line: &'a str,
    goes_on: bool,
}

impl Text<'_> {
    /// The end of a run of such bytes.
    fn run(&self, from: usize, of: impl Fn(u8) -> bool) -> usize {
        let rest = self.line.as_bytes().get(from..).unwrap_or_default();
        from + rest.iter().take_while(|&&byte| of(byte)).count()
    }

    /// Nobody knows yet where it ends.
    fn is_open(&self, end: usize) -> bool {
        self.goes_on && end == self.line.len()
    }

    fn hide(&self, span: Range<usize>, scan: &mut Scan) {
        if self.is_open(span.end) {
            let from = scan.rest_from.map_or(span.start, |from| from.min(span.start));
            scan.rest_from = Some(from);
        }
        scan.spans.push(span);
    }

    fn join_tokens(&self, scan: &mut Scan) {
        for (start, prefix) in self.line.match_indices("qrt1_") {
            let end = self.run(start + prefix.len(), |byte| byte.is_ascii_alphanumeric());
            if end - start >= 13 || self.is_open(end) {
                self.hide(start..end, scan);
            }
        }
    }

    /// JSON Web Tokens: `eyJ` and two more parts.
    fn web_tokens(&self, scan: &mut Scan) {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let mut from = 0;
        while let Some(at) = self.line.get(from..).and_then(|rest| rest.find("eyJ")) {
            let (start, end) = (from + at, self.run(from + at, part));
            let dots = self.line.get(start..end).unwrap_or_default().matches('.').count();
            if dots >= 2 || self.is_open(end) {
                self.hide(start..end, scan);
            }
            from = end;
        }
    }

    /// Files with private keys as kubeconfigs and Secrets hold them.
    fn encoded_keys(&self, scan: &mut Scan) {
        let of = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte);
        for form in &*KEY_IN_BASE64 {
            let mut from = 0;
            while let Some(at) = self.line.get(from..).and_then(|rest| rest.find(form)) {
                let bytes = self.line.as_bytes().get(from..from + at).unwrap_or_default();
                let before = bytes.iter().rev().take_while(|&&byte| of(byte)).count();
                let end = self.run(from + at, of);
                self.hide(from + at - before..end, scan);
                from = end;
            }
        }
    }

    /// `Authorization: …` to the end of the line, and `Bearer …` wherever it stands.
    fn headers(&self, scan: &mut Scan) {
        let lower = self.line.to_ascii_lowercase();
        for (at, name) in lower.match_indices("authorization") {
            let after = lower.get(at + name.len()..).unwrap_or_default();
            let value = after.trim_start_matches(['"', '\'', '\\', ' ']);
            let Some(value) = value.strip_prefix([':', '=']) else { continue };
            if !value.trim().is_empty() {
                let start = lower.len() - value.len();
                scan.whole.push(at..start + 1);
                self.hide(start..lower.len(), scan);
                break;
            }
        }
        for (at, scheme) in lower.match_indices("bearer ") {
            let start = at + scheme.len();
            let end = self.run(start, |byte| !byte.is_ascii_whitespace() && byte != b'"');
            if end - start >= 16 || self.is_open(end) {
                scan.whole.push(at..start + 1);
                self.hide(start..end, scan);
            }
        }
    }
}
