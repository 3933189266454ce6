//! Scenarios: a script and its output in one text. Lines that begin with `> ` are commands; what
//! follows each is its output. Playing a scenario writes the output anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use quorate::plan::Plan;
use quorate::procedure::{Procedure, Removal};
use quorate::ui::plan_text::{self, Detail};
use quorate_proto::{NodeName, RunId, StepId, Term};

use crate::sim::{End, Log, Random, Rules, SimCluster, apply, name, plan, sample};

/// Plays a scenario, and gives its text with the output as it is now.
///
/// # Panics
/// At a command that is not known.
pub fn play(text: &str) -> String {
    let mut stage = Stage { world: SimCluster::new(sample(1, 0), true), runs: 0 };
    let mut played = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            write!(played, "{line}\n{}", stage.play(command)).ok();
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(played, "{line}").ok();
        }
    }
    played
}

struct Stage {
    world: SimCluster,
    runs: u64,
}

impl Stage {
    fn play(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("a number in {command}"));
        match words.as_slice() {
            ["machines", state, planes, workers] => {
                let spec = sample(number(planes), number(workers));
                self.world = SimCluster::new(spec, *state == "prepared");
            }
            ["specify", planes, workers] => {
                self.world.specify(sample(number(planes), number(workers)));
            }
            ["exchange", old, new] => self.exchange(old, new),
            ["destroy", node] => self.world.destroy(&name(node)),
            ["silence", node] => self.world.silence(&name(node), true),
            ["hear", node] => self.world.silence(&name(node), false),
            ["break", step] => {
                let (node, goal) = step.split_once('/').expect("node/goal");
                self.world.breaks.insert(StepId { node: name(node), goal: goal.into() });
            }
            ["clone", node, of] => {
                let machine = self.world.machine_mut(&name(of)).clone();
                *self.world.machine_mut(&name(node)) = machine;
            }
            ["cpus", node, cpus] => self.world.machine_mut(&name(node)).cpus = number(cpus).into(),
            ["memory", node, mib] => {
                self.world.machine_mut(&name(node)).memory_mib = mib.parse().expect("MiB");
            }
            ["disk", node, mib] => {
                self.world.machine_mut(&name(node)).disk_free_mib = mib.parse().expect("MiB");
            }
            ["clock", node, ms] => {
                self.world.advance_clock(&name(node), ms.parse().expect("milliseconds"));
            }
            ["usurp", "endpoint"] => self.world.usurped = true,
            ["estrange", node] => self.world.estrange(&name(node)),
            ["remove", node] => return self.remove(node, None),
            ["remove", node, "at", address] => return self.remove(node, Some(address)),
            ["plan"] => return self.plan(),
            ["print", "plan"] => return self.print(Detail::Grouped),
            ["print", "full", "plan"] => return self.print(Detail::Full),
            ["apply"] => return self.apply(usize::MAX),
            ["apply", "crash", "after", events] => return self.apply(number(events).into()),
            _ => panic!("no such command: {command}"),
        }
        String::new()
    }

    /// A machine of another name and address takes a node's place in the specification.
    fn exchange(&mut self, old: &str, new: &str) {
        let mut spec = self.world.spec.clone();
        let node = spec.nodes.iter_mut().find(|node| node.name == name(old));
        let node = node.expect("a node of the specification");
        (node.name, node.address) = (name(new), IpAddr::V4(Ipv4Addr::new(10, 77, 0, 99)));
        self.world.specify(spec);
    }

    fn remove(&mut self, node: &str, address: Option<&str>) -> String {
        let addresses = address.map(|address| address.parse().expect("an address"));
        let removal =
            Removal { node: name(node), addresses: addresses.into_iter().collect(), alive: false };
        self.world.procedure = Procedure::Remove(removal);
        let plan = self.plan();
        let blocked = plan.starts_with("blocked: ");
        let played = if blocked { plan } else { plan + &self.apply(usize::MAX) };
        self.world.procedure = Procedure::BringUp;
        played
    }

    fn plan(&mut self) -> String {
        match plan(&mut self.world, &mut Random::new(1), Rules::ALL, None) {
            Ok(plan) => show(&plan),
            Err(blocked) => format!("blocked: {blocked}\n"),
        }
    }

    /// What a person sees of the plan, behind a bar: an empty line of a scenario is its author's.
    fn print(&mut self, detail: Detail) -> String {
        let plan = plan(&mut self.world, &mut Random::new(1), Rules::ALL, None).expect("a plan");
        let spec = &self.world.spec;
        let text = plan_text::text(spec, &self.world.procedure.title(&spec.name), &plan, detail);
        text.lines().map(|line| format!("| {line}").trim_end().to_owned() + "\n").collect()
    }

    fn apply(&mut self, kill_after: usize) -> String {
        self.runs += 1;
        let term = Term { number: self.runs, run: RunId(format!("run-{}", self.runs)) };
        let mut log = Log { wanted: true, ..Log::default() };
        let mut random = Random::new(self.runs);
        let end = apply(&mut self.world, &mut random, Rules::ALL, &term, kill_after, &mut log);
        assert_eq!(self.world.violations, Vec::<String>::new());
        let mut shown = String::new();
        let told = |line: &&String| !line.ends_with(" holds") && !line.starts_with("--");
        for line in log.lines.iter().filter(told) {
            writeln!(shown, "{line}").ok();
        }
        shown + &show_end(&end)
    }
}

