//! Flags that every command has, and what follows from them: settings, the client, the output.

use std::{collections::BTreeMap, convert::Infallible, fs, path::PathBuf};

use clap::Args;

use super::{
    address::{Address, parse_url},
    client::Client,
    exit::{CliError, Exit, Outcome},
    output::Output,
};
use crate::{
    app,
    settings::{self, Machine, Problems, Secret, Settings, Sources},
};

/// Flags that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct Global {
    /// Read this config file; may be given several times, later ones win
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,

    /// The data directory of the host [setting: `host.data_dir`]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,

    /// Talk to the host at this address and not over the socket in its data directory
    #[arg(long, global = true, value_name = "URL", value_parser = parse_url)]
    url: Option<Address>,

    /// The API key, for --url. Other users of this machine see arguments: prefer the environment or
    /// a file
    #[arg(long, global = true, value_name = "KEY", env = "HOSTLER_API_KEY", hide_env_values = true,
          value_parser = secret)]
    api_key: Option<Secret>,

    /// Read the API key from this file
    #[arg(long, global = true, value_name = "FILE")]
    api_key_file: Option<PathBuf>,

    /// Trust the certificates in this file, in the form of PEM, and no others, for --url https://
    #[arg(long, global = true, value_name = "FILE", env = "HOSTLER_CA")]
    ca: Option<PathBuf>,

    /// Print JSON, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// No colours; so does `NO_COLOR` in the environment, and any output that is no terminal
    #[arg(long, global = true)]
    pub(super) no_color: bool,
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

impl Global {
    /// How the command prints.
    pub(super) const fn output(&self) -> Output {
        Output { json: self.json }
    }

    /// Whether stdout takes colours.
    pub(super) fn colours_stdout(&self) -> bool {
        !self.no_color && takes_colours(&std::io::stdout())
    }

    /// Whether stderr takes colours.
    pub(super) fn colours_stderr(&self) -> bool {
        !self.no_color && takes_colours(&std::io::stderr())
    }

    /// Where settings come from: the files named, else the usual one; the environment; the flags.
    pub(super) fn sources(&self, set: &[(String, String)]) -> Sources {
        let env = environment();
        let files = match self.config.as_slice() {
            [] => settings::default_file(&env).into_iter().collect(),
            files => files.to_vec(),
        };
        let data_dir = self
            .data_dir
            .as_ref()
            .map(|dir| ("host.data_dir".to_owned(), dir.display().to_string()));
        Sources {
            files,
            machine: Machine::detect(&env),
            env,
            flags: set.iter().cloned().chain(data_dir).collect(),
            check_template: app::check_template,
        }
    }

    /// The settings of this machine's host.
    pub(super) fn settings(&self, set: &[(String, String)]) -> Outcome<Settings> {
        settings::load(&self.sources(set)).map_err(|problems| unsound(&problems))
    }

    /// The client of the host that the flags mean.
    pub(super) fn client(&self) -> Outcome<Client> {
        let address = match &self.url {
            Some(address) => address.clone(),
            None => Address::Socket(self.socket()?),
        };
        let key = match (&address, &self.api_key_file) {
            (Address::Socket(_), _) => None,
            (Address::Tcp { .. }, Some(file)) => Some(key_in(file)?),
            (Address::Tcp { .. }, None) => self.api_key.clone(),
        };
        if key.is_some() && address.is_open_to_others() {
            let warning = "the API key goes over the network unencrypted; use https, or a tunnel";
            anstream::eprintln!("warning: {warning}");
        }
        Ok(Client::new(address, key, self.ca.clone()))
    }

    fn socket(&self) -> Outcome<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return Ok(settings::Host::socket_in(dir));
        }
        let settings = self.settings(&[]).map_err(|error| {
            error.help("or say where the host is: --data-dir DIR, or --url URL")
        })?;
        Ok(settings.host.socket())
    }
}

/// Whether colours make sense there: a terminal, and nobody said `NO_COLOR`.
fn takes_colours(stream: &impl anstream::stream::RawStream) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// The environment, as far as it is text.
pub(super) fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The settings are not sound: each problem on a line of its own.
pub(super) fn unsound(problems: &Problems) -> CliError {
    let (count, s) = match problems.as_slice().len() {
        1 => ("a problem".to_owned(), ""),
        many => (format!("{many} problems"), "s"),
    };
    let lines: String = problems.as_slice().iter().map(|it| format!("\n  {it}")).collect();
    CliError::new(Exit::Failed, format!("the settings have {count}:{lines}"))
        .help(format!("mend the line{s} above; `hostler config check FILE` looks again"))
}

fn key_in(file: &PathBuf) -> Outcome<Secret> {
    let wrong = |why: String| {
        CliError::new(Exit::Usage, format!("--api-key-file {}: {why}", file.display()))
    };
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    match text.trim() {
        "" => Err(wrong("is empty".to_owned())),
        key => Ok(Secret::new(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        assert_eq!(key_in(&file).unwrap_err().exit, Exit::Usage);
        fs::write(&file, " \n").unwrap();
        assert!(key_in(&file).unwrap_err().what.contains("is empty"));
        fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(key_in(&file).unwrap().reveal(), "s3cret");
    }
}
