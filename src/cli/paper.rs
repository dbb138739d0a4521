//! `culvert completions` and `culvert man`: the command line, told to shells and to `man`.
//!
//! Both are made from the command line's own definition, so that they cannot tell of another one.

use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::output;

/// Which shell.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "\
Examples:
  culvert completions bash > /etc/bash_completion.d/culvert
  culvert completions zsh > /usr/local/share/zsh/site-functions/_culvert
  culvert completions fish > ~/.config/fish/completions/culvert.fish")]
pub(crate) struct CompletionsOptions {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

/// Where to.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  culvert man | man -l -
  culvert man /usr/local/share/man/man1")]
pub(crate) struct ManOptions {
    /// Write all pages into this directory; without it, the first one is printed
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// A page that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make a manual page")]
    Page(#[source] io::Error),
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Prints the completions of a shell.
pub(crate) fn complete(options: CompletionsOptions, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "culvert", &mut script);
    output::print(&String::from_utf8_lossy(&script));
}

/// Prints the first manual page, or writes all of them.
///
/// # Errors
/// When the directory cannot be written to.
pub(crate) fn man(options: &ManOptions, command: Command) -> Result<(), Error> {
    let pages = pages(command)?;
    let Some(directory) = &options.directory else {
        if let Some(page) = pages.first() {
            output::print(&page.text);
        }
        return Ok(());
    };
    std::fs::create_dir_all(directory).map_err(|source| Error::Write { path: directory.clone(), source })?;
    pages.iter().try_for_each(|page| page.write(directory))
}

/// A manual page.
#[derive(Debug)]
struct Page {
    file: String,
    text: String,
}

impl Page {
    fn of(command: &Command) -> Result<Self, Error> {
        let mut text = Vec::new();
        let man = Man::new(command.clone());
        man.render(&mut text).map_err(Error::Page)?;
        Ok(Self { file: man.get_filename(), text: String::from_utf8_lossy(&text).into_owned() })
    }

    fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(&self.file);
        std::fs::write(&path, &self.text).map_err(|source| Error::Write { path, source })
    }
}

/// One for the program, and one for each of its commands.
fn pages(command: Command) -> Result<Vec<Page>, Error> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let main = Page::of(&command);
    let of_command = |command: &Command| {
        let name = format!("{name}-{}", command.get_name());
        Page::of(&command.clone().display_name(name))
    };
    std::iter::once(main).chain(command.get_subcommands().map(of_command)).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::Arguments;

    #[test]
    fn every_command_and_every_argument_says_what_it_is_for() {
        let mut command = Arguments::command();
        command.build();
        assert!(command.get_about().is_some());
        for command in command.get_subcommands() {
            assert!(
                command.get_about().is_some_and(|about| !about.to_string().is_empty()),
                "{}",
                command.get_name()
            );
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn there_is_a_page_for_the_program_and_for_each_command() {
        let pages = pages(Arguments::command()).unwrap();
        let commands = Arguments::command().get_subcommands().count();
        assert_eq!(pages.len(), 1 + commands);
        assert_eq!(pages[0].file, "culvert.1");
        let get = pages.iter().find(|page| page.file == "culvert-get.1").expect("there is one for `get`");
        for text in ["CULVERT_NODE", "\\-\\-sort\\-by", "culvert get refusals"] {
            assert!(get.text.contains(text), "{text}: {}", get.text);
        }
        let why = pages.iter().find(|page| page.file == "culvert-why.1").expect("there is one for `why`");
        assert!(why.text.contains("Exit code: 0 when nothing is wrong, 3 when"), "{}", why.text);
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let (mut command, mut script) = (Arguments::command(), Vec::new());
            clap_complete::generate(*shell, &mut command, "culvert", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Arguments::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(script.contains("certificates") && script.contains("sort-by"), "{shell}");
        }
    }
}
