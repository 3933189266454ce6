//! The simulation: coordinators that die after any event, and rules that are left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quorate_tests::sim::{Log, Rules, Tally, Violation, Weather, explore, replay, violations};

/// Seeds of the test; `QUORATE_SEEDS` asks for more.
const SEEDS: u64 = 118;
/// Cases that these seeds must amount to.
const CASES: usize = 20_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

#[test]
#[expect(clippy::print_stdout, reason = "how many cases there were is what a person asks for")]
fn whoever_dies_when_the_next_runs_finish_and_nothing_breaks() {
    if let (Some(seed), Some(kill)) = (number("QUORATE_SEED"), number("QUORATE_KILL")) {
        return play_again(seed, usize::try_from(kill).unwrap());
    }
    let seeds = match number("QUORATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("QUORATE_SEEDS").unwrap_or(SEEDS),
    };
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let tally = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| explore_all(&next, seeds.end))).collect();
        let tallies = threads.into_iter().map(|thread| thread.join().expect("no violation"));
        tallies.fold(Tally::default(), |one, other| one.and(other))
    });
    let (cases, events) = (grouped(tally.cases), grouped(tally.events));
    println!("simulation: {cases} cases, {events} events, {} s", began.elapsed().as_secs());
    println!("runs without faults that were needed at most: {}", tally.last_runs);
    let all = ["QUORATE_SEED", "QUORATE_SEEDS"].iter().all(|it| number(it).is_none());
    assert!(!all || tally.cases >= CASES, "only {cases} cases: more seeds are needed");
}

fn explore_all(next: &AtomicU64, end: u64) -> Tally {
    let mut tally = Tally::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return tally;
        }
        match explore(seed, Rules::ALL) {
            Ok(more) => tally = tally.and(more),
            Err(violation) => play_violation(&violation),
        }
    }
}

fn play_violation(violation: &Violation) {
    let Violation { why, seed, kill } = violation;
    panic!(
        "seed {seed}, killed after {kill} events: {why}\ntry again with\n  \
         QUORATE_SEED={seed} QUORATE_KILL={kill} cargo test -p quorate-tests --test all whoever_dies \
         -- --nocapture"
    );
}

/// One case, event by event.
#[expect(clippy::print_stdout, reason = "to be read by a person")]
fn play_again(seed: u64, kill: usize) {
    let mut log = Log { wanted: true, ..Log::default() };
    let result = replay(seed, kill, Rules::ALL, &mut log);
    println!("{}\n", log.lines.join("\n"));
    assert_eq!(result, Ok(()), "seed {seed}, killed after {kill} events");
}

#[test]
fn a_violation_is_played_again_exactly() {
    let rules = Rules { only_checks: false, ..Rules::ALL };
    let found = (0..100).find_map(|seed| explore(seed, rules).err()).expect("a violation");
    let mut logs = [(); 2].map(|()| Log { wanted: true, ..Log::default() });
    for log in &mut logs {
        assert_eq!(replay(found.seed, found.kill, rules, log), Err(found.why.clone()));
    }
    let [one, other] = logs;
    assert!(one.lines == other.lines && !one.lines.is_empty());
}

/// 1234567 as 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let places = (0..digits.len()).rev();
    let grouped = digits.chars().zip(places).flat_map(|(digit, place)| {
        let comma = place > 0 && place % 3 == 0;
        std::iter::once(digit).chain(comma.then_some(','))
    });
    grouped.collect()
}

/// Rules that are left out must be missed, and for the reasons that they are there for.
fn is_missed(rules: Rules, weather: Weather, reasons: &[&str]) {
    let mut missing = reasons.to_vec();
    for seed in 0..1_000 {
        violations(seed, rules, weather, &mut |why| {
            missing.retain(|reason| !why.contains(reason));
            missing.is_empty()
        });
        if missing.is_empty() {
            return;
        }
    }
    panic!("of {reasons:?} these were not found: {missing:?}");
}

#[test]
fn a_run_that_forgets_what_is_under_way_is_caught() {
    let rules = Rules { running_first: false, ..Rules::ALL };
    is_missed(rules, Weather::SLOW, &["workers join at once"]);
}

#[test]
fn a_run_that_trusts_silence_is_caught() {
    let rules = Rules { silent_slots: false, ..Rules::ALL };
    let weather = Weather::SILENT;
    is_missed(rules, weather.at_planes(95), &["changes of etcd's membership at once"]);
    is_missed(rules, weather.at_planes(15), &["workers join at once"]);
}

#[test]
fn members_that_join_side_by_side_are_caught() {
    let rules = Rules { membership_lane: false, ..Rules::ALL };
    is_missed(rules, Weather::SLOW, &["changes of etcd's membership at once"]);
}

#[test]
fn agents_that_obey_older_terms_are_caught() {
    let rules = Rules { terms: false, ..Rules::ALL };
    is_missed(rules, Weather::SLOW, &["began for an older term"]);
}

/// An order of a dead run arrives at a node that looked idle, before any order of the new run.
#[test]
fn a_run_that_only_looks_before_it_orders_is_caught() {
    let rules = Rules { claims: false, ..Rules::ALL };
    is_missed(rules, Weather::SLOW, &["workers join at once"]);
}

#[test]
fn an_agent_that_forgets_what_it_was_at_is_caught() {
    let rules = Rules { ledger: false, ..Rules::ALL };
    is_missed(rules, Weather::SLOW, &["is at two operations at once"]);
}

#[test]
fn a_run_that_believes_exit_codes_is_caught() {
    is_missed(
        Rules { only_checks: false, ..Rules::ALL },
        Weather::SLOW,
        &["an incomplete cluster"],
    );
}

#[test]
fn founding_without_a_silent_control_plane_is_caught() {
    is_missed(
        Rules { founding_guard: false, ..Rules::ALL },
        Weather::SILENT,
        &["founded a second cluster"],
    );
}

/// The plan sees to it, and so does the agent: either may fail, not both.
#[test]
fn a_join_beside_an_unfinished_one_or_a_voter_that_is_down_is_caught() {
    let rules = Rules { membership_gate: false, last_look: false, ..Rules::ALL };
    is_missed(rules, Weather::ETCD_SLOW, &["has not finished", "less than a quorum"]);
}

/// What the plan saw is minutes old.
#[test]
fn an_agent_that_does_not_look_once_more_is_caught() {
    is_missed(
        Rules { last_look: false, ..Rules::ALL },
        Weather::ETCD_SLOW,
        &["less than a quorum"],
    );
}

#[test]
fn secrets_in_what_agents_tell_are_caught() {
    is_missed(
        Rules { secrets_cleaned: false, ..Rules::ALL },
        Weather::SLOW,
        &["a secret is recorded"],
    );
}
