//! Runs the system's tools (`ip`, `iptables`, `cargo`) to their end and reports failures with all they said.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use culvert_sys::child::{die_with_parent, start_in, wait_until};
use culvert_sys::netns::Netns;

use crate::Error;
use crate::error::Doing as _;

/// No network tool takes longer, unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `ip -batch -` inside a namespace, with one command a line.
pub(crate) fn ip(netns: &Netns, lines: &[String]) -> Result<(), Error> {
    run_in(netns, &["ip", "-batch", "-"], &lines.join("\n")).map(|_| ())
}

/// Runs a tool inside a namespace; gives back what it wrote to stdout.
pub(crate) fn run_in(netns: &Netns, words: &[&str], input: &str) -> Result<String, Error> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    start_in(&mut command, netns).doing(|| format!("prepare `{}`", words.join(" ")))?;
    run(command, input, PATIENCE)
}

/// Runs a command to its end, feeding it `input`; gives back what it wrote to stdout.
pub(crate) fn run(mut command: Command, input: &str, patience: Duration) -> Result<String, Error> {
    let shown = show(&command, input);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = die_with_parent(&mut command).spawn().doing(|| format!("run `{shown}`"))?;
    let finished = feed_and_wait(&mut child, input, patience).doing(|| format!("finish `{shown}`"))?;
    let outcome = match finished.status {
        Some(status) if status.success() => return Ok(finished.stdout),
        Some(status) => status.to_string(),
        None => format!("killed after {patience:?}"),
    };
    let output = if finished.stderr.trim().is_empty() { finished.stdout } else { finished.stderr };
    Err(Error::Tool { command: shown, outcome, output: output.trim().to_owned() })
}

struct Finished {
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

fn feed_and_wait(child: &mut Child, input: &str, patience: Duration) -> io::Result<Finished> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let stdout = scope.spawn(move || drain(stdout));
        let stderr = scope.spawn(move || drain(stderr));
        if let Some(mut stdin) = stdin {
            // A tool that ends early shows in its exit status; its broken pipe says nothing more.
            let _ = stdin.write_all(input.as_bytes());
        }
        let status = wait(child, patience)?;
        Ok(Finished { status, stdout: text(stdout), stderr: text(stderr) })
    })
}

/// Waits for the end of a child, which is killed when it takes too long: then there is no status.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let status = wait_until(child, Instant::now() + patience)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(status)
}

fn drain(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What was read before a failure is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

fn text(reader: ScopedJoinHandle<'_, Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

/// The command as a person would type it.
fn show(command: &Command, input: &str) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if input.is_empty() { line } else { format!("{line} <<< \"{}\"", input.replace('\n', "; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_its_input_and_its_stderr() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo oh no >&2; exit 3"]);
        let error = run(command, "line", PATIENCE).unwrap_err().to_string();
        assert_eq!(error, "`sh -c echo oh no >&2; exit 3 <<< \"line\"` failed (exit status: 3): oh no");
    }

    #[test]
    fn output_larger_than_a_pipe_comes_whole() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero"]);
        assert_eq!(run(command, "", PATIENCE).unwrap().len(), 300_000);
    }

    #[test]
    fn a_stuck_tool_is_killed() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = run(command, "", Duration::from_millis(20)).unwrap_err().to_string();
        assert_eq!(error, "`sleep 600` failed (killed after 20ms): ");
    }
}
