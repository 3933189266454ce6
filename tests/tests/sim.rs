//! The simulation: coordinators that die after any event, and rules that are left out.

use quorate_proto::{RunId, Term};
use quorate_tests::sim::{End, Random, Rules, SimCluster, apply, sample};

/// Seeds of each test; `QUORATE_SEEDS` asks for more.
const SEEDS: u64 = 40;
/// Every event of a run is tried as its last, and no run has more than this.
const NEVER: usize = usize::MAX;

fn term(number: u64) -> Term {
    Term { number, run: RunId(format!("run-{number}")) }
}

fn world(seed: u64) -> SimCluster {
    let mut random = Random::new(seed ^ 0xc0ffee);
    let planes = [1, 3, 3, 3, 3, 4, 5, 7][random.below(8)];
    let workers = [0, 1, 2, 3, 3, 5, 8][random.below(7)];
    SimCluster::new(sample(planes, workers), !random.percent(10))
}

/// A cluster is brought up by a coordinator that dies after `kill` events, then by others that
/// may die too, and at last, without faults, by one that must finish. Gives how many events the
/// first one saw, or what went wrong.
fn case(seed: u64, kill: usize, rules: Rules) -> Result<usize, String> {
    let mut world = world(seed);
    let mut random = Random::new(seed.wrapping_mul(1_000).wrapping_add(kill as u64));
    let mut log = Vec::new();
    world.faults = kill != NEVER;
    let mut seen = 0;
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
        log.push(format!("-- run {number}, killed after {events}"));
        let end = apply(&mut world, &mut random, rules, &term(number), events, &mut log);
        log.push(format!("-- {end:?}"));
        if number == 1 {
            seen = log.iter().filter(|line| !line.starts_with("order")).count();
        }
        let fault = match (&end, world.violations.first()) {
            (_, Some(violation)) => Some(violation.clone()),
            (End::Success, None) if !world.is_whole() => {
                Some("success was claimed, and the cluster is incomplete".to_owned())
            }
            (End::Stuck, None) => Some("the run does not end".to_owned()),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(format!("{fault}\n{}", log.join("\n")));
        }
        if end == End::Success {
            return Ok(seen);
        }
    }
    Err(format!("it does not finish once faults have stopped\n{}", log.join("\n")))
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
    let mut cases = 0;
    for seed in seeds(SEEDS) {
        let events = case(seed, NEVER, Rules::ALL).unwrap_or_else(|why| fail(seed, NEVER, &why));
        for kill in 0..events {
            case(seed, kill, Rules::ALL).unwrap_or_else(|why| fail(seed, kill, &why));
            cases += 1;
        }
    }
    println!("{cases} cases");
}

fn fail(seed: u64, kill: usize, why: &str) -> usize {
    panic!("seed {seed}, killed after {kill} events: {why}\nreplay with QUORATE_SEED={seed}");
}

/// A rule that is left out must be missed, and for the reason that it is there for.
fn is_missed(rules: Rules, reasons: &[&str]) {
    let mut found: Vec<&str> = Vec::new();
    for seed in 0..400 {
        for kill in [3, 9, 14, 20, 30, 45, 70] {
            let Err(why) = case(seed, kill, rules) else { continue };
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

#[test]
fn a_run_that_believes_exit_codes_is_caught() {
    is_missed(Rules { only_checks: false, ..Rules::ALL }, &["the cluster is incomplete"]);
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
