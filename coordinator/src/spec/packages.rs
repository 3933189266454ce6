//! Checks of where packages come from, and which are installed.

use quorate_proto::KubernetesVersion;
use quorate_proto::goal::PackageSource;

use super::cluster::PackageSettings;
use super::companion::{Folder, LARGEST};
use super::file;
use super::report::Report;

const REPOSITORY: &str = "spec.packages.repository";
const KUBERNETES: &str = "spec.packages.kubernetes";

/// Where packages come from, and the version of kubeadm, kubelet and kubectl.
pub(super) fn packages(
    file: &file::Packages,
    version: Option<KubernetesVersion>,
    folder: &Folder,
    report: &mut Report,
) -> Option<PackageSettings> {
    let repository = match &file.repository {
        Some(repository) => Some(source(repository, folder, report)?),
        None => {
            report.defaults.push((REPOSITORY.to_owned(), "the nodes' own sources".to_owned()));
            None
        }
    };
    let plain = version?.to_string().trim_start_matches('v').to_owned();
    let kubernetes = report.or(KUBERNETES, file.kubernetes.clone(), format!("{plain}-1.1"));
    let upstream = kubernetes.split_once('-').map_or(kubernetes.as_str(), |(upstream, _)| upstream);
    if upstream != plain {
        let message = format!("packages of version {kubernetes} are not of Kubernetes v{plain}");
        let hint = format!("write the whole version as apt shows it, such as {plain}-1.1");
        report.error(KUBERNETES, message, hint);
    }
    Some(PackageSettings { repository, kubernetes })
}

fn source(file: &file::Repository, folder: &Folder, report: &mut Report) -> Option<PackageSource> {
    let name_path = format!("{REPOSITORY}.name");
    let name = report.or(&name_path, file.name.clone(), "kubernetes".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let message = format!("{name:?} cannot name a file of apt");
        report.error(&name_path, message, "use letters, digits, '-' and '_'");
    }
    if let Some(given) = &file.url {
        url(&format!("{REPOSITORY}.url"), given, &["http", "https", "file"], report);
    }
    let suite = report.or(&format!("{REPOSITORY}.suite"), file.suite.clone(), "/".to_owned());
    components(&suite, &file.components, report);
    let key = key(file, folder, report)?;
    Some(PackageSource {
        name,
        url: file.url.clone()?,
        suite,
        components: file.components.clone(),
        key,
    })
}

/// sources.list(5): a suite that ends in `/` is a path and has no components; any other needs one.
fn components(suite: &str, components: &[String], report: &mut Report) {
    let path = format!("{REPOSITORY}.components");
    if suite.ends_with('/') && !components.is_empty() {
        let message = format!("the flat repository {suite} has no components");
        report.error(&path, message, "leave components out, or write a suite without a final '/'");
    } else if !suite.ends_with('/') && components.is_empty() {
        let message = format!("the suite {suite} needs components");
        report.error(&path, message, "write components: [main], or suite: / for a flat repository");
    }
    for word in components.iter().map(String::as_str).chain([suite]) {
        if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let message = format!("{word:?} is no suite or component");
            report.error(&path, message, "write each as one word");
        }
    }
}

fn key(file: &file::Repository, folder: &Folder, report: &mut Report) -> Option<String> {
    let (path, key) = match (&file.key_file, &file.key) {
        (Some(key_file), None) => {
            let path = format!("{REPOSITORY}.keyFile");
            let hint =
                "give the path of the public key that signs the repository, relative to this file";
            let key = report.parsed(&path, folder.read(key_file, LARGEST), hint)?;
            (path, key)
        }
        (None, Some(key)) => (format!("{REPOSITORY}.key"), key.clone()),
        (Some(_), Some(_)) => {
            let message = "the key is given twice, by keyFile and by key";
            report.error(&format!("{REPOSITORY}.key"), message, "leave one of them out");
            return None;
        }
        (None, None) => {
            let message = "nothing says which key signs the repository";
            report.error(REPOSITORY, message, "write keyFile: PATH of the armored public key");
            return None;
        }
    };
    if key.contains("PRIVATE KEY") {
        let hint = "export the public half alone: gpg --armor --export";
        report.error(&path, "this is a private key", hint);
        return None;
    }
    if !key.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        let hint = "give the armored key: gpg --armor --export, or gpg --enarmor of a .gpg file";
        report.error(&path, "this is no armored public key", hint);
        return None;
    }
    Some(key)
}

/// Reports a URL of another scheme, and one that holds a password: plans and stores show URLs.
pub(super) fn url(path: &str, url: &str, schemes: &[&str], report: &mut Report) {
    let rest = url.split_once("://").filter(|(scheme, rest)| {
        let blank = |c: char| c.is_whitespace() || c.is_control();
        schemes.contains(scheme) && !rest.is_empty() && !rest.contains(blank)
    });
    let Some((_, rest)) = rest else {
        let hint = format!("write SCHEME://HOST/PATH, with one of {}", schemes.join(", "));
        // Not shown: a URL that cannot be read may still hold a password.
        report.error(path, "this is not a URL that nodes can fetch", hint);
        return;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        let hint = "plans and logs show URLs: serve it without a password, or keep the password in \
                    /etc/apt/auth.conf.d on the nodes";
        report.error(path, "the URL holds a user name or password", hint);
    }
}
