//! The commands that begin with a backslash.

use std::path::PathBuf;
use std::time::Duration;

/// For help and completion.
pub struct Described {
    pub name: &'static str,
    pub takes: &'static str,
    pub does: &'static str,
}

const fn described(name: &'static str, takes: &'static str, does: &'static str) -> Described {
    Described { name, takes, does }
}

pub const COMMANDS: &[Described] = &[
    described("?", "", "this list"),
    described("c", "[DATABASE [USER]]", "connect anew"),
    described("d", "[NAME]", "list views and topics, or describe one"),
    described("dt", "", "list views and topics"),
    described("echo", "[TEXT]", "write a text"),
    described("g", "", "run what was written, as a semicolon does"),
    described("i", "FILE", "run the statements of a file"),
    described("o", "[FILE]", "write results to a file, or to the terminal again"),
    described("p", "", "show what was written since the last statement"),
    described("q", "", "leave; so does Ctrl-D"),
    described("r", "", "forget what was written since the last statement"),
    described("timing", "[on|off]", "show how long each statement takes"),
    described("watch", "[SECONDS] [c=TIMES]", "run the statement again and again, until Ctrl-C"),
    described("x", "[on|off]", "a line for each column"),
];

/// Seconds between two runs of `\watch` unless told otherwise; psql's.
const WATCH_SECONDS: f64 = 2.0;
const WATCH_SECONDS_MAX: f64 = 86_400.0;

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Help,
    Connect { database: Option<String>, user: Option<String> },
    List,
    Describe(String),
    Echo(String),
    Run,
    Include(PathBuf),
    Output(Option<PathBuf>),
    Print,
    Quit,
    Reset,
    Timing(Option<bool>),
    Watch { every: Duration, times: Option<u64> },
    Expanded(Option<bool>),
}

fn switch(command: &str, words: &[&str]) -> Result<Option<bool>, String> {
    match words {
        [] => Ok(None),
        ["on"] => Ok(Some(true)),
        ["off"] => Ok(Some(false)),
        _ => Err(format!("\\{command} takes on or off")),
    }
}

/// `text` is without the backslash.
pub fn parse(text: &str) -> Result<Command, String> {
    // As in psql, a semicolon at the end belongs to nothing.
    let text = text.trim().trim_end_matches(';').trim_end();
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let file = || PathBuf::from(rest.trim_matches('\''));
    let none = |command: Command| match words.is_empty() {
        true => Ok(command),
        false => Err(format!("\\{name} takes nothing more")),
    };
    match name {
        "?" => none(Command::Help),
        "q" => none(Command::Quit),
        "g" => none(Command::Run),
        "p" => none(Command::Print),
        "r" => none(Command::Reset),
        "dt" => none(Command::List),
        "d" if rest.is_empty() => Ok(Command::List),
        "d" => Ok(Command::Describe(rest.into())),
        "echo" => Ok(Command::Echo(rest.into())),
        "c" if words.len() <= 2 => {
            let word = |at: usize| words.get(at).filter(|word| **word != "-").map(|word| (*word).to_string());
            Ok(Command::Connect { database: word(0), user: word(1) })
        }
        "c" => Err("\\c takes a database and a user".into()),
        "i" if rest.is_empty() => Err("\\i takes a file".into()),
        "i" => Ok(Command::Include(file())),
        "o" if rest.starts_with('|') => {
            Err("\\o writes to files; a program is given the results by the caller's own pipe".into())
        }
        "o" => Ok(Command::Output((!rest.is_empty()).then(file))),
        "timing" => Ok(Command::Timing(switch(name, &words)?)),
        "x" => Ok(Command::Expanded(switch(name, &words)?)),
        "watch" => {
            let (mut seconds, mut times) = (WATCH_SECONDS, None);
            for word in &words {
                let wrong = || format!("\\watch takes seconds and c=TIMES, and not '{word}'");
                match word.strip_prefix("c=") {
                    Some(count) => {
                        times = Some(count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?)
                    }
                    None => seconds = word.trim_start_matches("i=").parse().map_err(|_| wrong())?,
                }
            }
            if !(0.0..=WATCH_SECONDS_MAX).contains(&seconds) {
                return Err(format!("\\watch waits between 0 and {WATCH_SECONDS_MAX} seconds"));
            }
            Ok(Command::Watch { every: Duration::from_secs_f64(seconds), times })
        }
        _ => {
            let near = base::nearest(name, COMMANDS.iter().map(|command| command.name));
            let hint = near.map_or(String::new(), |near| format!("; did you mean \\{near}?"));
            Err(format!("there is no command \\{name}{hint} (\\? lists them)"))
        }
    }
}

pub fn help() -> String {
    let lines = COMMANDS.iter().map(|command| {
        let usage = format!("\\{} {}", command.name, command.takes);
        format!("  {usage:<28}{}\n", command.does)
    });
    let lines: String = lines.collect();
    format!(
        "Statements end with a semicolon. SUBSCRIBE TO a view shows its rows and then each change, until Ctrl-C.\n\
         Ctrl-C cancels a statement, Tab completes a word, Ctrl-R searches what was written before.\n\n{lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(parse("d"), Ok(Command::List));
        assert_eq!(parse("d sales;"), Ok(Command::Describe("sales".into())));
        assert_eq!(parse("x on"), Ok(Command::Expanded(Some(true))));
        assert_eq!(parse("i 'a b.sql'"), Ok(Command::Include("a b.sql".into())));
        assert_eq!(parse("o"), Ok(Command::Output(None)));
        assert_eq!(parse("c - me"), Ok(Command::Connect { database: None, user: Some("me".into()) }));
        let watch = |ms, times| Ok(Command::Watch { every: Duration::from_millis(ms), times });
        assert_eq!(parse("watch"), watch(2_000, None));
        assert_eq!(parse("watch 0.5 c=3"), watch(500, Some(3)));
        for wrong in ["x maybe", "watch -1", "watch nan", "watch c=0", "watch soon", "i", "q now", "o |less"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            parse("timin").unwrap_err(),
            "there is no command \\timin; did you mean \\timing? (\\? lists them)"
        );
        assert!(help().contains("\\watch [SECONDS] [c=TIMES]"));
    }
}
