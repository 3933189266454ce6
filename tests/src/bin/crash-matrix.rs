//! Plays the crash matrix on the lab's nodes: all of it, or the parts that are named. Its last words are the table.
#![expect(clippy::print_stdout, reason = "it talks to a person")]

use std::process::ExitCode;
use std::time::Instant;

use quorate_tests::lab::{Lab, crash_matrix, names};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = names();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        println!("there is no part {unknown}; the parts are: {}", known.join(" "));
        return ExitCode::from(2);
    }
    let lab = Lab::of_environment();
    if let Some(obstacle) = lab.obstacle() {
        println!("{obstacle}");
        return ExitCode::FAILURE;
    }
    let began = Instant::now();
    let mut say = |line: &str| println!("{:>6.1} s {line}", began.elapsed().as_secs_f64());
    let table = crash_matrix(&lab, &wanted, &mut say);
    println!("\n{table}");
    ExitCode::from(u8::from(table.failed() > 0))
}
