//! The real host, under a temporary root and with stub programs on its PATH.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use quorate_proto::Event;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::Profile;
use super::*;

/// A root, and beside it a folder of programs.
struct Place {
    root: TempDir,
    host: LinuxHost,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        let path = format!("{}/bin:/usr/bin:/bin", root.path().display());
        let host = LinuxHost::under(root.path().to_owned(), path);
        Self { root, host }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.root.path().join("bin").join(name);
        let root = self.root.path().display();
        let source = self.root.path().join(format!("{name}.sh"));
        fs::write(&source, format!("#!/bin/sh\nROOT={root}\n{script}\n")).unwrap();
        // Another process writes it: a child that another test forks at this moment would hold a file that
        // this one has open for writing, and the kernel starts no program that is.
        let install = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&source, &path])
            .status();
        assert!(install.unwrap().success(), "installing {}", path.display());
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.host.at(path)).unwrap().permissions().mode() & 0o7777
    }
}

#[tokio::test]
async fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
    let place = Place::new();
    let host = &place.host;
    assert_eq!(host.read("/etc/a/b").await.unwrap(), None);
    host.write("/etc/a/b", b"one", 0o600).await.unwrap();
    fs::write(host.at("/etc/a/.b.quorate-new"), "left by a crash").unwrap();
    host.write("/etc/a/b", b"two", 0o644).await.unwrap();
    assert_eq!(host.read("/etc/a/b").await.unwrap().unwrap(), b"two");
    assert_eq!(place.mode("/etc/a/b"), 0o644);
    assert_eq!(host.list("/etc/a").await.unwrap(), ["b"]);
    assert_eq!(host.sha256("/etc/a/b").await.unwrap(), Some(Sha256::of(b"two")));
    host.remove("/etc/a/b").await.unwrap();
    host.remove("/etc/a/b").await.unwrap();
    assert_eq!(host.list("/etc/a").await.unwrap(), [""; 0]);
    assert_eq!(host.list("/etc/none").await.unwrap(), [""; 0]);
    assert_eq!(host.sha256("/etc/a/b").await.unwrap(), None);
}

#[tokio::test]
async fn the_kernels_files_are_set_in_place_and_never_made() {
    let place = Place::new();
    place.host.write("/proc/sys/a", b"0\n", 0o644).await.unwrap();
    let inode = |host: &LinuxHost| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(host.at("/proc/sys/a")).unwrap())
    };
    let before = inode(&place.host);
    place.host.set("/proc/sys/a", "1").await.unwrap();
    assert_eq!(inode(&place.host), before);
    let error = place.host.set("/proc/sys/b", "1").await.unwrap_err();
    assert_eq!(error.to_string(), "setting /proc/sys/b to \"1\"");
}

#[tokio::test]
async fn a_command_gets_its_input_and_a_clean_environment() {
    let place = Place::new();
    place.program("show", "cat; echo \"$LANG $ASKED $CARGO_MANIFEST_DIR\"; echo bad >&2; exit 3");
    let mut command = Command::new("show", &[]);
    command.stdin = Some(Secret::new("fed\n".to_owned()));
    command.env.push(("ASKED".to_owned(), "yes".to_owned()));
    let output = place.host.run(&command).await.unwrap();
    let wanted = Output { status: 3, stdout: "fed\nC.UTF-8 yes \n".into(), stderr: "bad\n".into() };
    assert_eq!(output, wanted);
    let missing = place.host.run(&Command::new("no-such-program", &[])).await.unwrap_err();
    assert!(missing.program_missing(), "{missing:?}");
}

#[tokio::test]
async fn a_deadline_ends_the_whole_group_and_keeps_what_was_printed() {
    let place = Place::new();
    let fifo = place.root.path().join("fifo");
    let made = place.host.run(&Command::new("mkfifo", &[fifo.to_str().unwrap()])).await.unwrap();
    assert_eq!(made.status, 0);
    let reader = std::thread::spawn(move || fs::read_to_string(fifo).unwrap());
    // The fifo reads to its end once the grandchild, which alone holds it open, is gone.
    place.program("hang", "echo begun; (sleep 20; echo survived) > $ROOT/fifo & wait");
    let command = Command::new("hang", &[]).within(Duration::from_secs(1));
    let error = place.host.run(&command).await.unwrap_err();
    assert!(
        matches!(&error, HostError::Deadline { output, .. } if output == &["begun"]),
        "{error:?}"
    );
    assert_eq!(reader.join().unwrap(), "");
}

