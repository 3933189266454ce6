//! The lab's nodes, its site and its specifications, through the lab's own scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Which nodes a specification names, of those of the sample specification and the spare.
pub type Nodes<'a> = &'a [&'a str];

const STATE: &str = "/var/lib/quorate-lab";

/// The lab of this checkout.
#[derive(Debug, Clone)]
pub struct Lab {
    checkout: PathBuf,
    /// The folder of `quorate` and `quorate-agent`.
    programs: PathBuf,
    /// The coordinator's state folder.
    pub site: PathBuf,
}

impl Lab {
    /// The lab with the programs that `QUORATE_BIN` names.
    ///
    /// # Panics
    /// If it names none.
    pub fn of_environment() -> Self {
        let programs = std::env::var("QUORATE_BIN").expect("QUORATE_BIN names quorate's folder");
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            checkout: tests.parent().expect("tests has a parent").to_owned(),
            programs: programs.into(),
            site: Path::new(STATE).join("site"),
        }
    }

    /// Why this machine cannot run the lab.
    pub fn obstacle(&self) -> Option<String> {
        let output = self.script("lab", &["why-not"]);
        (!output.status.success()).then(|| text(&output))
    }

    /// Bare nodes with enrolled agents, whatever was there before.
    pub fn begin_bare(&self, nodes: Nodes<'_>) {
        self.lab(&["prepare"]);
        self.lab(&["down"]);
        let agent = std::env::var("QUORATE_AGENT").expect("QUORATE_AGENT names the agent's .deb");
        self.lab(&[&["up", "--agent", &agent], nodes].concat());
        self.must("enrol", nodes);
    }

    /// Boots further nodes, bare, and enrols their agents.
    pub fn add(&self, node: &str) {
        self.lab(&["up", node]);
        self.must("enrol", &[node]);
    }

    /// A command of the lab that must not fail.
    ///
    /// # Panics
    /// If it fails.
    pub fn lab(&self, args: &[&str]) -> String {
        self.must("lab", args)
    }

    /// A command in a node; its exit code is passed on.
    pub fn in_node(&self, node: &str, command: &[&str]) -> Output {
        self.script("lab", &[&["exec", node, "--"], command].concat())
    }

    /// One of quorate's commands about the cluster of a specification.
    pub fn quorate(&self, spec: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(self.program("quorate"));
        command.args(args).arg("--state").arg(&self.site).arg("-f").arg(spec);
        command
    }

    /// The admin kubeconfig, where the watchers look for it.
    pub fn write_kubeconfig(&self, spec: &Path) {
        let output = self.quorate(spec, &["kubeconfig"]).output().expect("quorate starts");
        assert!(output.status.success(), "quorate kubeconfig: {}", text(&output));
        // Not by --out, which does not replace that of an earlier cluster.
        let written = fs::write(format!("{STATE}/site/kubeconfig"), output.stdout);
        written.expect("the site's folder can be written");
    }

    /// The sample specification with these nodes alone; gives its path.
    pub fn specify(&self, nodes: Nodes<'_>) -> PathBuf {
        let site = Path::new(STATE).join("site");
        let sample = fs::read_to_string(self.checkout.join("packaging/cluster.yaml"));
        let sample = sample.expect("the sample specification");
        let mut lines = Vec::new();
        for line in sample.lines().filter(|line| !line.starts_with("  - {name:")) {
            lines.push(line.to_owned());
            if line == "  nodes:" {
                lines.extend(nodes.iter().map(|node| self.node_line(node)));
            }
        }
        let path = site.join(format!("{}.yaml", nodes.join("+")));
        fs::write(&path, lines.join("\n")).expect("the site's folder can be written");
        path
    }

    /// A second host of the coordinator: a copy of the site's authority and store.
    pub fn second_host(&self) -> Self {
        let site = Path::new(STATE).join("site-2");
        let copied = Command::new("cp").args(["-a", "--"]).arg(&self.site).arg(&site).status();
        assert!(copied.is_ok_and(|status| status.success()), "copying the site");
        Self { site, ..self.clone() }
    }

    /// Forgets the second host.
    pub fn end_second_host(&self) {
        drop(fs::remove_dir_all(Path::new(STATE).join("site-2")));
    }

    /// Process id of a node's PID 1 on this machine; `None` if it was never booted. From the lab's
    /// own note, as a moment to kill at does not wait for a script.
    pub fn init_of(&self, node: &str) -> Option<u32> {
        let note = fs::read_to_string(format!("{STATE}/nodes/{node}/init.pid")).ok()?;
        note.split_whitespace().next()?.parse().ok()
    }

    /// One of the lab's scripts.
    pub fn script(&self, name: &str, args: &[&str]) -> Output {
        let mut command = self.command(name);
        command.args(args).output().expect("the lab's script starts")
    }

    /// One of the lab's scripts, not started.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.checkout.join("tests/lab").join(name));
        command.env("QUORATE_BIN", &self.programs);
        command
    }

    /// One of quorate's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn must(&self, script: &str, args: &[&str]) -> String {
        let output = self.script(script, args);
        assert!(output.status.success(), "{script} {}: {}", args.join(" "), text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn node_line(&self, node: &str) -> String {
        let role = match node.split_once('-') {
            Some(("lb", _)) => "load-balancer",
            Some(("worker", _)) => "worker",
            _ => "control-plane",
        };
        let list = self.lab(&["list"]);
        let mut words = list.lines().map(str::split_whitespace);
        let address = words.find_map(|mut words| (words.next()? == node).then(|| words.next())?);
        let address = address.expect("the lab lists the node");
        format!("  - {{name: {node}, address: {address}, roles: [{role}]}}")
    }
}

/// What a command printed, both ways.
pub fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}
