//! One `quorate apply` as a process of its own, read event by event as it goes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use quorate::run::{Outcome, RunEvent, Stamped};
use quorate_proto::{Event, StepId};

/// Longer than any step of the lab takes: a run without an event for so long hangs.
const SILENCE: Duration = Duration::from_secs(300);

/// A run under way.
pub struct Run {
    child: Child,
    events: Receiver<Stamped>,
    outcome: Option<Outcome>,
    failures: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// `None`: it was killed.
    pub code: Option<i32>,
    /// What a person has to read: blocked reasons, failures, messages.
    pub said: Vec<String>,
}

impl Run {
    /// Starts `quorate apply`, or another command with the same events.
    pub fn start(mut command: Command) -> Self {
        command.args(["--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("quorate starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let (tell, events) = channel();
        std::thread::spawn(move || read(stdout, &tell));
        Self { child, events, outcome: None, failures: Vec::new() }
    }

    /// Its process, on this machine.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process of ours");
    }

    /// The next event; `None` once it has printed its last.
    ///
    /// # Panics
    /// If none comes for as long as a step may take.
    pub fn event(&mut self) -> Option<Stamped> {
        match self.events.recv_timeout(SILENCE) {
            Ok(stamped) => {
                self.note(&stamped);
                Some(stamped)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                panic!("quorate apply said nothing for {} s", SILENCE.as_secs());
            }
        }
    }

    /// Reads until an event is the wanted one; `false` if the run ends before.
    pub fn until(&mut self, mut wanted: impl FnMut(&RunEvent) -> bool) -> bool {
        while let Some(stamped) = self.event() {
            if wanted(&stamped.event) {
                return true;
            }
        }
        false
    }

    /// Reads to its end.
    pub fn end(mut self) -> RunEnd {
        while self.event().is_some() {}
        let code = self.child.wait().expect("a process of ours").code();
        let mut said = std::mem::take(&mut self.failures);
        if let Some(Outcome::Blocked { reasons }) = &self.outcome {
            said.extend(reasons.iter().cloned());
        }
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors).expect("messages in UTF-8");
        }
        said.extend(errors.lines().map(str::to_owned));
        RunEnd { code, said }
    }

    fn note(&mut self, stamped: &Stamped) {
        if let RunEvent::Finished { outcome, .. } = &stamped.event {
            self.outcome = Some(outcome.clone());
        }
        let RunEvent::Told { step: StepId { node, goal }, event } = &stamped.event else { return };
        if let Event::Ended { failure: Some(failure), .. } = event {
            let advice = failure.advice.as_deref().unwrap_or("no advice");
            let causes = failure.causes.join(": ");
            self.failures.push(format!("{node}/{goal}: {causes} ({advice})"));
        }
    }
}

fn read(stdout: ChildStdout, tell: &Sender<Stamped>) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { return };
        // What is no event is the message of a command that did not begin.
        let Ok(stamped) = serde_json::from_str(&line) else { continue };
        if tell.send(stamped).is_err() {
            return;
        }
    }
}
