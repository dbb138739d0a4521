//! `culvert`: what people type.
//!
//! In go arguments; out come words for people and an exit code: 0 when all is well, 1 when something failed, 2 when it
//! was called wrongly, and 3 when `why` has found somebody to blame. It deliberately holds no part of the mesh itself: those are
//! programs of their own.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use culvert_process::exit::{self, Failure};

mod check;
mod client;
mod demo;
mod get;
mod output;
mod paper;
mod running;
mod top;
mod why;

#[cfg(test)]
mod fake_node;

/// A per-node zero-trust tunnel for the traffic of Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "culvert", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the mesh at work on this machine: two nodes and four pods out of network namespaces (needs root)
    Demo(demo::Options),
    /// Look at this host, change nothing, and say what will be trouble
    Check(Box<check::Options>),
    /// List what a node knows: pods, connections, tunnels, certificates, the mesh
    Get(get::Options),
    /// Say why a connection failed or would fail, decision by decision, and who or what is to blame
    Why(why::Options),
    /// Watch a node at work: connections, throughput, refusals, certificates, tunnels
    Top(top::Options),
    /// Print what a shell needs to complete this command line
    Completions(paper::CompletionsOptions),
    /// Print or write the manual pages
    Man(paper::ManOptions),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(failure) => exit::code("culvert", Err(failure)),
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let well = |()| ExitCode::SUCCESS;
    match command {
        Command::Demo(options) => demo::run(&options).map(well).map_err(Failure::runtime),
        Command::Check(options) => check::run(&options).map(well),
        Command::Get(options) => running::to_the_end(get::run(&options))?.map(well).map_err(get_failed),
        Command::Top(options) if options.is_once() => {
            running::to_the_end(top::once(&options))?.map(well).map_err(Failure::runtime)
        }
        Command::Top(options) => top::run(&options).map(well).map_err(Failure::runtime),
        Command::Completions(options) => {
            paper::complete(options, Arguments::command());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man(options) => {
            paper::man(&options, Arguments::command()).map(well).map_err(Failure::runtime)
        }
        Command::Why(options) => running::to_the_end(why::run(&options))?.map_err(Failure::runtime),
    }
}

/// A column nobody knows was typed wrongly; all else has failed.
fn get_failed(error: get::Error) -> Failure {
    match error {
        get::Error::NoColumn { .. } => Failure::usage(error),
        get::Error::Node(_) | get::Error::Output(_) => Failure::runtime(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_unknown_or_missing_is_wrong_usage() {
        for line in [
            &["culvert", "demo", "--kep"][..],
            &["culvert"],
            &["culvert", "dmeo"],
            &["culvert", "get", "pdos"],
        ] {
            assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
