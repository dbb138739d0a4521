//! The program as a person or a script meets it: exit codes, pipes, signals, a terminal.

#[cfg(test)]
mod endings;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod node;
#[cfg(test)]
mod scripts;

/// The program.
#[cfg(test)]
const PROGRAM: &str = env!("CARGO_BIN_EXE_culvert");
