//! The oracle's process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running oracle, whose lines come as it finds them.
pub struct Oracle {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Oracle {
    /// Starts the oracle and gives it all its input.
    pub fn start(mode: &str, input: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/cron_oracle.py");
        let mut process = Command::new("python3")
            .arg(script)
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut stdin = process.stdin.take().expect("the oracle has an input");
        stdin.write_all(input.as_bytes()).expect("the oracle reads");
        drop(stdin);
        let stdout = process.stdout.take().expect("the oracle has an output");
        Oracle { process, lines: BufReader::new(stdout).lines() }
    }

    /// The words of its next line.
    pub fn words(&mut self) -> Vec<String> {
        let line = self.lines.next().expect("the oracle goes on").expect("the oracle writes text");
        line.split_ascii_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether Python runs this; else a line where skips are counted.
pub fn can(test: &str, program: &str, reason: &str) -> bool {
    let output = Command::new("python3").args(["-c", program]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let line = format!("{test}: {reason}\n");
    println!("SKIPPED: {line}");
    if let Some(path) = std::env::var_os("TASKWRIGHT_SKIPS") {
        let list = std::fs::File::options().append(true).open(path);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("skips can be noted");
    }
    false
}
