//! What the texts in goals, orders and join material may look like: one function a kind of text.
//!
//! An agent takes nothing else, whoever sent it. What would reach a command line begins with no dash,
//! what names a file has no slash, and nothing but texts of several lines holds a control character.

use std::net::IpAddr;

/// Most items of any list or map.
pub(super) const ITEMS: usize = 1024;
/// Most nodes of a cluster, which is what Kubernetes is tested with
/// (<https://kubernetes.io/docs/setup/best-practices/cluster-large/>).
pub const NODES: usize = 5000;
/// Longest text that is not a manifest, a key or a certificate.
pub(super) const TEXT: usize = 4096;
/// Largest manifest, as a specification takes it.
pub(super) const MANIFEST: usize = 3 * 1024 * 1024;
/// Largest key of a repository, as a specification takes it.
pub(super) const KEY: usize = 1024 * 1024;
/// Largest certificate authority, PEM.
pub(super) const CERTIFICATE: usize = 64 * 1024;

fn of(text: &str, most: usize, first: fn(char) -> bool, rest: fn(char) -> bool) -> bool {
    (1..=most).contains(&text.len()) && text.starts_with(first) && text.chars().all(rest)
}

/// Runs and operations: UUIDs, and what tests call them.
pub(super) fn id(text: &str) -> bool {
    of(text, 64, |c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// A DNS label of RFC 1123.
pub(super) fn label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.chars().all(|c| plain(c) || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain)
}

/// Labels with dots between them.
pub(super) fn dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(label)
}

/// An address or a DNS name, with a `*.` before it where certificates have one.
pub(super) fn host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || dns_name(text.strip_prefix("*.").unwrap_or(text))
}

pub(super) fn module(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    of(text, 55, word, |c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// A name of a file in a folder of apt's.
pub(super) fn source_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    of(text, 64, word, |c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// Debian's policy 5.6.1.
pub(super) fn package(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() > 1
        && of(text, 128, plain, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c)
        })
}

pub(super) fn package_version(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || ".+:~_-".contains(c);
    of(text, 64, |c| c.is_ascii_digit(), rest)
}

/// A suite or a component: one word.
pub(super) fn word(text: &str) -> bool {
    of(text, 256, |c| c.is_ascii_graphic() && c != '-', |c| c.is_ascii_graphic())
}

/// http, https or file, and no password: plans and logs show URLs.
pub(super) fn url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    ["http", "https", "file"].contains(&scheme)
        && of(rest, 2048, |c| c != '-', |c| c.is_ascii_graphic())
        && !authority.contains('@')
}

/// An image or a repository of images.
pub(super) fn image(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || "./:@_-".contains(c);
    of(text, 512, |c| c.is_ascii_alphanumeric(), rest)
}

/// An argument of a component of Kubernetes, without its dashes.
pub(super) fn argument(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    of(text, 128, |c| c.is_ascii_alphanumeric(), rest)
}

/// A check of kubeadm's, such as `FileContent--proc-sys-net-ipv4-ip_forward`.
pub(super) fn preflight_check(text: &str) -> bool {
    of(text, 256, |c| c.is_ascii_alphanumeric(), |c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// A text of one line; it may be empty.
pub(super) fn line(text: &str) -> bool {
    text.len() <= TEXT && !text.contains(char::is_control)
}

/// A text of several lines, of at most so many bytes.
pub(super) fn lines(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.chars().all(|c| !c.is_control() || ['\n', '\r', '\t'].contains(&c))
}

/// Parameters that nodes of clusters set, and no way to make the kernel run a program
/// (`kernel.core_pattern`, `kernel.modprobe`) or to let a user read what root left in memory.
pub(super) fn sysctl(key: &str) -> bool {
    const KNOWN: [&str; 17] = [
        "fs.file-max",
        "fs.inotify.max_queued_events",
        "fs.inotify.max_user_instances",
        "fs.inotify.max_user_watches",
        "fs.nr_open",
        "kernel.keys.root_maxbytes",
        "kernel.keys.root_maxkeys",
        "kernel.panic",
        "kernel.panic_on_oops",
        "kernel.pid_max",
        "kernel.threads-max",
        "vm.dirty_background_ratio",
        "vm.dirty_ratio",
        "vm.max_map_count",
        "vm.overcommit_memory",
        "vm.panic_on_oom",
        "vm.swappiness",
    ];
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !part.is_empty() && part.chars().all(plain)
    };
    let of_network = key.strip_prefix("net.").is_some_and(|rest| rest.split('.').all(part));
    key.len() <= 128 && (of_network || KNOWN.contains(&key))
}

/// Up to four whole numbers, or the name of an algorithm.
pub(super) fn sysctl_value(value: &str) -> bool {
    let number = |word: &str| {
        let digits = word.strip_prefix('-').unwrap_or(word);
        (1..=19).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit())
    };
    let words: Vec<&str> = value.split([' ', '\t']).collect();
    let algorithm = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    words.len() <= 4 && words.iter().all(|word| number(word))
        || of(value, 32, |c| c.is_ascii_lowercase(), algorithm)
}

/// kubeadm's bootstrap token.
pub(super) fn bootstrap_token(text: &str) -> bool {
    let plain = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.split_once('.').is_some_and(|(id, secret)| {
        id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
    })
}

/// As kubeadm seals certificates with it.
pub(super) fn certificate_key(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}
