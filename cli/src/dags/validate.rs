//! `subak dags validate`: everything that is wrong with DAG files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use subak_core::dag::{self, Parsed};

use crate::exit::{Ended, Outcome};
use crate::output;

/// Reads DAG files and prints every error, with file, line and column.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subak dags validate dags/retail_retention.yaml
  subak dags validate dags                          every .yaml and .yml file below a folder
  subak dags validate dags --json                   for editors and CI

The exit code is 1 if anything is wrong.")]
pub(crate) struct Options {
    /// Files, or folders of files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Prints the errors as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut files = Vec::new();
    for path in &options.paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        anyhow::bail!("no .yaml or .yml file in `{}`", options.paths[0].display());
    }
    let parsed = files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let errors: Vec<_> = parsed.iter().flat_map(|file| &file.diagnostics).collect();
    if options.json {
        output::json(&errors)?;
    } else {
        for error in &errors {
            output::line(error)?;
        }
        let dags = parsed.iter().map(|file| file.dags.len()).sum::<usize>();
        output::line(format!(
            "{}, {} without an error, {}",
            counted(files.len(), "file"),
            counted(dags, "DAG"),
            counted(errors.len(), "error")
        ))?;
    }
    Ok(if errors.is_empty() { Ended::Success } else { Ended::Invalid })
}

/// Reads one DAG file.
pub(super) fn read(file: &Path) -> anyhow::Result<Parsed> {
    let bytes = fs::read(file).with_context(|| format!("reading `{}`", file.display()))?;
    let text = String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("`{}` is not UTF-8: save it as UTF-8", file.display()))?;
    Ok(dag::parse(&file.display().to_string(), &text))
}

/// Adds the DAG files at `path`, by name; hidden folders are left out.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let reading = || format!("reading `{}`", path.display());
    if fs::metadata(path).with_context(reading)?.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(reading)?;
    entries.sort();
    for entry in entries {
        let hidden =
            entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = entry.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if !hidden && (entry.is_dir() || is_yaml) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
