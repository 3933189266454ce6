//! Where a site keeps its authorities: the roots' certificates and the issuing authorities in the
//! state folder, the roots' own keys in a folder that may be taken away.

use std::path::{Path, PathBuf};

use quorate_proto::Secret;
use quorate_proto::trust::{RootKeys, Roots, RootsPem, SiteId};

use super::SiteError;
use super::folder::{make_private, read, write_private};

/// Where the roots' keys are, unless they were moved.
pub const ROOT_KEYS: &str = "root-keys";
const AUTHORITIES: &str = "authorities";
const OPERATORS: &str = "operators.crt";
/// Key and certificate in one file: after a crash both are the old ones or the new.
const OPERATORS_ISSUING: &str = "operators-issuing.pem";
const NODES: &str = "nodes.crt";
const NODES_ISSUING: &str = "nodes-issuing.pem";
const OPERATORS_ROOT_KEY: &str = "operators.key";
const NODES_ROOT_KEY: &str = "nodes.key";

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
    let both = |key: &Secret, certificate: &str| Secret::new(key.expose().to_owned() + certificate);
    let operators = both(&pem.operators_key_pem, &pem.operators_issuing_pem);
    let nodes = both(&pem.nodes_key_pem, &pem.nodes_issuing_pem);
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

fn load_pem(folder: &Path) -> Result<RootsPem, SiteError> {
    let file = |name: &str| {
        let path = folder.join(AUTHORITIES).join(name);
        read(&path)?.ok_or(SiteError::Incomplete { path })
    };
    let both = |name: &str| {
        let text = file(name)?;
        let parts = text.expose().split_at_checked(text.expose().find(CERTIFICATE).unwrap_or(0));
        let (key, certificate) = parts.unwrap_or_default();
        Ok((Secret::new(key.to_owned()), certificate.to_owned()))
    };
    let (operators_key_pem, operators_issuing_pem) = both(OPERATORS_ISSUING)?;
    let (nodes_key_pem, nodes_issuing_pem) = both(NODES_ISSUING)?;
    Ok(RootsPem {
        operators_pem: file(OPERATORS)?.expose().to_owned(),
        operators_issuing_pem,
        operators_key_pem,
        nodes_pem: file(NODES)?.expose().to_owned(),
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

/// The roots' keys, from the folder where they are now.
pub(super) fn load_root_keys(
    folder: &Path,
    keys: Option<&Path>,
    site: SiteId,
) -> Result<RootKeys, SiteError> {
    let keys = keys.map_or_else(|| folder.join(ROOT_KEYS), PathBuf::from);
    let missing = || SiteError::NoRootKeys { folder: keys.clone() };
    let key = |name: &str| read(&keys.join(name))?.ok_or_else(missing);
    let (operators, nodes) = (key(OPERATORS_ROOT_KEY)?, key(NODES_ROOT_KEY)?);
    RootKeys::load(site, &load_pem(folder)?, &operators, &nodes).map_err(SiteError::Trust)
}
