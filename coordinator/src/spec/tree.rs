//! A YAML document as people wrote it: values, and where each of them stands. What the values mean
//! is left to `shape` and to the checks.

use std::ops::Range;

use serde_json::{Map, Number, Value};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) kind: Kind,
    /// Bytes of the source. A mapping, a list and nothing are shown by their key, or else by their
    /// first entry.
    pub(super) span: Range<usize>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(Key, Tree)>),
}

/// The key of an entry of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Range<usize>,
}

impl Tree {
    /// Where the value at a path such as `spec.nodes[2].address` stands; where that is missing,
    /// the innermost value around it.
    pub(super) fn locate(&self, path: &str) -> Range<usize> {
        // `nodes[2].address` is `nodes` and then `2].address`.
        let path = path.trim_start_matches('[');
        let (head, rest) = path.split_once(['.', '[']).unwrap_or((path, ""));
        let head = head.trim_end_matches(']');
        let child = match &self.kind {
            Kind::Map(entries) => {
                entries.iter().find(|(key, _)| key.name == head).map(|(_, value)| value)
            }
            Kind::List(items) => head.parse::<usize>().ok().and_then(|index| items.get(index)),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => None,
        };
        child.map_or_else(|| self.span.clone(), |child| child.locate(rest))
    }

    /// The value as it is, without a shape that it must have.
    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::to_value).collect(),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.name.clone(), value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::yaml;

    #[test]
    fn a_value_is_found_by_its_path_and_a_missing_one_by_what_is_around_it() {
        let text = "a:\n  b: [x, {c: deep}]\n  d:\n";
        let tree = yaml::read(text).unwrap();
        let at = |path| text.get(tree.locate(path)).unwrap();
        assert_eq!(at("a.b[0]"), "x");
        assert_eq!(at("a.b[1].c"), "deep");
        assert_eq!(at("a.b[1].missing"), "c");
        assert_eq!(at("a.b[7]"), "b");
        assert_eq!(at("a.d"), "d");
        assert_eq!(at("a.e.f"), "a");
    }
}
