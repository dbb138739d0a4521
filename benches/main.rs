//! `culvert-bench`: measures Culvert, as root. It prints figures; nothing here passes or fails. The programs measured are
//! those that were built beside it.

mod figures;
mod memory;
mod mesh;

use std::path::Path;
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
    let programs = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let measured = match what {
        What::Mesh(size) => mesh::measure(&size, &programs.unwrap_or_default()),
    };
    match measured {
        Ok(figures) if json => println!("{}", figures.json()),
        Ok(figures) => print!("{}", figures.table()),
        Err(error) => {
            eprintln!("culvert-bench: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
