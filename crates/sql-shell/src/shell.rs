//! Takes statements and commands from where they come, and does what they say.

use crate::command::{self, Command};
use crate::complete::{Name, complete};
use crate::editor::{Action, Editor};
use crate::history::History;
use crate::printer::{Form, Printer, Style};
use crate::session::{Failure, Interrupts, Session};
use crate::splitter::{Item, STATEMENT_BYTES_MAX, Splitter, first_word};
use crate::terminal::{Keys, next_key};
use crate::told::printable;
use crate::{catalog, terminal_text};
use os::Os;
use pg_client::Address;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The exit statuses, psql's.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const LOST: u8 = 2;
const SCRIPT_FAILED: u8 = 3;

/// Files that include one another.
const DEPTH_MAX: usize = 16;
/// Names that completion knows are asked for anew when they are older.
const NAMES_NS_MAX: u64 = 5_000_000_000;
/// Words that a second Tab lists.
const LISTED_MAX: usize = 200;

/// Where statements come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// An argument.
    Text(String),
    /// `-` is the standard input.
    File(PathBuf),
}

pub struct Options {
    pub address: Address,
    /// Without any, the standard input.
    pub sources: Vec<Source>,
    pub style: Style,
    /// Where to keep what is entered at a terminal.
    pub history: Option<PathBuf>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// Something was wrong, and has been told.
    Failed,
    Quit,
}

struct Shell {
    os: Os,
    session: Session,
    style: Style,
    has_timing: bool,
    out: Box<dyn Write>,
    splitter: Splitter,
    /// For \watch and \g.
    last: Option<String>,
    is_interactive: bool,
    depth: usize,
    names: Vec<Name>,
    names_ns: Option<u64>,
}

/// Runs all sources, or serves whoever sits at the terminal; answers the exit status. Interrupts come from the caller.
pub fn run(os: &Os, options: Options, interrupts: Interrupts) -> io::Result<u8> {
    let is_interactive = options.sources.is_empty() && io::stdin().is_terminal();
    let session = match Session::open(os, options.address, interrupts) {
        Ok(session) => session,
        Err(Failure::Output(error)) => return Err(error),
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(LOST);
        }
    };
    // Not earlier: Ctrl-C while it connects ends the process.
    if is_interactive {
        session.interrupts.set_interactive();
    }
    let mut shell = Shell {
        os: os.clone(),
        session,
        style: options.style,
        has_timing: false,
        out: standard_output(),
        splitter: Splitter::default(),
        last: None,
        is_interactive,
        depth: 0,
        names: Vec::new(),
        names_ns: None,
    };
    let done = if is_interactive {
        shell.serve(History::load(options.history)).map(|()| DONE)
    } else {
        shell.run_sources(options.sources)
    };
    let done = done.and_then(|status| shell.out.flush().map(|()| status).map_err(Failure::Output));
    match done {
        Ok(status) => Ok(status),
        Err(Failure::Output(error)) => Err(error),
        Err(error) => {
            eprintln!("error: {error}");
            Ok(LOST)
        }
    }
}

fn standard_output() -> Box<dyn Write> {
    Box::new(BufWriter::new(io::stdout()))
}

fn wrong(message: impl std::fmt::Display) -> Next {
    eprintln!("error: {message}");
    Next::Failed
}

impl Shell {
    fn run_sources(&mut self, sources: Vec<Source>) -> Result<u8, Failure> {
        let sources = if sources.is_empty() { vec![Source::File("-".into())] } else { sources };
        for source in sources {
            let (next, failed) = match &source {
                Source::Text(text) => (self.run_reader(text.as_bytes())?, FAILED),
                Source::File(path) if path.as_os_str() == "-" => {
                    (self.run_reader(io::stdin())?, SCRIPT_FAILED)
                }
                Source::File(path) => match File::open(path) {
                    Ok(file) => (self.run_reader(file)?, SCRIPT_FAILED),
                    Err(error) => (wrong(format!("file={}: {error}", path.display())), FAILED),
                },
            };
            match next {
                Next::GoOn => {}
                Next::Failed => return Ok(failed),
                Next::Quit => return Ok(DONE),
            }
        }
        Ok(DONE)
    }

