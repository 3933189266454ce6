//! Reads and writes YAML: the only module that names the YAML library.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Budget, Error, Location, Options, Spanned};

use super::tree::{Key, Kind, Tree};

/// A text is not a YAML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Malformed {
    pub(super) message: String,
    /// Bytes of the text.
    pub(super) span: Range<usize>,
}

/// Reads a text of one document.
pub(super) fn read(text: &str) -> Result<Tree, Malformed> {
    let spanned: Spanned<Bare> = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| malformed(text, &error))?;
    Ok(place(spanned))
}

/// Reads a text of several documents, such as a Kubernetes manifest; empty ones are left out.
/// The library's own budget holds, since definitions of resources are large and deep.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Malformed> {
    let all: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| malformed(text, &error))?;
    Ok(all.into_iter().filter(|document| !document.is_null()).collect())
}

/// Writes documents; fails on no JSON value.
pub(super) fn write(documents: &[Value]) -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string_multiple(documents)
}

/// Large enough for a thousand nodes, small enough to end a bomb at once. Aliases are refused:
/// ranges say the same better, and aliases are what bombs are made of.
fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_events = 200_000;
    budget.max_nodes = 100_000;
    budget.max_depth = 32;
    budget.max_anchors = 0;
    budget.max_aliases = 0;
    budget.max_merge_keys = 0;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.leading_zero_numbers_as_strings = true;
    options
}

fn malformed(text: &str, error: &Error) -> Malformed {
    let span = error.location().map(|location| span_in(text, &location)).unwrap_or_default();
    Malformed { message: message(error.without_snippet()), span }
}

/// The library's message, but where that gives advice to programmers.
fn message(error: &Error) -> String {
    if let Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().unwrap_or_default();
        return format!("the field `{key}` is there twice in one mapping");
    }
    if let Error::MultipleDocuments { .. } = error {
        return "a second document begins here, and the file may hold one alone".to_owned();
    }
    if let Error::Budget { breach, .. } = error {
        let anchors = matches!(breach, BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. });
        let what = if anchors { "anchors and aliases are" } else { "so large a document is" };
        return format!("{what} not allowed in this file");
    }
    let message = error.to_string();
    // The place is shown beside the message; the library's suffix would say it twice.
    message.rsplit_once(" at line ").map_or_else(|| message.clone(), |(what, _)| what.to_owned())
}

fn span(location: &Location) -> Range<usize> {
    let offset = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    let start = offset(location.span().byte_offset()).unwrap_or_default();
    start..start + offset(location.span().byte_len()).unwrap_or_default()
}

/// Errors of the scanner have a line and a column alone.
fn span_in(text: &str, location: &Location) -> Range<usize> {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).saturating_sub(1);
    let before = text.split_inclusive('\n').take(number(location.line()));
    let start: usize = before.map(str::len).sum();
    let line = text.get(start..).unwrap_or_default();
    let column: usize = line.chars().take(number(location.column())).map(char::len_utf8).sum();
    let start = (start + column).min(text.len());
    start..start
}

fn place(spanned: Spanned<Bare>) -> Tree {
    let mut span = span(&spanned.referenced);
    let kind = match spanned.value {
        Bare::Leaf(kind) => kind,
        Bare::List(items) => Kind::List(items.into_iter().map(place).collect()),
        Bare::Map(entries) => {
            let entries: Vec<_> = entries.into_iter().map(entry).collect();
            span = entries.first().map_or(span, |(key, _)| key.span.clone());
            Kind::Map(entries)
        }
    };
    Tree { kind, span }
}

fn entry((key, value): (Spanned<String>, Spanned<Bare>)) -> (Key, Tree) {
    let key = Key { span: span(&key.referenced), name: key.value };
    let mut value = place(value);
    if matches!(value.kind, Kind::Null | Kind::List(_) | Kind::Map(_)) {
        value.span = key.span.clone();
    }
    (key, value)
}

/// A value as the library gives it, its children with their places.
enum Bare {
    Leaf(Kind),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Bare;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Bare, E> {
        Ok(Bare::Leaf(Kind::Null))
    }

    fn visit_none<E>(self) -> Result<Bare, E> {
        Ok(Bare::Leaf(Kind::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bare, D::Error> {
        Bare::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bare, E> {
        Ok(Bare::Leaf(Kind::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bare, E> {
        Ok(Bare::Leaf(Kind::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Bare, E> {
        Ok(Bare::Leaf(Kind::Number(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Bare, E> {
        // The library refuses infinities before.
        Ok(Bare::Leaf(Number::from_f64(value).map_or(Kind::Null, Kind::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bare, E> {
        Ok(Bare::Leaf(Kind::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bare, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Bare::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Bare, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Bare::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_value_and_key_knows_where_it_stands() {
        let text = "a: 'x'\nbé:\n- 1.30\n- {c: no, d: 0123}\n";
        let tree = read(text).unwrap();
        assert_eq!(text.get(tree.locate("a")).unwrap(), "'x'");
        assert_eq!(text.get(tree.locate("bé[0]")).unwrap(), "1.30");
        assert_eq!(text.get(tree.locate("bé[1].c")).unwrap(), "no");
        assert_eq!(tree.to_value()["bé"][1], serde_json::json!({"c": false, "d": "0123"}));
    }

    #[test]
    fn what_is_no_yaml_says_why_and_where() {
        for (bad, place, why) in [
            ("a: [1, 2\nb: 3\n", 10, "illegal placement of ':'"),
            ("a: 1\na: 2\n", 5, "the field `a` is there twice"),
            ("é: b: c", 5, "mapping values are not allowed"),
            ("a: 1\n---\nb: 2\n", 9, "a second document begins here"),
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.span, place..place, "{bad}: {error}");
            assert!(error.message.starts_with(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut bomb = "a: &a [x, x]\n".to_owned();
        for (level, next) in ('a'..='y').zip('b'..='z') {
            writeln!(bomb, "{next}: &{next} [*{level}, *{level}, *{level}]").unwrap();
        }
        assert!(read(&bomb).unwrap_err().message.starts_with("anchors and aliases"));
        assert_eq!(read(&"[".repeat(5000)).unwrap_err().message, "recursion limit exceeded");
        let wide = "- [a, b]\n".repeat(100_000);
        assert!(read(&wide).unwrap_err().message.starts_with("so large a document"));
    }

    #[test]
    fn documents_are_written_as_they_were_read() {
        let text = "a: \"1.30\"\nb: \"no\"\n---\nc:\n  - |\n    two\n    lines\n";
        let read = documents(&format!("---\n{text}---\n")).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(documents(&write(&read).unwrap()).unwrap(), read);
    }
}
