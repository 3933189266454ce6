//! The lines of the journal that bear on a failure.

use crate::host::{Command, Commands};

/// How many of the newest lines are looked at: the kubelet says the same thing over and over.
const LOOKED_AT: &str = "60";
/// How many lines a person wants to read below a failure.
const SHOWN: usize = 8;

/// The newest lines of a unit that tell of trouble, oldest first, each once. Empty where the
/// journal cannot be read: a failure is told all the same.
pub async fn journal(host: &dyn Commands, unit: &str) -> Vec<String> {
    let args = ["-u", unit, "-n", LOOKED_AT, "-o", "cat", "--no-pager"];
    let Ok(output) = host.run(&Command::new("journalctl", &args)).await else {
        return Vec::new();
    };
    relevant(&output.stdout)
}

fn relevant(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut said: Vec<&str> = Vec::new();
    for line in text.lines().rev().filter(|line| tells_of_trouble(line)) {
        let message = message(line);
        if !said.contains(&message) && lines.len() < SHOWN {
            said.push(message);
            lines.push(line.to_owned());
        }
    }
    lines.reverse();
    lines
}

/// klog begins a line with its severity, month and day: `E1123 08:14:34.123456 ...`.
fn tells_of_trouble(line: &str) -> bool {
    let mut chars = line.chars();
    let severe = matches!(chars.next(), Some('E' | 'F')) && chars.next().is_some_and(is_digit);
    let words = ["error", "failed", "fatal", "panic", "denied"];
    severe || words.iter().any(|word| line.to_ascii_lowercase().contains(word))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// What a line says, without klog's time and process id, which make every line another.
fn message(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_trouble_are_told_once() {
        let text = "\
I1123 08:14:30.000001    10 server.go:1] starting
E1123 08:14:31.000001    10 run.go:74] \"command failed\" err=\"swap\"
E1123 08:14:41.000001    11 run.go:74] \"command failed\" err=\"swap\"
kubelet.service: Failed with result 'exit-code'.
Started kubelet.service
";
        let expected = [
            "E1123 08:14:41.000001    11 run.go:74] \"command failed\" err=\"swap\"",
            "kubelet.service: Failed with result 'exit-code'.",
        ];
        assert_eq!(relevant(text), expected);
    }

    #[test]
    fn no_more_is_shown_than_a_person_reads() {
        let text: String = (0..40).map(|n| format!("error {n}\n")).collect();
        let shown = relevant(&text);
        assert_eq!(shown.len(), SHOWN);
        assert_eq!(shown.last().map(String::as_str), Some("error 39"));
    }
}
