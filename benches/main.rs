//! `culvert-bench`: measures Culvert. It prints figures; nothing here passes or fails.

mod figures;
mod memory;
mod mesh;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Culvert.
#[derive(Debug, Parser)]
#[command(name = "culvert-bench", version)]
struct Arguments {
    /// Print JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The mesh state: memory and time of a large mesh, updates, lookups.
    Mesh(mesh::Size),
}

fn main() -> ExitCode {
    let Arguments { json, what } = Arguments::parse();
    let figures = match what {
        What::Mesh(size) => mesh::measure(&size),
    };
    if json {
        println!("{}", figures.json())
    } else {
        print!("{}", figures.table())
    }
    ExitCode::SUCCESS
}
