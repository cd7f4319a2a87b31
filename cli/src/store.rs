//! `transect store copy`: moves a database, between SQLite and Postgres or within one of them.

use clap::{Args, Subcommand};
use transect_coordinator::store::{StoreError, StorePlace, copy};

use crate::errors::{Failure, Outcome};
use crate::output::{Output, counted, table};

/// What to do with stores.
#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Copy everything from one store to another, which must be empty; their coordinators must be stopped
    Copy {
        /// Where it is: sqlite:PATH, postgres://USER@HOST/DATABASE, or @FILE for a file that holds one of these
        #[arg(value_name = "FROM")]
        from: String,
        /// Where it goes, likewise
        #[arg(value_name = "TO")]
        to: String,
    },
}

/// Copies a store.
pub async fn store(output: Output, args: StoreArgs) -> Outcome {
    let StoreVerb::Copy { from, to } = args.verb;
    let (from, to) = (place(&from)?, place(&to)?);
    let copied = copy(&from, &to).await.map_err(|error| match error {
        StoreError::Invalid(reason) => Failure::Usage(reason),
        other => Failure::Other(other.into()),
    })?;
    if output.is_json() {
        return output.json(&serde_json::json!({ "from": from.to_string(), "to": to.to_string(), "tables": copied }));
    }
    let rows = copied.iter().map(|t| vec![t.table.clone(), t.rows.to_string(), t.digest[..16].to_owned()]).collect();
    output.text(&table(&["table", "rows", "digest"], &[1], rows))?;
    let all = copied.iter().map(|table| table.rows).sum();
    output.note(&format!("copied {} from {from} to {to}; counts and digests agree", counted(all, "row")));
    Ok(())
}

fn place(text: &str) -> Result<StorePlace, Failure> {
    let (text, from_file) = match text.strip_prefix('@') {
        Some(file) => {
            let held = std::fs::read_to_string(file).map_err(|e| Failure::Usage(format!("cannot read {file}: {e}")))?;
            (held, true)
        }
        None => (text.to_owned(), false),
    };
    let place: StorePlace = text.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
    if place.holds_a_secret() && !from_file {
        let reason = "everybody who lists processes sees a password on the command line; put the URL into a file, and name \
                      that as @FILE";
        return Err(Failure::Usage(reason.to_owned()));
    }
    Ok(place)
}
