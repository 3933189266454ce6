//! The life of one cluster, from its founding to its last worker, with a fault at each moment of a list: after
//! each the same command is given again, until it says that all is done.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::moment::Moment;
use super::run::{Run, RunEnd};
use super::site::{Lab, Nodes};
use super::table::Row;
use super::watch::Watch;

/// In which a stage must be complete after its last fault.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the specification names by now, and what happens while that is brought about.
pub struct Stage {
    pub nodes: Nodes<'static>,
    /// Made bare and enrolled anew before the stage.
    pub bare: Option<&'static str>,
    pub points: Vec<(Fault, Moment)>,
}

/// A cluster's life.
pub struct Journey {
    pub stages: Vec<Stage>,
}

/// A point on its way.
struct Open {
    fault: Fault,
    moment: Moment,
    row: Row,
    struck: Option<Instant>,
}

impl Journey {
    /// Plays it, from nodes without a cluster; a row for each point.
    pub fn play(self, lab: &Lab, say: &mut dyn FnMut(&str)) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut watch = None;
        let mut last: Option<PathBuf> = None;
        for stage in self.stages {
            let spec = lab.specify(stage.nodes);
            if let Some(node) = stage.bare {
                lab.lab(&["wipe", node]);
                lab.add(node);
            }
            say(&format!("stage {}", stage.nodes.join(" ")));
            let played = play_stage(lab, &spec, stage.points, watch.as_ref(), say);
            let stopped = played.iter().any(|row| !row.passed());
            rows.extend(played);
            if stopped {
                return rows;
            }
            lab.write_kubeconfig(&spec);
            if watch.is_none() {
                watch = Some(Watch::begin(lab));
            }
            last = Some(spec);
        }
        if let Some(why) = last.and_then(|spec| unverified(lab, &spec)) {
            rows.iter_mut().for_each(|row| row.failed = Some(why.clone()));
        }
        rows
    }
}

fn play_stage(
    lab: &Lab,
    spec: &Path,
    points: Vec<(Fault, Moment)>,
    watch: Option<&Watch>,
    say: &mut dyn FnMut(&str),
) -> Vec<Row> {
    let open = |(fault, moment): (Fault, Moment)| Open {
        row: Row::new(fault, &moment),
        fault,
        moment,
        struck: None,
    };
    let mut points: Vec<Open> = points.into_iter().map(open).collect();
    let mut latest = None;
    let began = Instant::now();
    let outcome = loop {
        let (struck, end) = run_once(lab, spec, &mut points, say);
        if let Some(at) = struck {
            latest = Some(at);
        }
        say(&format!("  {}", told(&end)));
        if let Some(point) = latest.and_then(|at: usize| points.get_mut(at)) {
            point.row.codes.push(end.code);
        }
        let since = points.iter().filter_map(|point| point.struck).max().unwrap_or(began);
        match end.code {
            Some(0) if struck.is_none() => break None,
            None | Some(0 | 1 | 4) if since.elapsed() < PATIENCE => {}
            None | Some(0 | 1 | 4) => break Some("not complete in time".to_owned()),
            Some(code) => break Some(format!("exit {code}")),
        }
    };
    conclude(points, watch, outcome.as_deref())
}

/// One run, and what is struck in it; gives the last point that was.
fn run_once(
    lab: &Lab,
    spec: &Path,
    points: &mut [Open],
    say: &mut dyn FnMut(&str),
) -> (Option<usize>, RunEnd) {
    let mut run = Run::start(lab.quorate(spec, &["apply"]));
    let mut struck = None;
    while let Some(stamped) = run.event() {
        let due = points.iter_mut().enumerate().find_map(|(at, point)| {
            let open = point.struck.is_none() || point.moment.comes_again();
            (open && point.moment.is_now(&stamped.event)).then_some((at, point))
        });
        let Some((at, point)) = due else { continue };
        point.struck = Some(Instant::now());
        say(&format!("  {} at {}", point.fault, point.moment));
        if let Err(why) = point.fault.strike(lab, point.moment.node(), &mut run) {
            point.row.failed = Some(why);
        }
        struck = Some(at);
    }
    (struck, run.end())
}

fn conclude(points: Vec<Open>, watch: Option<&Watch>, outcome: Option<&str>) -> Vec<Row> {
    let now = Instant::now();
    // A point lasts until the next fault.
    let mut ends: Vec<Instant> = points.iter().filter_map(|point| point.struck).collect();
    ends.sort_unstable();
    let conclude = |mut point: Open| {
        let unreached = || "the moment never came".to_owned();
        let Some(from) = point.struck else {
            point.row.failed = Some(outcome.map_or_else(unreached, str::to_owned));
            return point.row;
        };
        let to = ends.iter().find(|end| **end > from).copied().unwrap_or(now);
        point.row.moment = point.moment.to_string();
        point.row.writes = watch.map(|watch| watch.writes.longest_gap(from, to));
        point.row.quorum = watch.map(|watch| watch.quorum.longest_gap(from, to));
        point.row.failed = point.row.failed.or_else(|| outcome.map(str::to_owned));
        point.row
    };
    points.into_iter().map(conclude).collect()
}

/// What `verify` finds missing.
pub(super) fn unverified(lab: &Lab, spec: &Path) -> Option<String> {
    let output = lab.quorate(spec, &["verify"]).output().expect("quorate starts");
    (!output.status.success()).then(|| format!("verify: {}", super::site::text(&output)))
}

/// The end of a run in one line or a few.
pub(super) fn told(end: &RunEnd) -> String {
    let code = end.code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
    std::iter::once(code)
        .chain(end.said.iter().map(|line| format!("    {line}")))
        .collect::<Vec<_>>()
        .join("\n")
}
