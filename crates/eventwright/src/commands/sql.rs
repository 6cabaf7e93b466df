//! `sql`: statements to a node's PostgreSQL port, or to a data directory that is opened for them.

use crate::cli::{NodeArguments, SqlArguments, SqlForm};
use crate::node::{self, Addresses, Node};
use crate::signals;
use anyhow::{Context, bail};
use os::Os;
use sql_shell::{Address, Form, Interrupts, OptionNames, Options, Source, Style};
use std::path::{Path, PathBuf};

const OPTION_NAMES: OptionNames =
    OptionNames { password: "PGPASSWORD or --password-file", tls: "--tls is given" };

/// The exit status.
pub fn sql(arguments: &SqlArguments) -> anyhow::Result<u8> {
    let interrupts = Interrupts::default();
    let told = interrupts.clone();
    // An interrupt that nothing takes ends the process, as it would without us.
    signals::on_interrupt(move || {
        if !told.interrupt() {
            std::process::exit(130);
        }
    })?;
    let opened = match &arguments.data {
        Some(data) => Some(open(data)?),
        None => None,
    };
    let server = match &opened {
        Some((_, address)) => address.clone(),
        None => arguments.server.clone(),
    };
    let options = Options {
        address: address(arguments, &server)?,
        sources: sources(arguments),
        style: Style {
            form: match arguments.output {
                SqlForm::Table => Form::Table,
                SqlForm::Csv => Form::Csv,
                SqlForm::Json => Form::Json,
            },
            is_expanded: arguments.expanded,
        },
        history: history(),
    };
    let done = sql_shell::run(&Os::real().with_any_destination(), options, interrupts);
    if let Some((node, _)) = opened {
        node.shutdown();
    }
    Ok(done?)
}

/// A node of its own on a data directory, and where it answers.
fn open(data: &Path) -> anyhow::Result<(Node, String)> {
    if !data.join("log").is_dir() {
        bail!(
            "{} is no data directory: it has no log; `eventwright start --data DIR` makes one",
            data.display()
        );
    }
    let arguments = NodeArguments::of_own("none");
    // Our own node would write its addresses in the place of these.
    let running = Addresses::read(data);
    let opened = Node::open(&node::os(&arguments), data, &arguments);
    let opened = opened.with_context(|| match running.and_then(|addresses| addresses.pg) {
        Some(address) => format!("a node may hold this data directory: ask it with --server {address}"),
        None => "cannot open the data directory".into(),
    })?;
    let address = opened.pg_address().context("the node serves no PostgreSQL port")?.to_string();
    Ok((opened, address))
}

fn address(arguments: &SqlArguments, server: &str) -> anyhow::Result<Address> {
    let form =
        || format!("--server '{server}' is not an address: write HOST:PORT, for example 127.0.0.1:5432");
    let (host, port) = server.rsplit_once(':').with_context(form)?;
    let port = port.parse().with_context(form)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let user = arguments.user.clone().or_else(|| variable("PGUSER")).or_else(|| variable("USER"));
    let password = match &arguments.password_file {
        Some(path) => Some(format!("${{file:{}}}", path.display())),
        None => variable("PGPASSWORD").map(|_| "${env:PGPASSWORD}".to_string()),
    };
    let user = user.unwrap_or_else(|| "eventwright".into());
    if [host, &user, &arguments.database].iter().any(|text| text.is_empty() || text.contains('\0')) {
        bail!("--server, --user and --database must not be empty");
    }
    let is_secured = arguments.tls || arguments.ca_file.is_some();
    Ok(Address {
        host: host.into(),
        port,
        database: arguments.database.clone(),
        user,
        password,
        // An empty path: the authorities that the system trusts.
        authorities: is_secured.then(|| arguments.ca_file.clone().unwrap_or_default()),
        options: OPTION_NAMES,
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn sources(arguments: &SqlArguments) -> Vec<Source> {
    let commands = arguments.commands.iter().cloned().map(Source::Text);
    commands.chain(arguments.files.iter().cloned().map(Source::File)).collect()
}

fn history() -> Option<PathBuf> {
    let own = variable("EVENTWRIGHT_HISTORY").map(PathBuf::from);
    own.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".eventwright_history")))
}
