//! Names of images, as containerd writes them out in full.

/// The name in full: with a registry, and with a tag where it has neither tag nor digest.
pub(super) fn full(name: &str) -> String {
    let with_registry = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => {
            // Docker's registry has two names; a bare one there belongs to its library.
            if matches!(first, "docker.io" | "index.docker.io") {
                format!("docker.io/{}", in_library(rest))
            } else {
                name.to_owned()
            }
        }
        Some(_) | None => format!("docker.io/{}", in_library(name)),
    };
    let last = with_registry.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { with_registry } else { format!("{with_registry}:latest") }
}

/// A registry has a dot or a port, or is this machine.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn in_library(path: &str) -> String {
    if path.contains('/') { path.to_owned() } else { format!("library/{path}") }
}

/// The image's own name: without registry, path, tag and digest.
pub(super) fn base(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out_as_containerd_does() {
        let cases = [
            ("registry.k8s.io/pause:3.10.1", "registry.k8s.io/pause:3.10.1"),
            ("busybox", "docker.io/library/busybox:latest"),
            ("flannel/flannel:v1", "docker.io/flannel/flannel:v1"),
            ("index.docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("localhost/x", "localhost/x:latest"),
            ("10.0.0.1:5000/x", "10.0.0.1:5000/x:latest"),
            ("10.0.0.1:5000/x:1", "10.0.0.1:5000/x:1"),
            ("ghcr.io/a/b@sha256:12", "ghcr.io/a/b@sha256:12"),
        ];
        for (short, long) in cases {
            assert_eq!(full(short), long);
        }
    }

    #[test]
    fn a_base_name_has_neither_path_nor_tag() {
        assert_eq!(base("registry.k8s.io/coredns/coredns:v1.13.1"), "coredns");
        assert_eq!(base("10.0.0.1:5000/pause@sha256:12"), "pause");
    }
}
