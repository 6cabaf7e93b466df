//! The binary: command line, configuration, wiring; no logic of its own.

mod analyze;
mod changes;
mod cli;
mod commands;
mod crash;
mod http_client;
mod job_view;
mod jobs;
mod materialized;
mod node;
mod output;
mod place;
mod progress;
mod remotes;
mod script;
mod signals;
mod summary;
mod takeover;

use clap::Parser;
use cli::{Cli, Verb};
use std::process::ExitCode;

fn main() -> ExitCode {
    os::allocator::set_up();
    let cli = Cli::parse();
    let result = match &cli.verb {
        Verb::Run(arguments) => commands::run::run(arguments),
        Verb::Start(arguments) => commands::start::start(arguments),
        Verb::Check(arguments) => commands::check::check(arguments),
        Verb::Explain(arguments) => commands::explain::explain(arguments),
        Verb::Connector(verb) => commands::connector::connector(verb),
        Verb::Topic(verb) => commands::topic::topic(verb),
        Verb::Group(verb) => commands::group::group(verb),
        Verb::Dlq(verb) => commands::dlq::dlq(verb),
        Verb::User(verb) => commands::user::user(verb),
        Verb::Job(verb) => commands::job::job(verb),
        Verb::Why(arguments) => commands::why::why(arguments),
        Verb::Trace(arguments) => commands::trace::trace(arguments),
        Verb::Debug(verb) => commands::debug::debug(verb),
        Verb::View(verb) => commands::view::view(verb),
        Verb::Savepoint(verb) => commands::savepoint::savepoint(verb),
        Verb::Export(verb) => commands::export::export(verb),
        Verb::Import(verb) => commands::import::import(verb),
        Verb::Doctor(arguments) => commands::doctor::doctor(arguments),
        Verb::Restore(arguments) => commands::restore::restore(arguments),
        Verb::Takeover(arguments) => commands::restore::takeover(arguments),
        Verb::Verify(arguments) => commands::verify::verify(arguments),
        // As psql's, its exit statuses tell more than whether it went well.
        Verb::Sql(arguments) => match commands::sql::sql(arguments) {
            Ok(status) => return ExitCode::from(status),
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that went away (`| head`) is no error to report.
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
