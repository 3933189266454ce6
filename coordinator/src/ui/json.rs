//! One JSON object a line: the events of a run exactly as they are stored.

use super::View;
use crate::run::{RunState, Stamped};

/// Prints each event.
pub(super) struct Json;

impl View for Json {
    fn show(&mut self, _state: &RunState, stamped: &Stamped) {
        super::print(&line(stamped));
    }

    fn tick(&mut self, _state: &RunState, _at_ms: u64) {}

    fn close(&mut self) {}
}

fn line(stamped: &Stamped) -> String {
    // Plain data with text keys: it always serialises.
    serde_json::to_string(stamped).map(|json| json + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use quorate_proto::{Activity, ActivityKind, Event, StepId};

    use super::*;
    use crate::run::RunEvent;

    #[test]
    fn an_event_is_one_line_that_reads_back() {
        let step = StepId { node: "cp-2".try_into().unwrap(), goal: "etcd-member".to_owned() };
        let activity = Activity { kind: ActivityKind::Kubeadm, text: "kubeadm".to_owned() };
        let event = RunEvent::Told { step, event: Event::Activity(activity) };
        let stamped = Stamped { seq: 7, at_ms: 1200, event };
        let line = line(&stamped);
        assert_eq!(
            line,
            "{\"seq\":7,\"at_ms\":1200,\"event\":{\"kind\":\"told\",\"step\":{\"node\":\"cp-2\",\
             \"goal\":\"etcd-member\"},\"event\":{\"activity\":{\"kind\":\"kubeadm\",\
             \"text\":\"kubeadm\"}}}}\n"
        );
        assert_eq!(serde_json::from_str::<Stamped>(&line).unwrap(), stamped);
    }
}
