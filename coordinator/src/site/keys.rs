//! Where a site keeps its authorities: the roots' certificates and the issuing authorities in the
//! state folder, the roots' own keys in a folder that may be taken away.

use std::path::{Path, PathBuf};

use quorate_proto::Secret;
use quorate_proto::trust::{RootKeys, Roots, RootsPem, SiteId};

use super::SiteError;
use super::folder::{make_private, read, remove, write_private};

/// Where the roots' keys are, unless they were moved.
pub const ROOT_KEYS: &str = "root-keys";
const AUTHORITIES: &str = "authorities";
const OPERATORS: &str = "operators.crt";
/// Key, certificate and root in one file: after a crash they are all the old ones or the new.
const OPERATORS_ISSUING: &str = "operators-issuing.pem";
const NODES: &str = "nodes.crt";
const NODES_ISSUING: &str = "nodes-issuing.pem";
const OPERATORS_ROOT_KEY: &str = "operators.key";
const NODES_ROOT_KEY: &str = "nodes.key";
/// Of the roots that come, until those that go are gone.
const NEXT_OPERATORS_ROOT_KEY: &str = "next-operators.key";
const NEXT_NODES_ROOT_KEY: &str = "next-nodes.key";

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// What a quorate from before the first release kept beside the site's name.
const BEFORE: &str = "operators.key";

/// Refuses a folder whose roots sign leaves themselves.
pub(super) fn refuse_older(folder: &Path) -> Result<(), SiteError> {
    let older = folder.join(BEFORE).exists() && !folder.join(AUTHORITIES).exists();
    if older { Err(SiteError::Older { folder: folder.to_owned() }) } else { Ok(()) }
}

/// Keeps the certificates and the issuing authorities.
pub(super) fn keep(folder: &Path, roots: &Roots) -> Result<(), SiteError> {
    let folder = folder.join(AUTHORITIES);
    make_private(&folder)?;
    let pem = roots.to_pem();
    let all = |key: &Secret, certificate: &str, root: &str| {
        Secret::new([key.expose(), certificate, root].concat())
    };
    let operators = all(&pem.operators_key_pem, &pem.operators_issuing_pem, &pem.operators_pem);
    let nodes = all(&pem.nodes_key_pem, &pem.nodes_issuing_pem, &pem.nodes_pem);
    let files = [
        (OPERATORS_ISSUING, operators.expose()),
        (OPERATORS, &pem.operators_pem),
        (NODES_ISSUING, nodes.expose()),
        (NODES, &pem.nodes_pem),
    ];
    files.iter().try_for_each(|(name, content)| write_private(&folder.join(name), content))
}

/// The authorities that sign leaves.
pub(super) fn load(folder: &Path, site: SiteId) -> Result<Roots, SiteError> {
    Roots::load(site, &load_pem(folder)?).map_err(SiteError::Trust)
}

pub(super) fn load_pem(folder: &Path) -> Result<RootsPem, SiteError> {
    let file = |name: &str| {
        let path = folder.join(AUTHORITIES).join(name);
        read(&path)?.ok_or(SiteError::Incomplete { path })
    };
    // Key, certificate, root. A folder of an earlier quorate has the root in its own file alone.
    let all = |name: &str, root: &str| {
        let text = file(name)?;
        let text = text.expose();
        let mut starts = text.match_indices(CERTIFICATE).map(|(at, _)| at);
        let certificate = starts.next().unwrap_or(0);
        let (key, rest) = text.split_at_checked(certificate).unwrap_or_default();
        let end = starts.next().map_or(rest.len(), |at| at - certificate);
        let (issuing, kept) = rest.split_at_checked(end).unwrap_or_default();
        let root = if kept.is_empty() { file(root)?.expose().to_owned() } else { kept.to_owned() };
        Ok((Secret::new(key.to_owned()), issuing.to_owned(), root))
    };
    let (operators_key_pem, operators_issuing_pem, operators_pem) =
        all(OPERATORS_ISSUING, OPERATORS)?;
    let (nodes_key_pem, nodes_issuing_pem, nodes_pem) = all(NODES_ISSUING, NODES)?;
    Ok(RootsPem {
        operators_pem,
        operators_issuing_pem,
        operators_key_pem,
        nodes_pem,
        nodes_issuing_pem,
        nodes_key_pem,
    })
}

/// Keeps the keys of new roots, in a folder that holds none.
pub(super) fn keep_root_keys(folder: &Path, keys: &RootKeys) -> Result<(), SiteError> {
    make_private(folder)?;
    let (operators, nodes) = keys.keys_pem();
    for (name, key) in [(OPERATORS_ROOT_KEY, operators), (NODES_ROOT_KEY, nodes)] {
        let path = folder.join(name);
        if read(&path)?.is_some() {
            return Err(SiteError::KeysExist { path });
        }
        write_private(&path, key.expose())?;
    }
    Ok(())
}

/// Keeps the keys of the roots that come beside those of the roots that go. What an announcement that
/// was cut off left there is of no use to anybody.
pub(super) fn keep_next_root_keys(folder: &Path, keys: &RootKeys) -> Result<(), SiteError> {
    let (operators, nodes) = keys.keys_pem();
    write_private(&folder.join(NEXT_OPERATORS_ROOT_KEY), operators.expose())?;
    write_private(&folder.join(NEXT_NODES_ROOT_KEY), nodes.expose())
}

/// Puts the keys of these roots in their place where they came last: the keys before are gone then.
pub(super) fn settle_root_keys(folder: &Path, roots: &RootsPem) -> Result<(), SiteError> {
    for (root, name, next) in places(roots) {
        let next = folder.join(next);
        if let Some(key) = read(&next)?.filter(|key| RootKeys::is_key_of(key, root)) {
            write_private(&folder.join(name), key.expose())?;
            remove(&next)?;
        }
    }
    Ok(())
}

fn places(roots: &RootsPem) -> [(&str, &'static str, &'static str); 2] {
    [
        (&roots.operators_pem, OPERATORS_ROOT_KEY, NEXT_OPERATORS_ROOT_KEY),
        (&roots.nodes_pem, NODES_ROOT_KEY, NEXT_NODES_ROOT_KEY),
    ]
}

/// Where the roots' keys are now.
pub(super) fn root_keys_folder(folder: &Path, keys: Option<&Path>) -> PathBuf {
    keys.map_or_else(|| folder.join(ROOT_KEYS), PathBuf::from)
}

/// The keys of the roots that the site works with.
pub(super) fn load_root_keys(
    folder: &Path,
    keys: Option<&Path>,
    site: SiteId,
) -> Result<RootKeys, SiteError> {
    root_keys_of(&load_pem(folder)?, &root_keys_folder(folder, keys), site)
}

/// The keys of these roots.
pub(super) fn root_keys_of(
    roots: &RootsPem,
    keys: &Path,
    site: SiteId,
) -> Result<RootKeys, SiteError> {
    let missing = || SiteError::NoRootKeys { folder: keys.to_owned() };
    let [operators, nodes] = places(roots).map(|(root, name, next)| {
        let next = read(&keys.join(next))?.filter(|key| RootKeys::is_key_of(key, root));
        match next {
            Some(key) => Ok(key),
            None => read(&keys.join(name))?.ok_or_else(missing),
        }
    });
    RootKeys::load(site, roots, &operators?, &nodes?).map_err(SiteError::Trust)
}
