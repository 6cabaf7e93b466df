//! Edits one line: keys in, what to show out. It knows no terminal.

use unicode_width::UnicodeWidthChar;

/// What can be typed at once, pasted text included.
pub const LINE_CHARACTERS_MAX: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Paste(String),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    KillToEnd,
    KillToStart,
    KillWord,
    Yank,
    Search,
    Clear,
    Interrupt,
    EndOfFile,
    Other,
}

/// What the caller has to do; the line is to be shown anew after all of them but the first three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The line is done.
    Line(String),
    /// The line is given up.
    Abandon,
    Leave,
    Show,
    Complete,
    Clear,
}

struct Search {
    wanted: String,
    /// The entry of the history that was found.
    found: Option<usize>,
}

pub struct Editor<'a> {
    history: &'a [String],
    line: Vec<char>,
    at: usize,
    /// Which entry of the history is shown; all of them are before the line of one's own.
    entry: usize,
    own: Vec<char>,
    killed: Vec<char>,
    search: Option<Search>,
}

impl<'a> Editor<'a> {
    pub fn new(history: &'a [String]) -> Editor<'a> {
        Editor {
            history,
            line: Vec::new(),
            at: 0,
            entry: history.len(),
            own: Vec::new(),
            killed: Vec::new(),
            search: None,
        }
    }

    pub fn before_cursor(&self) -> &[char] {
        &self.line[..self.at]
    }

    pub fn text(&self) -> String {
        self.line.iter().collect()
    }

    pub fn press(&mut self, key: Key) -> Action {
        let key = match self.searched(key) {
            Some(key) => key,
            None => return Action::Show,
        };
        match key {
            Key::Enter => return Action::Line(self.text()),
            Key::Interrupt => return Action::Abandon,
            Key::EndOfFile if self.line.is_empty() => return Action::Leave,
            Key::Tab => return Action::Complete,
            Key::Clear => return Action::Clear,
            Key::Char(character) => self.insert(&[character]),
            Key::Paste(text) => {
                let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
                self.insert(&text.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<Vec<_>>());
            }
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.line.remove(self.at);
            }
            Key::Delete | Key::EndOfFile if self.at < self.line.len() => {
                self.line.remove(self.at);
            }
            Key::Left => self.at = self.at.saturating_sub(1),
            Key::Right => self.at = (self.at + 1).min(self.line.len()),
            Key::WordLeft => self.at = self.word_left(),
            Key::WordRight => self.at = self.word_right(),
            Key::Home => self.at = 0,
            Key::End => self.at = self.line.len(),
            Key::Up => self.show_entry(self.entry.checked_sub(1)),
            Key::Down => self.show_entry(Some(self.entry + 1)),
            Key::KillToEnd => self.killed = self.line.split_off(self.at),
            Key::KillToStart => self.kill(0),
            Key::KillWord => self.kill(self.word_left()),
            Key::Yank => self.insert(&self.killed.clone()),
            Key::Search => self.search = Some(Search { wanted: String::new(), found: None }),
            Key::Backspace | Key::Delete | Key::EndOfFile | Key::Other => {}
        }
        Action::Show
    }

    /// Puts a word in the place of what stands between `from` and the cursor.
    pub fn replace(&mut self, from: usize, word: &str) {
        let from = from.min(self.at);
        self.line.drain(from..self.at);
        self.at = from;
        self.insert(&word.chars().collect::<Vec<_>>());
    }

    fn insert(&mut self, characters: &[char]) {
        let room = LINE_CHARACTERS_MAX.saturating_sub(self.line.len());
        let characters = &characters[..characters.len().min(room)];
        self.line.splice(self.at..self.at, characters.iter().copied());
        self.at += characters.len();
    }

    fn kill(&mut self, from: usize) {
        self.killed = self.line.drain(from..self.at).collect();
        self.at = from;
    }

    fn word_left(&self) -> usize {
        let mut at = self.at;
        while at > 0 && !self.line[at - 1].is_alphanumeric() {
            at -= 1;
        }
        while at > 0 && self.line[at - 1].is_alphanumeric() {
            at -= 1;
        }
        at
    }

    fn word_right(&self) -> usize {
        let mut at = self.at;
        while at < self.line.len() && !self.line[at].is_alphanumeric() {
            at += 1;
        }
        while at < self.line.len() && self.line[at].is_alphanumeric() {
            at += 1;
        }
        at
    }

    fn show_entry(&mut self, entry: Option<usize>) {
        let Some(entry) = entry.filter(|entry| *entry <= self.history.len()) else { return };
        if self.entry == self.history.len() {
            self.own = std::mem::take(&mut self.line);
        }
        self.line = match self.history.get(entry) {
            Some(text) => text.chars().collect(),
            None => std::mem::take(&mut self.own),
        };
        self.entry = entry;
        self.at = self.line.len();
    }

