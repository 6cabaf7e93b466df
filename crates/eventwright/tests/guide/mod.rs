//! What the tests of guide pages share: the commands of a page, run by a shell that finds the binary.

use std::path::Path;
use std::process::{Child, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_eventwright");

pub struct Started(pub Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    let path =
        format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder).env("PATH", path);
    command
}

pub fn run(folder: &Path, script: &str) -> String {
    let output = shell(folder, script).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}{err}");
    out.into_owned()
}

/// A page's blocks of commands.
pub fn blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let parts = text.split("```sh\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_string()).collect()
}
