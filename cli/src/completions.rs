//! `subak completions`: what shells complete.

use std::io;

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use crate::exit::{Ended, Outcome};

/// Prints what a shell needs to complete commands and options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak completions bash > ~/.local/share/bash-completion/completions/subak
  subak completions zsh > ~/.zfunc/_subak           with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  subak completions fish > ~/.config/fish/completions/subak.fish")]
pub(crate) struct Options {
    #[arg(value_enum)]
    shell: Name,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(options: &Options, mut command: Command) -> Outcome {
    let shell = match options.shell {
        Name::Bash => Shell::Bash,
        Name::Zsh => Shell::Zsh,
        Name::Fish => Shell::Fish,
    };
    // Whole before it is printed: who closes the pipe early is no error.
    let mut script = Vec::new();
    generate(shell, &mut command, "subak", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(Ended::Success)
}
