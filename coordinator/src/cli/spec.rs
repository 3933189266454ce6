//! `quorate spec`: checks a specification, and prints the JSON schema of one. Printing is left to
//! the caller.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::spec::{self, Loaded, Problem, Role, plural};

/// Look at specifications without asking any node.
#[derive(Debug, Args)]
pub struct SpecArgs {
    #[command(subcommand)]
    command: SpecCommand,
}

#[derive(Debug, Subcommand)]
enum SpecCommand {
    /// Report every problem of a specification at once.
    Check(CheckArgs),
    /// Print the JSON schema, by which editors complete and check cluster.yaml.
    Schema,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The specification.
    #[arg(default_value = "cluster.yaml")]
    file: PathBuf,
}

/// What a command says, and whether the specification can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub valid: bool,
}

/// Runs the command; `colours` as the terminal can show them.
pub fn run(args: &SpecArgs, colours: bool) -> Answer {
    match &args.command {
        SpecCommand::Check(check) => checked(&check.file, colours),
        SpecCommand::Schema => Answer { text: spec::schema(), valid: true },
    }
}

fn checked(file: &Path, colours: bool) -> Answer {
    match spec::load(file) {
        Ok(loaded) => Answer { text: summary(file, &loaded, colours), valid: true },
        Err(problems) => Answer { text: problems.render(colours), valid: false },
    }
}

/// Warnings, what the cluster is, and the defaults that were taken.
fn summary(file: &Path, loaded: &Loaded, colours: bool) -> String {
    let Loaded { spec, warnings, defaults, .. } = loaded;
    let render = |warning: &Problem| format!("{}\n\n", warning.render(colours));
    let mut text: String = warnings.iter().map(render).collect();
    let count = |role, noun| plural(spec.with_role(role).count(), noun);
    let head = format!(
        "{} is a valid specification: cluster {}, Kubernetes {}, {}, {}, {}, endpoint {}\n",
        file.display(),
        spec.name,
        spec.version,
        count(Role::LoadBalancer, "load balancer"),
        count(Role::ControlPlane, "control plane"),
        count(Role::Worker, "worker"),
        spec.endpoint,
    );
    text.push_str(&head);
    let width = defaults.iter().map(|(path, _)| path.len()).max().unwrap_or_default();
    if !defaults.is_empty() {
        text.push_str("defaults:\n");
    }
    for (path, value) in defaults {
        // A String takes every write.
        let _written = writeln!(text, "  {path:width$}  {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::SPEC;

    fn run_on(text: &str) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.yaml");
        std::fs::write(&file, text).unwrap();
        run(&SpecArgs { command: SpecCommand::Check(CheckArgs { file }) }, false)
    }

    #[test]
    fn a_good_file_is_summed_up_with_its_defaults() {
        let answer = run_on(SPEC);
        assert!(answer.valid, "{}", answer.text);
        let sum = "cluster lab, Kubernetes v1.35.4, 0 load balancers, 1 control plane, 0 workers, \
                   endpoint 10.0.0.11:6443\n";
        assert!(answer.text.contains(sum), "{}", answer.text);
        assert!(answer.text.contains("  spec.network.podSubnet "), "{}", answer.text);
    }

    #[test]
    fn a_bad_file_is_answered_by_its_problems() {
        let answer = run_on(&SPEC.replace("v1.35.4", "v1.20.0"));
        assert!(!answer.valid);
        assert!(
            answer.text.starts_with("error: quorate does not drive v1.20.0"),
            "{}",
            answer.text
        );
        assert!(answer.text.ends_with("\n\n1 error\n"), "{}", answer.text);
        let missing = checked(Path::new("/no/such/file"), false);
        assert!(!missing.valid && missing.text.contains("reading /no/such/file"), "{missing:?}");
    }

    #[test]
    fn the_schema_is_json() {
        let answer = run(&SpecArgs { command: SpecCommand::Schema }, false);
        assert!(serde_json::from_str::<serde_json::Value>(&answer.text).is_ok());
    }
}