    /// Up to the first error.
    fn run_reader(&mut self, reader: impl Read) -> Result<Next, Failure> {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            let read = (&mut reader).take(STATEMENT_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
            if read.map_err(Failure::Output)? == 0 {
                break;
            }
            let Ok(line) = String::from_utf8(line) else {
                return Ok(wrong("the text is not UTF-8: convert it first"));
            };
            let next = self.take_line(line.trim_end_matches(['\n', '\r']))?;
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        match self.splitter.take_unfinished() {
            Some(statement) => self.run_statement(&statement),
            None => Ok(Next::GoOn),
        }
    }

    /// Statements and commands that end with this line.
    fn take_line(&mut self, line: &str) -> Result<Next, Failure> {
        if !self.splitter.push_line(line) {
            return Ok(wrong(format!("a statement has at most {STATEMENT_BYTES_MAX} bytes: it is left out")));
        }
        while let Some(item) = self.splitter.next_item() {
            let next = match item {
                Item::Statement(statement) => self.run_statement(&statement)?,
                Item::Command(text) => match command::parse(&text) {
                    Ok(command) => self.obey(command)?,
                    Err(message) => wrong(message),
                },
            };
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        Ok(Next::GoOn)
    }

    fn run_statement(&mut self, statement: &str) -> Result<Next, Failure> {
        self.last = Some(statement.to_string());
        self.show(statement, None)
    }

    fn show(&mut self, statement: &str, title: Option<&str>) -> Result<Next, Failure> {
        let begun = self.os.clock.monotonic_ns();
        let is_live = is_live(statement);
        let mut printer = Printer::new(self.style, statement, is_live, &mut self.out);
        if let Some(title) = title {
            printer = printer.titled(title);
        }
        let ran = self.session.run(statement, is_live, &mut |event| printer.take(event));
        let has_failed = printer.has_failed;
        self.out.flush()?;
        match ran {
            Err(error @ Failure::Lost(_)) if self.is_interactive => {
                eprintln!("{error}");
                let address = self.session.address.clone();
                match self.session.reconnect(address) {
                    Ok(()) => eprintln!("connected anew; settings and transactions of before are gone"),
                    Err(error) => eprintln!("{error}; \\c tries again"),
                }
                return Ok(Next::Failed);
            }
            ran => ran?,
        }
        if self.has_timing {
            let taken_us = self.os.clock.monotonic_ns().saturating_sub(begun) / 1_000;
            writeln!(self.out, "Time: {}.{:03} ms", taken_us / 1_000, taken_us % 1_000)?;
            self.out.flush()?;
        }
        Ok(if has_failed { Next::Failed } else { Next::GoOn })
    }

    fn obey(&mut self, command: Command) -> Result<Next, Failure> {
        match command {
            Command::Quit => return Ok(Next::Quit),
            Command::Help => self.out.write_all(command::help().as_bytes())?,
            Command::Echo(text) => writeln!(self.out, "{text}")?,
            Command::Print => {
                let text = self.splitter.unfinished().or_else(|| self.last.clone()).unwrap_or_default();
                writeln!(self.out, "{text}")?;
            }
            Command::Reset => self.splitter.clear(),
            Command::Run => {
                return self.with_statement("\\g", |shell, statement| shell.run_statement(&statement));
            }
            Command::Watch { every, times } => {
                return self
                    .with_statement("\\watch", |shell, statement| shell.watch(&statement, every, times));
            }
            Command::Timing(given) => {
                self.has_timing = given.unwrap_or(!self.has_timing);
                self.say(&format!("Timing is {}.", on_or_off(self.has_timing)))?;
            }
            Command::Expanded(given) => {
                self.style.is_expanded = given.unwrap_or(!self.style.is_expanded);
                self.say(&format!("Expanded display is {}.", on_or_off(self.style.is_expanded)))?;
            }
            Command::Output(path) => {
                self.out.flush()?;
                self.out = match path {
                    None => standard_output(),
                    Some(path) => match File::create(&path) {
                        Ok(file) => Box::new(BufWriter::new(file)),
                        Err(error) => return Ok(wrong(format!("file={}: {error}", path.display()))),
                    },
                };
            }
            Command::Include(path) => return self.include(&path),
            Command::Connect { database, user } => {
                let mut address = self.session.address.clone();
                address.database = database.unwrap_or(address.database);
                address.user = user.unwrap_or(address.user);
                match self.session.reconnect(address) {
                    Ok(()) => {
                        let (database, user) = (&self.session.address.database, &self.session.address.user);
                        let words = format!("connected to {database} as {user}");
                        self.names_ns = None;
                        self.say(&words)?;
                    }
                    Err(Failure::Output(error)) => return Err(error.into()),
                    Err(error) => return Ok(wrong(error)),
                }
            }
            Command::List => return self.show(catalog::LIST, None),
            Command::Describe(name) => return self.describe(&name),
        }
        self.out.flush()?;
        Ok(Next::GoOn)
    }

    /// Says what a program that reads the results does not want to know.
    fn say(&mut self, words: &str) -> Result<(), Failure> {
        if self.style.form == Form::Table {
            writeln!(self.out, "{words}")?;
        }
        Ok(())
    }

    /// Does something with what was written since the last statement, or with the last one.
    fn with_statement(
        &mut self,
        command: &str,
        act: impl FnOnce(&mut Shell, String) -> Result<Next, Failure>,
    ) -> Result<Next, Failure> {
        match self.splitter.take_unfinished().or_else(|| self.last.clone()) {
            Some(statement) => act(self, statement),
            None => Ok(wrong(format!("{command} runs a statement, and there is none yet"))),
        }
    }

    fn watch(&mut self, statement: &str, every: Duration, times: Option<u64>) -> Result<Next, Failure> {
        let mut run = 0;
        loop {
            run += 1;
            self.say(&format!("run {run}, every {} s", every.as_secs_f64()))?;
            let next = self.run_statement(statement)?;
            // What only an interrupt ends does not begin anew after it.
            if next != Next::GoOn || times == Some(run) || is_live(statement) {
                return Ok(next);
            }
            if self.session.interrupts.was_asked() || self.session.interrupts.wait(every) {
                return Ok(Next::GoOn);
            }
        }
    }

    fn include(&mut self, path: &Path) -> Result<Next, Failure> {
        if self.depth >= DEPTH_MAX {
            return Ok(wrong(format!(
                "file={}: files include one another {DEPTH_MAX} deep at most",
                path.display()
            )));
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return Ok(wrong(format!("file={}: {error}", path.display()))),
        };
        // The file begins and ends with whole statements, whatever is unfinished around it.
        let around = std::mem::take(&mut self.splitter);
        self.depth += 1;
        let next = self.run_reader(file);
        self.depth -= 1;
        self.splitter = around;
        // Leaving a file is not leaving the shell.
        next.map(|next| if next == Next::Quit { Next::GoOn } else { next })
    }

    fn describe(&mut self, name: &str) -> Result<Next, Failure> {
        match catalog::relation(&mut self.session, name)? {
            Ok(Some(relation)) => {
                let is_table = self.style.form == Form::Table;
                let next = self.show(&relation.columns, is_table.then_some(relation.title.as_str()))?;
                if is_table {
                    if !relation.key.is_empty() {
                        let key = printable(&relation.key.join(", "));
                        writeln!(self.out, "Key: ({key})")?;
                    }
                    writeln!(self.out)?;
                    self.out.flush()?;
                }
                Ok(next)
            }
            Ok(None) => {
                let names = catalog::names(&mut self.session)?;
                let near = base::nearest(name, names.iter().map(|name| name.table.as_str()));
                let hint = near.map_or(String::new(), |near| format!("; did you mean {}?", printable(near)));
                Ok(wrong(format!("there is no view or topic {name}{hint} (\\d lists them)")))
            }
            Err(report) => {
                eprintln!("{}", crate::told::report(&report, ""));
                Ok(Next::Failed)
            }
        }
    }

    /// Until whoever sits there leaves.
    fn serve(&mut self, mut history: History) -> Result<(), Failure> {
        let address = &self.session.address;
        println!("connected to {}:{}; \\? lists the commands", address.host, address.port);
        let mut entered = String::new();
        loop {
            if self.splitter.unfinished().is_none() {
                entered.clear();
            }
            self.session.interrupts.clear();
            let mark = match self.session.status {
                b'T' => "*",
                b'E' => "!",
                _ => "",
            };
            let prompt = format!("{}{}{mark}> ", self.session.address.database, self.splitter.sign());
            match self.read_line(&prompt, &history.entries)? {
                Entered::Line(text) => {
                    if !entered.is_empty() {
                        entered.push('\n');
                    }
                    entered.push_str(&text);
                    for line in text.split('\n') {
                        if self.take_line(line)? == Next::Quit {
                            history.add(&entered);
                            return Ok(());
                        }
                    }
                    if self.splitter.unfinished().is_none() {
                        history.add(&entered);
                    }
                }
                Entered::Abandoned => self.splitter.clear(),
                Entered::End => return Ok(()),
            }
        }
    }

    fn read_line(&mut self, prompt: &str, history: &[String]) -> Result<Entered, Failure> {
        let Some(keys) = Keys::begin() else { return plain_line(prompt) };
        let mut editor = Editor::new(history);
        let mut input = io::stdin().lock();
        let mut screen = io::stdout();
        let mut was_completed = false;
        loop {
            let (line, cursor) = editor.shown(prompt, keys.columns);
            write!(screen, "\r{line}\x1b[K\r")?;
            if cursor > 0 {
                write!(screen, "\x1b[{cursor}C")?;
            }
            screen.flush()?;
            let Some(key) = next_key(&mut input)? else { return Ok(Entered::End) };
            let action = editor.press(key);
            let is_second = std::mem::replace(&mut was_completed, action == Action::Complete);
            match action {
                Action::Line(text) => {
                    write!(screen, "\r\n")?;
                    screen.flush()?;
                    return Ok(Entered::Line(text));
                }
                Action::Abandon => {
                    write!(screen, "^C\r\n")?;
                    screen.flush()?;
                    return Ok(Entered::Abandoned);
                }
                Action::Leave => {
                    write!(screen, "\r\n")?;
                    screen.flush()?;
                    return Ok(Entered::End);
                }
                Action::Show => {}
                Action::Clear => write!(screen, "\x1b[H\x1b[2J")?,
                Action::Complete => {
                    let listed = self.complete(&mut editor)?;
                    if is_second && listed.len() > 1 {
                        write!(screen, "\r\n{}", terminal_text::in_columns(&listed, keys.columns))?;
                    }
                }
            }
        }
    }

    /// Puts into the line what all words have in common that fit; the words if there are several.
    fn complete(&mut self, editor: &mut Editor<'_>) -> Result<Vec<String>, Failure> {
        self.refresh_names()?;
        let statement = format!("{} {}", self.splitter.unfinished().unwrap_or_default(), editor.text());
        let completion = complete(editor.before_cursor(), &statement, &self.names);
        let mut words = completion.words;
        // A name that the screen cannot show is none that a person means to type.
        words.retain(|word| printable(word) == *word);
        match words.as_slice() {
            [] => {}
            [word] => {
                let end = if word.ends_with('.') { "" } else { " " };
                editor.replace(completion.from, &format!("{word}{end}"));
            }
            [first, ..] => {
                let is_common = |length: &usize| words.iter().all(|word| word.starts_with(&first[..*length]));
                let ends = first.char_indices().map(|(at, c)| at + c.len_utf8());
                let common = ends.take_while(is_common).last().unwrap_or(0);
                let written = editor.before_cursor().len() - completion.from;
                if first[..common].chars().count() > written {
                    let common = first[..common].to_string();
                    editor.replace(completion.from, &common);
                }
            }
        }
        words.truncate(LISTED_MAX);
        Ok(words)
    }

    /// Asks for the names that there are, unless that would meddle with a transaction.
    fn refresh_names(&mut self) -> Result<(), Failure> {
        let now = self.os.clock.monotonic_ns();
        let is_fresh = self.names_ns.is_some_and(|then| now.saturating_sub(then) < NAMES_NS_MAX);
        if is_fresh || self.session.status != b'I' || self.session.is_broken() {
            return Ok(());
        }
        self.names_ns = Some(now);
        match catalog::names(&mut self.session) {
            Ok(names) => self.names = names,
            // The next statement says so.
            Err(Failure::Lost(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What came of a line at the terminal.
enum Entered {
    Line(String),
    Abandoned,
    End,
}

/// A line of a terminal that gives no single keys.
fn plain_line(prompt: &str) -> Result<Entered, Failure> {
    print!("{prompt}");
    io::stdout().flush()?;
    let mut line = Vec::new();
    let count = io::stdin().lock().take(STATEMENT_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    Ok(if count == 0 { Entered::End } else { Entered::Line(line.trim_end_matches(['\n', '\r']).to_string()) })
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// Whether it only ends when it is cancelled: `SUBSCRIBE …`, `COPY (SUBSCRIBE …) TO STDOUT`.
fn is_live(statement: &str) -> bool {
    if first_word(statement) == "SUBSCRIBE" {
        return true;
    }
    let rest = statement.trim_start().get(4..).unwrap_or_default().trim_start();
    first_word(statement) == "COPY"
        && rest.strip_prefix('(').is_some_and(|rest| first_word(rest) == "SUBSCRIBE")
}

#[cfg(test)]
mod tests {
    use super::is_live;

    #[test]
    fn subscriptions_only_end_when_they_are_cancelled() {
        for statement in
            ["SUBSCRIBE TO v", "subscribe v", " COPY (SUBSCRIBE TO v) TO STDOUT", "copy(subscribe v)"]
        {
            assert!(is_live(statement), "{statement}");
        }
        for statement in ["SELECT 1", "COPY (SELECT 1) TO STDOUT", "COPY", ""] {
            assert!(!is_live(statement), "{statement}");
        }
    }
}
