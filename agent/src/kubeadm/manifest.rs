//! Static pods as their manifests have them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::MANIFESTS;
use crate::host::{Host, HostError};

/// The one container of a static pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticPod {
    pub image: String,
    /// Arguments by name, without dashes.
    pub args: BTreeMap<String, String>,
}

impl StaticPod {
    /// The tag of the image, such as `v1.35.4`.
    pub fn tag(&self) -> &str {
        self.image.rsplit(':').next().unwrap_or_default()
    }

    /// The value of an argument.
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args.get(name).map(String::as_str)
    }

    /// Reads a manifest; `None` where the text is no pod.
    pub fn parse(manifest: &[u8]) -> Option<Self> {
        let pod = yaml(manifest);
        let container = pod.pointer("/spec/containers/0")?;
        let command = container.get("command").and_then(Value::as_array);
        let words = command.into_iter().flatten().filter_map(Value::as_str);
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { image, args: args(words) })
    }
}

/// The path of a component's manifest.
pub fn path(component: &str) -> String {
    format!("{MANIFESTS}/{component}.yaml")
}

/// Returns a component's static pod; `None` where there is no manifest, or it is no pod.
pub async fn read(host: &dyn Host, component: &str) -> Result<Option<StaticPod>, HostError> {
    Ok(host.read(&path(component)).await?.and_then(|content| StaticPod::parse(&content)))
}

/// A YAML document; null where the text is none.
pub fn yaml(text: &[u8]) -> Value {
    serde_saphyr::from_str(&String::from_utf8_lossy(text)).unwrap_or_default()
}

/// The arguments of a command line, `--name=value` or `--name` for true.
pub fn args<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let flags = words.filter_map(|word| word.strip_prefix("--"));
    flags
        .map(|flag| flag.split_once('=').unwrap_or((flag, "true")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_gives_image_and_arguments() {
        let text = "kind: Pod\nspec:\n  containers:\n  - image: registry:5000/kube-apiserver:v1.35.4\n    \
                    command: [kube-apiserver, --secure-port=6443, --profiling]\n";
        let pod = StaticPod::parse(text.as_bytes()).unwrap();
        assert_eq!((pod.tag(), pod.arg("secure-port")), ("v1.35.4", Some("6443")));
        assert_eq!((pod.arg("profiling"), pod.arg("kube-apiserver")), (Some("true"), None));
        assert_eq!(StaticPod::parse(b"kind: Pod\n"), None);
        assert_eq!(StaticPod::parse(b""), None);
    }
}
