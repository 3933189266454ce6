//! Cases: a first run by seed, with its faults; a copy of its world after every event, in which the
//! coordinator is dead; recoveries that die too; and at last, without faults, runs that must finish.

use quorate::plan::Blocked;
use quorate_proto::{NodeName, RunId};

use super::coordinator::{End, Run};
use super::faults::{Weather, disturb};
use super::log::Log;
use super::node::Machinery;
use super::random::Random;
use super::rules::Rules;
use super::spec::sample;
use super::world::SimCluster;

/// No run has more events than this: it would go round for ever.
const MOST_EVENTS: usize = 30_000;
/// Runs without faults, of which the last must have finished: the first may meet what was begun
/// under faults, such as an operation that hangs.
const LAST_RUNS: usize = 3;

/// Cases and events, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub cases: usize,
    pub events: usize,
    /// Runs without faults that were needed at most.
    pub last_runs: usize,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cases: self.cases + other.cases,
            events: self.events + other.events,
            last_runs: self.last_runs.max(other.last_runs),
        }
    }
}

/// What went wrong, and in which case.
#[derive(Debug, Clone)]
pub struct Violation {
    pub why: String,
    pub seed: u64,
    /// The event of the first run after which it was killed.
    pub kill: usize,
}

/// Everything that there is: one world and all its coordinators.
#[derive(Debug, Clone)]
struct Timeline {
    world: SimCluster,
    runs: Vec<Run>,
    begun: usize,
    random: Random,
    rules: Rules,
    events: usize,
}

/// Plays a seed: the first run, and a recovery after each of its events, or, in large clusters, after
/// some of them.
///
/// # Errors
/// At the first violation.
pub fn explore(seed: u64, rules: Rules) -> Result<Tally, Violation> {
    let mut tally = Tally::default();
    let mut past = Timeline::begin(seed, rules);
    let stride = past.stride();
    for kill in 0.. {
        let fails = |why| Violation { why, seed, kill };
        past.judge().map_err(fails)?;
        if kill % stride == 0 {
            let (events, runs) =
                past.clone().recover(seed, kill, &mut Log::default()).map_err(fails)?;
            tally.cases += 1;
            tally.events += events;
            tally.last_runs = tally.last_runs.max(runs);
        }
        if !past.first_is_alive() || past.events > MOST_EVENTS {
            break;
        }
        past.advance(&mut Log::default());
    }
    Ok(tally)
}

/// What goes wrong in some cases of a seed, until it was enough. For rules that are left out, where
/// worlds of usual size do, and the weather is what it takes.
pub fn violations(seed: u64, rules: Rules, weather: Weather, enough: &mut dyn FnMut(&str) -> bool) {
    let mut past = Timeline::begin(seed, rules);
    past.world.weather = weather;
    if past.stride() > 1 {
        return;
    }
    for kill in 0..1_200 {
        if kill % 23 == 3 {
            let found = past.clone().recover(seed, kill, &mut Log::default());
            if found.is_err_and(|why| enough(&why)) {
                return;
            }
        }
        past.advance(&mut Log::default());
        let judged = past.judge();
        if judged.as_ref().is_err_and(|why| enough(why)) || judged.is_err() {
            return;
        }
        if !past.first_is_alive() {
            return;
        }
    }
}

/// Plays one case again, exactly.
///
/// # Errors
/// At its violation.
pub fn replay(seed: u64, kill: usize, rules: Rules, log: &mut Log) -> Result<(), String> {
    let mut past = Timeline::begin(seed, rules);
    for _ in 0..kill {
        past.advance(log);
        past.judge()?;
    }
    past.recover(seed, kill, log).map(drop)
}

