//! Watchers of a cluster that goes on: how long was it silent between two signs of life?

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::site::Lab;

/// Far beyond the three seconds in which HAProxy drops a dead API server.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Writes through the load balancer, and etcd's quorum, both watched from outside.
pub struct Watch {
    pub writes: Watcher,
    pub quorum: Watcher,
}

impl Watch {
    /// Begins; the kubeconfig must be there.
    pub fn begin(lab: &Lab) -> Self {
        Self { writes: Watcher::begin(lab, "writes"), quorum: Watcher::begin(lab, "quorum") }
    }
}

/// A process that prints a line for each sign of life.
pub struct Watcher {
    child: Child,
    seen: Arc<Mutex<Vec<Instant>>>,
}

impl Watcher {
    fn begin(lab: &Lab, what: &str) -> Self {
        let mut command = lab.command("watch");
        let mut child = command.arg(what).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if line.is_err() {
                    return;
                }
                list.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
        });
        Self { child, seen }
    }

    /// The longest time without a sign between two moments, those at its ends included.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let seen = self.seen();
        let before = seen.iter().rev().find(|at| **at <= from).copied().unwrap_or(from);
        let within = seen.iter().filter(|at| **at > from && **at <= to).copied();
        let (mut longest, mut last) = (Duration::ZERO, before);
        for at in within.chain([to]) {
            longest = longest.max(at.duration_since(last));
            last = at;
        }
        longest
    }

    /// Waits for further signs.
    ///
    /// # Panics
    /// If they do not come.
    pub fn expect(&self, further: usize, when: &str) {
        let (wanted, began) = (self.seen().len() + further, Instant::now());
        while self.seen().len() < wanted {
            assert!(began.elapsed() < PATIENCE, "the cluster does not go on {when}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
