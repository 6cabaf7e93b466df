//! Users.

use super::topics::ClientArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum UserVerb {
    /// Add a user, or give it another password
    #[command(after_help = "Examples:
  eventwright user add admin --admin --data ./data --password-file admin.password
  pass show alice | eventwright user add alice -b node:9092 --command-config admin.properties

The password is the file's, the environment's or standard input's first line, never an argument. What is kept of it
(SCRAM-SHA-256 and SCRAM-SHA-512, salted) lets nobody log in.")]
    Add {
        /// The user's name
        user: String,
        /// Allow the user everything, by access rules
        #[arg(long)]
        admin: bool,
        /// Read the password from this file
        #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
        password_file: Option<PathBuf>,
        /// Read the password from this variable of the environment
        #[arg(long, value_name = "NAME")]
        password_env: Option<String>,
        #[command(flatten)]
        place: UserPlace,
    },
    /// List the users and how they may log in
    #[command(after_help = "Example: eventwright user list --data ./data -o json")]
    List {
        #[command(flatten)]
        place: UserPlace,
    },
    /// Remove a user, and the access rules that name it
    #[command(
        after_help = "Example: eventwright user remove alice -b node:9092 --command-config admin.properties"
    )]
    Remove {
        /// The user's name
        user: String,
        #[command(flatten)]
        place: UserPlace,
    },
}

/// Where the users are: in a running node, or in a data directory that no node serves.
#[derive(Args)]
pub struct UserPlace {
    /// A data directory that no node serves; without it, the node at --bootstrap is asked
    #[arg(long, value_name = "DIR", conflicts_with_all = ["bootstrap", "command_config"])]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub client: ClientArguments,
}
