//! What `verify` waits for, and what it tells at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Site;
use crate::driver::settled::{SETTLING, settled};
use crate::fleet::Fleet;

/// How long a look took, what differed in the end, and how often a wait was told.
async fn look(site: &Site) -> (Duration, Vec<String>, usize) {
    let fleet: Arc<dyn Fleet> = Arc::new(site.fleet.clone());
    let (began, mut told) = (Instant::now(), 0);
    let (outline, findings, _) = settled(&fleet, &site.spec, |_| told += 1).await.unwrap();
    let differing = outline.differing(&findings).map(|(step, _)| step.id.to_string()).collect();
    (began.elapsed(), differing, told)
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ready_for_a_moment_are_no_difference() {
    let site = Site::new();
    site.apply().await;
    assert_eq!(look(&site).await, (Duration::ZERO, vec![], 0));

    site.fleet.forget("cp-1", "system-pods-ready");
    let fleet = site.fleet.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(9)).await;
        fleet.regain("cp-1", "system-pods-ready");
    });
    let (took, differing, told) = look(&site).await;
    assert_eq!((differing, told), (vec![], 1));
    assert!(took >= Duration::from_secs(9) && took < SETTLING, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_settle_is_a_difference_in_the_end() {
    let site = Site::new();
    site.apply().await;
    site.fleet.forget("cp-1", "system-pods-ready");
    let (took, differing, told) = look(&site).await;
    assert_eq!((took, told), (SETTLING, 1));
    assert_eq!(differing, ["cp-1/system-pods-ready"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_that_time_alone_does_not_mend() {
    let site = Site::new();
    site.apply().await;
    site.fleet.forget("cp-1", "system-pods-ready");
    site.fleet.silence("worker-1", true);
    assert_eq!(look(&site).await.0, Duration::ZERO, "a node is silent");

    site.fleet.silence("worker-1", false);
    site.fleet.forget("cp-2", "sysctls");
    let (took, differing, _) = look(&site).await;
    assert_eq!(took, Duration::ZERO, "only an apply brings the sysctls back");
    assert_eq!(differing.len(), 2);
}