fn show(plan: &Plan) -> String {
    let mut shown = String::new();
    let mut nodes: Vec<&NodeName> = Vec::new();
    let mut goals: BTreeMap<&NodeName, Vec<String>> = BTreeMap::new();
    for left in &plan.steps {
        let id = &left.step.id;
        if !goals.contains_key(&id.node) {
            nodes.push(&id.node);
        }
        goals.entry(&id.node).or_default().push(id.goal.to_string());
    }
    for node in nodes {
        let goals = goals.remove(node).unwrap_or_default().join(" ");
        writeln!(shown, "{node}: {goals}").ok();
    }
    if let Some(tolerance) = plan.tolerance {
        let (before, after) = (tolerance.before, tolerance.after);
        writeln!(
            shown,
            "etcd: {} voters bear the loss of {}, then {} bear the loss of {}",
            before.voters,
            before.tolerance(),
            after.voters,
            after.tolerance()
        )
        .ok();
    }
    for slot in &plan.held {
        writeln!(shown, "held: {:?} by {} ({:?})", slot.lane, slot.node, slot.by).ok();
    }
    let mut withheld: BTreeMap<&NodeName, Vec<String>> = BTreeMap::new();
    for step in &plan.withheld {
        withheld.entry(&step.silent).or_default().push(step.step.to_string());
    }
    for (silent, steps) in withheld {
        let elsewhere: Vec<&str> = steps
            .iter()
            .filter(|step| !step.starts_with(&format!("{silent}/")))
            .map(String::as_str)
            .collect();
        let own = steps.len() - elsewhere.len();
        let elsewhere = elsewhere.iter().map(|step| format!(" {step}")).collect::<String>();
        writeln!(shown, "withheld for {silent}: {own} of its own{elsewhere}").ok();
    }
    for warning in &plan.warnings {
        writeln!(shown, "warning: {warning}").ok();
    }
    if plan.is_complete() { "everything holds\n".to_owned() } else { shown }
}

fn show_end(end: &End) -> String {
    match end {
        End::Success => "success\n".to_owned(),
        End::Killed => "killed\n".to_owned(),
        End::Stuck => "stuck\n".to_owned(),
        End::Stalled(left) => {
            let left: Vec<String> = left.iter().map(|step| format!(" {step}")).collect();
            let left = if left.is_empty() { " what is withheld".to_owned() } else { left.concat() };
            format!("no further\nleft:{left}\n")
        }
        End::Superseded => "superseded\n".to_owned(),
        End::Unrecorded => "not recorded\n".to_owned(),
        End::Interrupted => "interrupted\n".to_owned(),
        End::Blocked(blocked) => format!("blocked: {blocked}\n"),
        End::NotDone(outcome) => {
            let mut shown = "not done\n".to_owned();
            let failed: Vec<_> = outcome.failed.iter().map(|(id, _)| id.clone()).collect();
            for (state, steps) in [
                ("failed", &failed),
                ("adrift", &outcome.adrift),
                ("not started", &outcome.unstarted),
            ] {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                if !steps.is_empty() {
                    writeln!(shown, "{state}: {}", steps.join(" ")).ok();
                }
            }
            shown
        }
    }
}