impl Timeline {
    fn begin(seed: u64, rules: Rules) -> Self {
        let mut random = Random::after(seed, usize::MAX);
        let planes = random.one_of([1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 6, 7]);
        let workers = random.one_of([0, 0, 1, 1, 2, 2, 3, 3, 4, 6]);
        let workers = if random.percent(2) { 50 } else { workers };
        let mut spec = sample(planes, workers);
        spec.worker_joins = 1 + random.below(3);
        let mut world = SimCluster::new(spec, !random.percent(8));
        world.rules = rules;
        world.faults = true;
        world.weather = Weather::of(&mut random);
        world.seeks_secrets = random.percent(10);
        let mut timeline = Self { world, runs: Vec::new(), begun: 0, random, rules, events: 0 };
        timeline.start_run();
        timeline
    }

    /// Every event in clusters of usual size; fewer where a single case takes long.
    fn stride(&self) -> usize {
        let nodes = self.world.nodes.len();
        if nodes > 20 {
            151
        } else if nodes > 10 {
            3
        } else {
            1
        }
    }

    fn first_is_alive(&self) -> bool {
        self.runs.first().is_some_and(Run::is_alive)
    }

    fn start_run(&mut self) {
        self.begun += 1;
        // Of two runs that took one number the later may be either: their hosts' clocks differ.
        let id = RunId(format!("run-{}-{}", self.random.below(10), self.begun));
        self.runs.push(Run::new(&mut self.world, id, self.rules));
    }

    /// One event happens somewhere.
    fn advance(&mut self, log: &mut Log) -> bool {
        self.events += 1;
        let Self { world, runs, random, .. } = self;
        if world.faults && world.weather.strikes(random) {
            let what = disturb(world, runs, random);
            log.add(|| format!("  ! {what}"));
            world.inspect();
            return true;
        }
        if self.world.faults && self.runs.len() < 3 && self.random.below(400) == 0 {
            self.start_run();
            log.add(|| "  ! another coordinator begins".to_owned());
            return true;
        }
        let Self { world, runs, random, .. } = self;
        let awake: Vec<usize> = (0..runs.len())
            .filter(|at| runs.get(*at).is_some_and(|run| run.is_alive() && !run.paused))
            .collect();
        if random.percent(50) && world.happen(random) {
            return true;
        }
        let first = if awake.is_empty() { 0 } else { random.below(awake.len()) };
        let turns = awake.iter().skip(first).chain(awake.iter().take(first));
        for at in turns {
            let Some(run) = runs.get_mut(*at) else { continue };
            let moved = run.step(world, random, log);
            if run.end() == Some(&End::Success) && !world.is_built() {
                let why = "success was claimed of an incomplete cluster";
                world.violations.push(why.to_owned());
            }
            if moved {
                return true;
            }
        }
        // Time is not waited for while anything else can happen.
        world.happen(random)
            || awake.iter().any(|at| runs.get_mut(*at).is_some_and(|run| run.wait(world, log)))
    }

    fn judge(&self) -> Result<(), String> {
        if let Some(violation) = self.world.violations.first() {
            return Err(violation.clone());
        }
        for run in &self.runs {
            if let Some(End::Blocked(blocked)) = run.end()
                && self.world.needs_person(blocked).is_none()
            {
                return Err(format!("blocked without a cause: {blocked}"));
            }
        }
        Ok(())
    }

