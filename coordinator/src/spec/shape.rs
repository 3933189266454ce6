//! Holds a document against the JSON schema of what it should be, and reports every difference at
//! once: unknown fields, missing fields, values of another kind. Only what `schema` makes is
//! understood of JSON Schema.

use serde_json::{Map, Value};

use super::report::Report;
use super::tree::{Key, Kind, Tree};

/// The value as the schema wants it, without the fields that are unknown or cannot be had. Text is
/// taken as it was written, so `version: 1.30` stays 1.30.
pub(super) fn fit(tree: &Tree, text: &str, schema: &Value, report: &mut Report) -> Option<Value> {
    Fit { root: schema, text, report }.value(tree, schema, "")
}

struct Fit<'a> {
    root: &'a Value,
    text: &'a str,
    report: &'a mut Report,
}

impl Fit<'_> {
    fn value(&mut self, tree: &Tree, schema: &Value, path: &str) -> Option<Value> {
        let forms = forms(self.root, schema);
        let hints = schema.get("x-hints").or_else(|| forms.iter().find_map(|f| f.get("x-hints")));
        match (&forms[..], &tree.kind) {
            ([form], _) if form.get("enum").is_none() && form.get("const").is_none() => {
                self.plain(tree, form, path)
            }
            (forms, Kind::Map(entries)) => {
                let name = entries.first().map(|(key, _)| key.name.clone()).unwrap_or_default();
                let chosen = forms.iter().find(|form| property(form, &name).is_some());
                match chosen {
                    // The settings of a choice are what makes it one.
                    Some(form) => self.mapping(tree, form, path).filter(|v| v.get(&name).is_some()),
                    None => self.unknown(tree, path, &name, forms, hints),
                }
            }
            (forms, _) => {
                let name = self.written(tree).unwrap_or_default();
                let known = forms.iter().flat_map(|form| names(form)).any(|known| known == name);
                if known {
                    return Some(Value::String(name));
                }
                self.unknown(tree, path, &name, forms, hints)
            }
        }
    }

    fn plain(&mut self, tree: &Tree, schema: &Value, path: &str) -> Option<Value> {
        let value = match (wanted(schema), &tree.kind) {
            ("object", Kind::Map(_)) => return self.mapping(tree, schema, path),
            ("array", Kind::List(items)) => return self.list(items, schema, path),
            ("string", _) => self.written(tree).map(Value::String),
            ("boolean", Kind::Bool(value)) => Some(Value::Bool(*value)),
            ("integer", Kind::Number(number)) => {
                let bound = |name| schema.get(name).and_then(Value::as_u64);
                let above = |value| bound("minimum").is_none_or(|least| value >= least);
                let below = |value| bound("maximum").is_none_or(|most| value <= most);
                number.as_u64().filter(|n| above(*n) && below(*n)).map(Value::from)
            }
            ("", _) => Some(tree.to_value()),
            _ => None,
        };
        if value.is_none() {
            let message = format!("{} is {}", named(path), self.described(tree));
            self.report.error(path, message, self.wish(schema));
        }
        value
    }

    fn list(&mut self, items: &[Tree], schema: &Value, path: &str) -> Option<Value> {
        let item_schema = schema.get("items")?;
        let mappings = forms(self.root, item_schema).iter().any(|form| wanted(form) == "object");
        if items.is_empty() && schema.get("minItems").is_some() {
            self.report.error(path, format!("{path} is empty"), self.wish(schema));
            return None;
        }
        let mut fitted = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let item = self.value(item, item_schema, &format!("{path}[{index}]"));
            // An item that is no mapping keeps its place, so that the others keep theirs.
            fitted.push(item.or_else(|| mappings.then(|| Value::Object(Map::new()))));
        }
        fitted.into_iter().collect()
    }

    fn mapping(&mut self, tree: &Tree, schema: &Value, path: &str) -> Option<Value> {
        let Kind::Map(entries) = &tree.kind else { return None };
        let mut object = Map::new();
        for (key, value) in entries {
            let inner = join(path, &key.name);
            let other =
                schema.get("additionalProperties").filter(|other| **other != Value::Bool(false));
            // A field without a value is a field left out.
            let absent = value.kind == Kind::Null && !required(schema).any(|name| name == key.name);
            match property(schema, &key.name).or(other) {
                Some(_) if absent => {}
                Some(inner_schema) => {
                    let value = self.value(value, inner_schema, &inner);
                    object.extend(value.map(|value| (key.name.clone(), value)));
                }
                None => self.unknown_field(key, &inner, schema),
            }
        }
        for name in required(schema) {
            if !entries.iter().any(|(key, _)| key.name == name) {
                let inner = join(path, name);
                let wish = property(schema, name).map(|inner| self.wish(inner)).unwrap_or_default();
                self.report.error(&inner, format!("{inner} is missing"), wish);
            }
        }
        Some(Value::Object(object))
    }

    fn unknown_field(&mut self, key: &Key, path: &str, schema: &Value) {
        let name = key.name.as_str();
        let known: Vec<_> = properties(schema).map(|(known, _)| known.as_str()).collect();
        let given = schema.get("x-hints").and_then(|hints| hints.get(name)).and_then(Value::as_str);
        let hint = given.map_or_else(|| advice(name, &known), str::to_owned);
        self.report.error_at(key.span.clone(), path, format!("unknown field `{name}`"), hint);
    }

    fn unknown(
        &mut self,
        tree: &Tree,
        path: &str,
        name: &str,
        forms: &[&Value],
        hints: Option<&Value>,
    ) -> Option<Value> {
        let known: Vec<_> = forms.iter().flat_map(|form| names(form)).collect();
        let given = hints.and_then(|hints| hints.get(name)).and_then(Value::as_str);
        let hint = given.map_or_else(|| advice(name, &known), str::to_owned);
        let field = path.rsplit('.').next().unwrap_or(path);
        let message = match (name, field.split_once('[')) {
            ("", _) => format!("{} is {}", named(path), self.described(tree)),
            (_, Some((list, _))) => format!("unknown value `{name}` in {list}"),
            (_, None) if given.is_some() => format!("{field} `{name}` is not supported"),
            (_, None) => format!("unknown {field} `{name}`"),
        };
        self.report.error(path, message, hint);
        None
    }

    /// What a value should be, in words.
    fn wish(&self, schema: &Value) -> String {
        let form = forms(self.root, schema).first().copied().unwrap_or(schema);
        let described = schema.get("description").or_else(|| form.get("description"));
        let description = described.and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let bound = |name| form.get(name).and_then(Value::as_u64).unwrap_or_default();
        let kind = match wanted(form) {
            "object" => "write a mapping",
            "array" => "write a list",
            "string" => "write text",
            "boolean" => "write true or false",
            "integer" => {
                let (least, most) = (bound("minimum"), bound("maximum"));
                return format!("write a whole number from {least} to {most}. {description}");
            }
            _ => "add it",
        };
        if description.is_empty() { kind.to_owned() } else { format!("{kind}. {description}") }
    }

    /// A scalar as it stands in the file.
    fn written(&self, tree: &Tree) -> Option<String> {
        match &tree.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Bool(_) | Kind::Number(_) => self.text.get(tree.span.clone()).map(str::to_owned),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    fn described(&self, tree: &Tree) -> String {
        match &tree.kind {
            Kind::Null => "empty".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
            Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {
                format!("`{}`", self.written(tree).unwrap_or_default())
            }
        }
    }
}

