//! `openapi`: the document of the API.

use clap::Args;

use super::{
    exit::{CliError, Exit, Outcome},
    output::Output,
};
use crate::http::openapi::{NoOperation, Part, document};

/// Print the API as OpenAPI 3.1, for programs that make clients or read it
///
/// No host needs to run. A running one shows the same at /openapi.json, and a page to try it at /docs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hostler openapi > hostler.json\n  \
    hostler openapi --server https://hosts.example\n  \
    hostler openapi --only sendCommand,readInstructions --server https://hosts.example\n\n\
    The names of operations are those of `operationId`.")]
pub(super) struct OpenApi {
    /// Only these operations, and what they name; with commas, or given several times
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    only: Vec<String>,
    /// The address of the host, for those who read the document somewhere else
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

impl OpenApi {
    pub(super) fn run(self, output: Output) -> Outcome {
        let part = Part { only: self.only, server: self.server };
        let wrong = |error: NoOperation| CliError::new(Exit::Usage, error.to_string());
        let document = part.of(document()).map_err(wrong)?;
        output.show(&document, |document| format!("{document:#}"))?;
        Ok(Exit::Done)
    }
}
