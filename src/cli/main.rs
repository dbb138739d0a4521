//! `culvert`: what people type.
//!
//! In go arguments; out come words for people and an exit code: 0 when all is well, 1 when something failed, 2 when it
//! was called wrongly. It deliberately holds no part of the mesh itself: those are programs of their own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use culvert_process::exit::{self, Failure};

mod demo;
mod output;

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
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options).map_err(Failure::runtime),
    };
    exit::code("culvert", result)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_unknown_or_missing_is_wrong_usage() {
        for line in [&["culvert", "demo", "--kep"][..], &["culvert"], &["culvert", "dmeo"]] {
            assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