    /// What a search does with a key; a key that it does not know ends it with what was found.
    fn searched(&mut self, key: Key) -> Option<Key> {
        let Some(search) = &mut self.search else { return Some(key) };
        let before = match &key {
            Key::Char(character) => {
                search.wanted.push(*character);
                search.found.map_or(self.history.len(), |found| found + 1)
            }
            Key::Backspace => {
                search.wanted.pop();
                self.history.len()
            }
            Key::Search => search.found.unwrap_or(self.history.len()),
            Key::Interrupt => {
                self.search = None;
                return None;
            }
            _ => {
                let found = search.found;
                self.search = None;
                if found.is_some() {
                    self.show_entry(found);
                }
                return Some(key);
            }
        };
        let fits = self.history[..before].iter().rposition(|entry| entry.contains(&search.wanted));
        if fits.is_some() {
            search.found = fits;
        }
        None
    }

    /// What stands in the terminal's line, and in which of its columns the cursor is.
    pub fn shown(&self, prompt: &str, columns: usize) -> (String, usize) {
        let sign = |c: &char| if *c == '\n' { '↵' } else { *c };
        let (prompt, line, at): (String, Vec<char>, usize) = match &self.search {
            None => (prompt.to_string(), self.line.iter().map(sign).collect(), self.at),
            Some(search) => {
                let found = search.found.map_or("", |found| self.history[found].as_str());
                let line: Vec<char> = found.chars().map(|c| sign(&c)).collect();
                (format!("(search '{}'): ", search.wanted), line, 0)
            }
        };
        let width = |characters: &[char]| characters.iter().map(|c| c.width().unwrap_or(0)).sum::<usize>();
        let head = prompt.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
        // The last column stays free: a character there would move some terminals to the next line.
        let room = columns.saturating_sub(head + 1).max(8);
        let (mut from, mut cursor) = (0, width(&line[..at]));
        while cursor > room {
            cursor -= line[from].width().unwrap_or(0);
            from += 1;
        }
        let (mut to, mut wide) = (from, 0);
        while to < line.len() && wide + line[to].width().unwrap_or(0) <= room {
            wide += line[to].width().unwrap_or(0);
            to += 1;
        }
        (format!("{prompt}{}", line[from..to].iter().collect::<String>()), head + cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(editor: &mut Editor<'_>, text: &str) {
        for character in text.chars() {
            assert_eq!(editor.press(Key::Char(character)), Action::Show);
        }
    }

    #[test]
    fn keys_change_the_line() {
        let mut editor = Editor::new(&[]);
        typed(&mut editor, "SELECT tow");
        editor.press(Key::KillWord);
        typed(&mut editor, "1");
        editor.press(Key::WordLeft);
        editor.press(Key::Left);
        editor.press(Key::KillToStart);
        editor.press(Key::End);
        editor.press(Key::Yank);
        assert_eq!(editor.text(), " 1SELECT");
        editor.press(Key::Home);
        editor.press(Key::EndOfFile);
        editor.press(Key::Delete);
        assert_eq!(editor.text(), "SELECT");
        editor.press(Key::Paste("a\r\nb\u{1b}\t".into()));
        assert_eq!(editor.press(Key::Enter), Action::Line("a\nb    SELECT".into()));
        assert_eq!(Editor::new(&[]).press(Key::EndOfFile), Action::Leave);
        assert_eq!(Editor::new(&[]).press(Key::Backspace), Action::Show);
        assert_eq!(Editor::new(&[]).press(Key::Interrupt), Action::Abandon);
    }

    #[test]
    fn the_history_is_walked_and_searched() {
        let history = ["SELECT 1", "SHOW all", "SELECT 2"].map(String::from);
        let mut editor = Editor::new(&history);
        typed(&mut editor, "mine");
        editor.press(Key::Up);
        editor.press(Key::Up);
        assert_eq!(editor.text(), "SHOW all");
        (0..5).for_each(|_| drop(editor.press(Key::Up)));
        assert_eq!(editor.text(), "SELECT 1");
        (0..5).for_each(|_| drop(editor.press(Key::Down)));
        assert_eq!(editor.text(), "mine");
        editor.press(Key::Search);
        typed(&mut editor, "SEL");
        assert_eq!(editor.shown("> ", 80).0, "(search 'SEL'): SELECT 2");
        editor.press(Key::Search);
        assert_eq!(editor.press(Key::Enter), Action::Line("SELECT 1".into()));
    }

    #[test]
    fn a_long_line_scrolls() {
        let mut editor = Editor::new(&[]);
        typed(&mut editor, "0123456789東京abcdefgh");
        let (shown, cursor) = editor.shown("> ", 16);
        assert_eq!((shown.as_str(), cursor), ("> 9東京abcdefgh", 15));
        editor.press(Key::Home);
        assert_eq!(editor.shown("> ", 16), ("> 0123456789東".into(), 2));
        editor.replace(5, "x");
        assert_eq!(editor.text().chars().next(), Some('x'));
    }
}
