//! The places where a change of roots may be cut off between two files, as a crash leaves them.

use std::path::PathBuf;
use std::time::Duration;

use quorate_proto::trust::{KeyDigest, TrustBundle};
use tempfile::TempDir;

use super::*;
use crate::site::{Deny, ROOT_KEYS};

struct Folder {
    _above: TempDir,
    state: PathBuf,
    now: SystemTime,
    /// What an agent keeps that heard of every bundle.
    kept: TrustBundle,
}

impl Folder {
    fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        let (state, now) = (above.path().join("state"), SystemTime::now());
        let site = Site::create(&state, now).unwrap();
        let kept = site.bundle().unwrap().0;
        Self { _above: above, state, now, kept }
    }

    fn site(&self) -> Site {
        Site::open(&self.state).unwrap()
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.state.join(file)).unwrap()
    }

    /// Puts a file back as it was, as if its change had not come.
    fn put_back(&self, file: &str, content: &str) {
        std::fs::write(self.state.join(file), content).unwrap();
    }

    /// The agent hears of the newest bundle, and takes it.
    fn heard(&mut self) {
        let (newest, signed) = self.site().bundle().unwrap();
        if newest != self.kept {
            self.kept = self.kept.accept(&signed).unwrap();
        }
    }

    /// Whoever changes who is trusted can do so at any moment.
    fn can_deny(&mut self) {
        let key = Deny::Key(KeyDigest([7; 32]));
        self.site().deny(&key, None, self.now + Duration::from_secs(60)).unwrap();
        self.heard();
    }

    fn announce(&self) {
        self.site().announce(None, self.now).unwrap();
    }

    fn use_new(&self) -> Vec<NodeName> {
        self.site().use_new(None, self.now).unwrap()
    }

    fn retire(&self) {
        self.site().retire(None, self.now).unwrap();
    }

    fn finish(&mut self) {
        let site = self.site();
        settle_root_keys(&site.root_keys(None), &site.roots.to_pem()).unwrap();
        assert_eq!(site.phase().unwrap(), Phase::Standby);
        self.can_deny();
    }
}

#[test]
fn new_roots_whose_keys_came_without_their_bundle_are_made_again() {
    let mut folder = Folder::new();
    let bundle = folder.read("trust.json");
    folder.announce();
    folder.put_back("trust.json", &bundle);
    assert_eq!(folder.site().phase().unwrap(), Phase::Standby);
    folder.can_deny();
    folder.announce();
    folder.heard();
    assert_eq!(folder.site().phase().unwrap(), Phase::Announced);
    folder.can_deny();
    folder.use_new();
    folder.heard();
    folder.retire();
    folder.heard();
    folder.finish();
}

#[test]
fn authorities_that_changed_in_part_or_without_their_bundle_change_again() {
    const FILES: [&str; 5] = [
        "authorities/operators-issuing.pem",
        "authorities/operators.crt",
        "authorities/nodes-issuing.pem",
        "authorities/nodes.crt",
        "trust.json",
    ];
    for changed in 0..FILES.len() {
        let mut folder = Folder::new();
        folder.announce();
        folder.heard();
        let before = FILES.map(|file| folder.read(file));
        folder.use_new();
        for (file, content) in FILES.iter().zip(&before).skip(changed) {
            folder.put_back(file, content);
        }
        assert_eq!(folder.site().phase().unwrap(), Phase::Announced, "{changed}");
        folder.can_deny();
        folder.use_new();
        folder.heard();
        let site = folder.site();
        assert_eq!(site.phase().unwrap(), Phase::InUse, "{changed}");
        let roots = site.roots.to_pem();
        let (bundle, _) = site.bundle().unwrap();
        assert_eq!(bundle.operator_roots[0], roots.operators_pem, "{changed}");
        assert_eq!(bundle.node_roots[0], roots.nodes_pem, "{changed}");
        folder.can_deny();
        folder.retire();
        folder.heard();
        folder.finish();
    }
}

#[test]
fn a_change_that_ended_before_its_keys_were_in_place_does_not_lose_them() {
    let mut folder = Folder::new();
    for _ in 0..3 {
        folder.announce();
        folder.heard();
        folder.can_deny();
        folder.use_new();
        folder.heard();
        folder.retire();
        folder.heard();
        // Cut off here: the next change begins by putting them in place.
        folder.can_deny();
    }
    folder.finish();
    let keys = folder.state.join(ROOT_KEYS);
    let names = keys.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<BTreeSet<_>>(), ["nodes.key".into(), "operators.key".into()].into());
    assert_eq!(folder.kept.operator_roots.len(), 1);
}

#[test]
fn without_the_roots_keys_nothing_begins() {
    let above = tempfile::tempdir().unwrap();
    let (state, safe) = (above.path().join("state"), above.path().join("safe"));
    let site = Site::create_apart(&state, Some(&safe), SystemTime::now()).unwrap();
    let error = site.announce(None, SystemTime::now()).unwrap_err();
    assert!(matches!(error, SiteError::NoRootKeys { .. }), "{error}");
    site.announce(Some(&safe), SystemTime::now()).unwrap();
    assert!(matches!(site.use_new(None, SystemTime::now()), Err(SiteError::NoRootKeys { .. })));
    site.use_new(Some(&safe), SystemTime::now()).unwrap();
}
