//! The forms in which programs print a value: as it is, encoded, or within an encoded text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::digest::hex;
use crate::secret::Secret;

/// Shorter texts are found in too much that is no secret.
const SHORTEST: usize = 8;
/// Longer ones are looked for in pieces, so that a line's end hides none.
pub(super) const LONGEST: usize = 512;

/// Every text that would give the secret away.
pub(super) fn of(secret: &Secret) -> Vec<String> {
    let whole = secret.expose();
    // A key is printed a line at a time; its first and last line say what it is and nothing more.
    let lines = whole.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let mut forms = Vec::new();
    for value in std::iter::once(whole.trim()).chain(lines) {
        if value.len() >= SHORTEST {
            forms.extend(of_value(value));
        }
    }
    // A text of several lines is never found in one.
    let forms = forms.into_iter().filter(|form| form.len() >= SHORTEST && !form.contains('\n'));
    forms.flat_map(|form| pieces(&form)).collect()
}

fn of_value(value: &str) -> Vec<String> {
    let digits = hex(value.as_bytes());
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let mut forms = vec![
        value.to_owned(),
        digits.to_uppercase(),
        digits,
        json.replace('/', "\\/"),
        json,
        percent(value, true),
        percent(value, false),
        STANDARD.encode(value),
    ];
    forms.extend(within_base64(value));
    if value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        // Digits mean the same in capitals.
        forms.extend([value.to_ascii_uppercase(), value.to_ascii_lowercase()]);
    }
    let safe = forms.iter().skip(7).map(|form| form.replace('+', "-").replace('/', "_"));
    let safe: Vec<String> = safe.collect();
    forms.extend(safe);
    forms
}

/// What is always there where a base64 text holds the value: it begins at one of three places.
pub(super) fn within_base64(value: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let mut bytes = vec![0; before];
        bytes.extend(value.as_bytes());
        let text = STANDARD_NO_PAD.encode(&bytes);
        // Letters at either end are made of a neighbour's bits as well.
        let first = if before == 0 { 0 } else { before + 1 };
        let last = text.len() - usize::from(bytes.len() % 3 != 0);
        text.get(first..last).unwrap_or_default().to_owned()
    })
}

/// As in a URL.
fn percent(value: &str, upper: bool) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    };
    value.bytes().map(letter).collect()
}

/// The last piece overlaps the one before, so that all have their full length.
fn pieces(form: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while form.len() - from > LONGEST {
        let until = form.floor_char_boundary(from + LONGEST);
        pieces.extend(form.get(from..until).map(str::to_owned));
        from = until;
    }
    let from = form.floor_char_boundary(from.min(form.len().saturating_sub(LONGEST)));
    pieces.extend(form.get(from..).map(str::to_owned));
    pieces
}
