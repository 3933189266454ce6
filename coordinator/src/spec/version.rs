//! Checks of the head of the file and of the version.

use quorate_proto::KubernetesVersion;

use super::file::{File, Kubernetes};
use super::report::Report;

const API_VERSION: &str = "quorate.dev/v1alpha1";

/// The cluster's name, once the head is right.
pub(super) fn name(file: &File, report: &mut Report) -> Option<String> {
    if let Some(version) = file.api_version.as_deref().filter(|v| *v != API_VERSION) {
        let message = format!("apiVersion `{version}` is not known");
        report.error("apiVersion", message, format!("write apiVersion: {API_VERSION}"));
    }
    if let Some(kind) = file.kind.as_deref().filter(|kind| *kind != "Cluster") {
        let message = format!("kind `{kind}` is not known");
        report.error("kind", message, "write kind: Cluster");
    }
    let name = file.metadata.as_ref()?.name.as_ref()?;
    if is_label(name) {
        return Some(name.clone());
    }
    let message = format!("{name:?} cannot name a cluster");
    let hint = "use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends";
    report.error("metadata.name", message, hint);
    None
}

/// A DNS label of RFC 1123.
pub(super) fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.chars().all(|c| plain(c) || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain)
}

/// A DNS name: labels with dots between them.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The version, if quorate drives it.
pub(super) fn version(file: Option<&Kubernetes>, report: &mut Report) -> Option<KubernetesVersion> {
    const PATH: &str = "spec.kubernetes.version";
    let (least, most) = (KubernetesVersion::MINORS.start(), KubernetesVersion::MINORS.end());
    let range = format!("choose a released version from v1.{least} to v1.{most}, such as v1.35.4");
    let version: KubernetesVersion =
        report.parsed(PATH, file?.version.as_deref()?.parse(), &range)?;
    if version.supported() {
        return Some(version);
    }
    let why = if version.major == 1 && version.minor < *least {
        "before v1.33 kubeadm's etcd-join is no phase that it runs by default, so joins of control \
         planes cannot be kept from changing etcd's membership at once"
    } else {
        "quorate was not tried with it, and kubeadm's phases change between minors"
    };
    report.error(PATH, format!("quorate does not drive {version}: {why}"), range);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_names_follow_rfc_1123() {
        assert!(is_label("lab") && is_label("0-a") && is_dns_name("api.example.org"));
        for bad in ["", "Lab", "-a", "a-", "a.b", "a_b"] {
            assert!(!is_label(bad), "{bad}");
        }
        assert!(!is_dns_name("a..b") && !is_dns_name("api.example.org."));
    }
}