    /// The first coordinator dies; others may go on. Gives the events, and how many runs without
    /// faults were needed.
    fn recover(mut self, seed: u64, kill: usize, log: &mut Log) -> Result<(usize, usize), String> {
        let before = self.events;
        self.random = Random::after(seed, kill);
        log.add(|| format!("-- {} is killed", self.runs.first().map_or("", |it| it.id.0.as_str())));
        if let Some(first) = self.runs.first_mut().filter(|run| run.is_alive()) {
            first.stop(End::Killed);
        }
        self.world.faults = self.random.percent(60);
        for _ in 0..self.random.below(3) {
            let longest = self.random.one_of([20, 100, 300, 900]);
            let (most, again) = (self.random.below(longest), self.runs.len());
            self.start_run();
            log.add(|| format!("-- another run, killed after {most} events"));
            for _ in 0..most {
                self.advance(log);
                self.judge()?;
                if !self.runs.get(again).is_some_and(Run::is_alive) {
                    break;
                }
            }
            // Some die, and some come back to life while the next run works.
            let dies = self.random.percent(70);
            if let Some(run) = self.runs.get_mut(again).filter(|run| run.is_alive()) {
                if dies { run.stop(End::Killed) } else { run.pause(&mut self.world) }
            }
        }
        self.world.calm();
        for run in &mut self.runs {
            run.paused = false;
        }
        log.add(|| "-- no more faults".to_owned());
        if self.world.has_dead() {
            let end = self.last_run(log)?;
            if end == End::Success {
                return Err("success was claimed while a machine is dead".to_owned());
            }
            if let End::Blocked(blocked) = &end
                && self.world.needs_person(blocked) != Some(true)
            {
                return Err(format!("blocked without a cause: {blocked}"));
            }
            self.world.revive();
            log.add(|| "-- dead machines are brought back".to_owned());
        }
        for number in 1..=LAST_RUNS {
            let end = self.last_run(log)?;
            if end == End::Success {
                return Ok((self.events - before, number));
            }
            if let End::Blocked(blocked) = end {
                return Err(format!("blocked though all machines are there: {blocked}"));
            }
            // Who is told that another run is at work lets it finish.
            while self.runs.iter().any(Run::is_alive) && self.advance(log) {
                self.judge()?;
            }
        }
        Err("it does not finish once faults have stopped".to_owned())
    }

    /// A run without faults, to its end.
    fn last_run(&mut self, log: &mut Log) -> Result<End, String> {
        let at = self.runs.len();
        self.start_run();
        log.add(|| "-- a run without faults".to_owned());
        let most = self.events + MOST_EVENTS;
        while self.runs.get(at).is_some_and(Run::is_alive) {
            if !self.advance(log) || self.events > most {
                return Err("the run does not end".to_owned());
            }
            self.judge()?;
        }
        let end = self.runs.get(at).and_then(Run::end).cloned();
        Ok(end.unwrap_or(End::Stuck))
    }
}

impl SimCluster {
    /// Whether a dead machine is why there can be no plan, and a person has to bring it back. `None`:
    /// machines that share nothing with another cluster can never be blocked for that reason.
    fn needs_person(&self, blocked: &Blocked) -> Option<bool> {
        let dead = |name: &NodeName| self.node(name).machinery == Machinery::Dead;
        let of_dead =
            |id: u64| self.etcd.members.iter().any(|member| member.id == id && dead(&member.node));
        Some(match blocked {
            Blocked::FoundingBlind { silent } => silent.iter().all(|(node, _)| dead(node)),
            Blocked::UnhealthyVoter { member } | Blocked::UnfinishedMember { member } => {
                of_dead(member.id)
            }
            Blocked::NoLeader | Blocked::EtcdSilent => !self.has_leader(),
            Blocked::Quorum(_) => self.etcd.members.iter().any(|member| dead(&member.node)),
            Blocked::Untold { .. } => !self.api_answers(),
            Blocked::NoControlPlane
            | Blocked::ForeignCluster { .. }
            | Blocked::JoinedElsewhere { .. }
            | Blocked::DataWithoutAuthority { .. }
            | Blocked::SplitEtcd { .. }
            | Blocked::SameMachine { .. }
            | Blocked::ClocksApart { .. }
            | Blocked::TooSmall { .. }
            | Blocked::UnknownMember { .. }
            | Blocked::StillSpecified { .. }
            | Blocked::LetInAsLess { .. }
            | Blocked::JoinedAsAnother { .. }
            | Blocked::Disruption { .. }
            | Blocked::InUse(_)
            | Blocked::Edited(_)
            | Blocked::NamelessMember { .. }
            | Blocked::MemberAlive { .. }
            | Blocked::MayBeJoining { .. }
            | Blocked::MembershipChanging { .. }
            | Blocked::Refused(_) => return None,
        })
    }
}
