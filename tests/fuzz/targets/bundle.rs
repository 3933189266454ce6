//! Trust bundles, as they come over any way: what strangers signed is refused, and what the site's own
//! root signs is taken whole or leaves all as it was.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use quorate_proto::trust::{Policy, RootKeys, SignedBundle, SiteId, TrustBundle};

/// A site, and the bundle that its agents keep.
static SITE: LazyLock<(RootKeys, TrustBundle)> = LazyLock::new(|| {
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    let site: SiteId = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9".parse().unwrap();
    let keys = RootKeys::create(site, now).unwrap();
    let kept = TrustBundle { generation: 5, ..keys.first_bundle(now) };
    (keys, kept)
});

fuzz_target!(|text: &str| {
    let (keys, kept) = &*SITE;
    if let Ok(signed) = SignedBundle::from_json(text) {
        assert_eq!(SignedBundle::from_json(&signed.to_json()), Ok(signed.clone()));
        kept.accept(&signed).expect_err("the root's key is of this process alone");
    }
    // No mutation makes a signature: what stands behind it is reached by signing here.
    let Ok(next) = serde_json::from_str::<TrustBundle>(text) else { return };
    // The text cannot know roots of this process: it has its own, or those of the site.
    let of_site = TrustBundle {
        site: kept.site,
        operator_roots: [&next.operator_roots[..], &kept.operator_roots].concat(),
        node_roots: [&next.node_roots[..], &kept.node_roots].concat(),
        ..next.clone()
    };
    let roots = TrustBundle { operator_roots: kept.operator_roots.clone(), ..of_site.clone() };
    let roots = TrustBundle { node_roots: kept.node_roots.clone(), ..roots };
    for next in [next, of_site, roots] {
        let signed = keys.sign(&next).unwrap();
        assert_eq!(SignedBundle::from_json(&signed.to_json()), Ok(signed.clone()));
        let Ok(taken) = kept.accept(&signed) else { continue };
        assert_eq!((taken.site, &taken), (kept.site, &next));
        assert!(taken.generation > kept.generation);
        assert!(!taken.operator_roots.is_empty() && !taken.node_roots.is_empty());
        Policy::new(taken);
    }
});
