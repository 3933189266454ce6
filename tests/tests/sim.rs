//! The simulation: coordinators that die after any event, and rules that are left out.

use quorate_proto::{RunId, Term};
use quorate_tests::sim::{End, Log, Random, Rules, SimCluster, apply, sample};

/// Seeds of each test; `QUORATE_SEEDS` asks for more.
const SEEDS: u64 = 32;
/// Every event of a run is tried as its last, and no run has more than this.
const NEVER: usize = usize::MAX;

fn term(number: u64) -> Term {
    Term { number, run: RunId(format!("run-{number}")) }
}

fn world(seed: u64) -> SimCluster {
    let mut random = Random::new(seed ^ 0xc0ffee);
    let planes = [1, 3, 3, 3, 3, 4, 5, 7][random.below(8)];
    let workers = [0, 0, 1, 2, 3, 3, 4, 8][random.below(8)];
    SimCluster::new(sample(planes, workers), !random.percent(10))
}

/// A cluster is brought up by a coordinator that dies after `kill` events, then by others that
/// may die too, and at last, without faults, by one that must finish. Gives how many events the
/// first one saw, or what went wrong.
fn case(seed: u64, kill: usize, rules: Rules, log: &mut Log) -> Result<usize, String> {
    let mut world = world(seed);
    let mut random =
        Random::new(seed.wrapping_mul(1_000).wrapping_add(u64::try_from(kill).unwrap()));
    world.faults = kill != NEVER;
    for number in 1..=7 {
        let last = number >= 5;
        if last {
            world.calm();
        }
        let events = match number {
            1 => kill,
            _ if last => NEVER,
            _ => random.below(60),
        };
        log.add(|| format!("-- run {number}, killed after {events}"));
        let end = apply(&mut world, &mut random, rules, &term(number), events, log);
        log.add(|| format!("-- {end:?}"));
        if let Some(violation) = world.violations.first() {
            return Err(violation.clone());
        }
        match end {
            End::Success if world.is_whole() => return Ok(log.events),
            End::Success => return Err("success was claimed of an incomplete cluster".to_owned()),
            End::Stuck => return Err("the run does not end".to_owned()),
            End::NotDone(_) | End::Blocked(_) | End::Killed => {}
        }
    }
    Err("it does not finish once faults have stopped".to_owned())
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number("QUORATE_SEED") {
        return seed..seed + 1;
    }
    0..number("QUORATE_SEEDS").unwrap_or(default)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn whoever_dies_when_the_next_run_finishes_and_nothing_breaks() {
    let seeds: Vec<u64> = seeds(SEEDS).collect();
    let halves = seeds.chunks(seeds.len().div_ceil(2));
    let cases: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = halves.map(|seeds| scope.spawn(|| try_all(seeds))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no violation")).sum()
    });
    assert!(cases > 20 * seeds.len(), "only {cases} cases: the runs are too short to tell");
}

/// Kills the first coordinator after every event in turn.
fn try_all(seeds: &[u64]) -> usize {
    let mut cases = 0;
    for seed in seeds {
        let events = must_hold(*seed, NEVER);
        (0..events).for_each(|kill| {
            must_hold(*seed, kill);
        });
        cases += events + 1;
    }
    cases
}

fn must_hold(seed: u64, kill: usize) -> usize {
    case(seed, kill, Rules::ALL, &mut Log::default()).unwrap_or_else(|why| {
        let mut log = Log { wanted: true, ..Log::default() };
        case(seed, kill, Rules::ALL, &mut log).expect_err("the same seed, the same events");
        let lines = log.lines.join("\n");
        panic!(
            "{lines}\n\nseed {seed}, killed after {kill} events: {why}\n\
                try again with QUORATE_SEED={seed} cargo test -p quorate-tests whoever_dies"
        );
    })
}

/// A rule that is left out must be missed, and for the reasons that it is there for.
fn is_missed(rules: Rules, reasons: &[&str]) {
    let mut found: Vec<&str> = Vec::new();
    for seed in 0..400 {
        for kill in [3, 9, 14, 20, 30, 45, 70] {
            let Err(why) = case(seed, kill, rules, &mut Log::default()) else { continue };
            found.extend(reasons.iter().filter(|reason| why.contains(**reason)));
            if reasons.iter().all(|reason| found.contains(reason)) {
                return;
            }
        }
    }
    panic!("of {reasons:?} only {found:?} was found");
}

#[test]
fn a_run_that_forgets_what_is_under_way_is_caught() {
    let rules = Rules { running_first: false, ..Rules::ALL };
    is_missed(rules, &["changes of etcd's membership at once", "workers join at once"]);
}

#[test]
fn a_run_that_trusts_silence_is_caught() {
    let rules = Rules { silent_slots: false, ..Rules::ALL };
    is_missed(rules, &["changes of etcd's membership at once", "workers join at once"]);
}

#[test]
fn agents_that_obey_older_terms_are_caught() {
    is_missed(Rules { terms: false, ..Rules::ALL }, &["began for an older term"]);
}

/// An order of a dead run arrives at a node that looked idle, before any order of the new run.
#[test]
fn a_run_that_only_looks_before_it_orders_is_caught() {
    let rules = Rules { claims: false, ..Rules::ALL };
    is_missed(rules, &["workers join at once"]);
}

#[test]
fn a_run_that_believes_exit_codes_is_caught() {
    is_missed(Rules { only_checks: false, ..Rules::ALL }, &["an incomplete cluster"]);
}

#[test]
fn founding_without_a_silent_control_plane_is_caught() {
    is_missed(Rules { founding_guard: false, ..Rules::ALL }, &["founded a second cluster"]);
}

#[test]
fn a_join_beside_an_unfinished_one_is_caught() {
    let rules = Rules { membership_gate: false, ..Rules::ALL };
    is_missed(rules, &["has not finished"]);
}