/// The forms that a value may have: references followed, alternatives laid out, null left out.
fn forms<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let found = root.pointer(name.trim_start_matches('#'));
        return found.map(|schema| forms(root, schema)).unwrap_or_default();
    }
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    match alternatives.and_then(Value::as_array) {
        Some(all) => all.iter().flat_map(|schema| forms(root, schema)).collect(),
        None if schema.get("type").and_then(Value::as_str) == Some("null") => Vec::new(),
        None => vec![schema],
    }
}

/// The type that is wanted; `""`: any. A `[type, null]` is that type.
fn wanted(schema: &Value) -> &str {
    let types = schema.get("type");
    let first = types.and_then(Value::as_array).and_then(|types| types.first());
    first.or(types).and_then(Value::as_str).unwrap_or_default()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get("properties").and_then(|properties| properties.get(name))
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str)
}

/// The words by which one form may be chosen: its values, or the fields of its mapping.
fn names(form: &Value) -> Vec<&str> {
    let values = form.get("enum").and_then(Value::as_array).into_iter().flatten();
    let values = values.chain(form.get("const")).filter_map(Value::as_str);
    values.chain(properties(form).map(|(name, _)| name.as_str())).collect()
}

fn named(path: &str) -> &str {
    if path.is_empty() { "the file" } else { path }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn advice(name: &str, known: &[&str]) -> String {
    let lower = name.to_lowercase();
    let near = known.iter().map(|known| (distance(&lower, &known.to_lowercase()), known)).min();
    let mut list: Vec<_> = known.to_vec();
    list.sort_unstable();
    list.dedup();
    match near {
        Some((away, near)) if away <= 2 && !name.is_empty() => format!("did you mean `{near}`?"),
        _ => format!("known: {}", list.join(", ")),
    }
}

/// Levenshtein's distance.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for (pair, b) in row.windows(2).zip(to.chars()) {
            let (diagonal, above) = (pair.first(), pair.last());
            let (Some(diagonal), Some(above)) = (diagonal, above) else { continue };
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, away) in [("adress", "address", 1), ("kitten", "sitting", 3), ("", "ab", 2)] {
            assert_eq!(distance(a, b), away);
        }
    }
}