#[tokio::test]
async fn an_answer_is_remembered_until_the_program_changes() {
    let place = Place::new();
    let ask = || async {
        let output = place.host.run_remembered(&Command::new("tool", &["version"])).await.unwrap();
        output.stdout
    };
    place.program("tool", "echo asked >> $ROOT/asked; echo 1");
    assert_eq!((ask().await, ask().await), ("1\n".to_owned(), "1\n".to_owned()));
    assert_eq!(fs::read_to_string(place.root.path().join("asked")).unwrap(), "asked\n");
    fs::remove_file(place.root.path().join("bin/tool")).unwrap();
    place.program("tool", "echo 2");
    assert_eq!(ask().await, "2\n");
}

/// Stands in for systemd: runs the program to its end, then removes the unit's folder.
const SYSTEMD_RUN: &str = r#"
for arg; do
  case "$arg" in
    --unit=*) name=${arg#--unit=} ;;
    --property=StandardInput=file:*) input=$ROOT${arg#*file:} ;;
  esac
  shift
  [ "$arg" = -- ] && break
done
folder=$ROOT/run/quorate/units/$name
ls -l "$folder" > $ROOT/listing
cat "$folder/config.yaml" > $ROOT/config
"$@" < "${input:-/dev/null}" >> "$folder/output" 2>&1
echo $? > $ROOT/status
rm -r "$folder"
"#;

const SYSTEMCTL: &str = r#"
case "$1" in
  show)
    status=$(cat $ROOT/status)
    [ $status = 0 ] && echo ActiveState=inactive || echo ActiveState=failed
    echo Result=exit-code; echo ExecMainCode=1; echo ExecMainStatus=$status ;;
  list-units) cat $ROOT/units ;;
  *) echo "$@" >> $ROOT/systemctl ;;
esac
"#;

#[tokio::test]
async fn a_unit_tells_its_lines_and_its_status_and_leaves_no_files() {
    let place = Place::new();
    place.program("systemd-run", SYSTEMD_RUN);
    place.program("systemctl", SYSTEMCTL);
    place.program("kubeadm", "echo one; cat; echo end >&2; exit $1");
    let (sender, mut events) = mpsc::unbounded_channel();
    let progress = Progress::new(sender);
    let mut command = Command::new("kubeadm", &["0"]);
    command.stdin = Some(Secret::new("fed\n".to_owned()));
    let files = vec![("config.yaml".to_owned(), Secret::new("token in {dir}".to_owned()))];
    let mut unit = Unit::new(Profile::Client, command).with_files(files);
    place.host.run_unit(&unit, &progress).await.unwrap();
    let mut lines = Vec::new();
    while let Ok(Event::Output { line }) = events.try_recv() {
        lines.push(line);
    }
    assert_eq!(lines, ["one", "fed", "end"]);
    let listing = fs::read_to_string(place.root.path().join("listing")).unwrap();
    let modes: Vec<&str> = listing.lines().skip(1).filter_map(|line| line.get(..10)).collect();
    assert_eq!(modes, ["-rw-------"; 3], "{listing}");
    let config = fs::read_to_string(place.root.path().join("config")).unwrap();
    assert!(config.starts_with("token in /run/quorate/units/quorate-run-kubeadm-"), "{config}");
    assert_eq!(place.host.list("/run/quorate/units").await.unwrap(), [""; 0]);
    assert_eq!(place.mode("/run/quorate/units"), 0o700);

    unit.command.args = vec!["4".to_owned()];
    let missing = Unit::new(Profile::Client, Command::new("no-such-program", &[]));
    assert!(place.host.run_unit(&missing, &progress).await.unwrap_err().program_missing());
    let error = place.host.run_unit(&unit, &progress).await.unwrap_err();
    let HostError::Failed { command, status: 4, output } = error else { panic!("{error:?}") };
    assert_eq!((command.as_str(), output.len()), ("kubeadm 4", 3));
}

#[tokio::test]
async fn an_agent_that_comes_back_finds_what_runs_and_clears_what_does_not() {
    let place = Place::new();
    place.program("systemctl", SYSTEMCTL);
    let runs = "quorate-run-apt-get-1.service";
    let failed = "quorate-run-kubeadm-2.service";
    let units =
        format!("{runs} loaded active running quorate: apt-get\n{failed} loaded failed failed x\n");
    fs::write(place.root.path().join("units"), units).unwrap();
    for name in [runs, failed, "quorate-run-kubeadm-3.service"] {
        fs::create_dir_all(place.host.at("/run/quorate/units").join(name)).unwrap();
    }
    assert_eq!(place.host.units_under_way().await.unwrap(), [runs]);
    assert_eq!(place.host.list("/run/quorate/units").await.unwrap(), [runs]);
    let asked = fs::read_to_string(place.root.path().join("systemctl")).unwrap();
    assert_eq!(asked, format!("reset-failed -- {failed}\n"));
}
