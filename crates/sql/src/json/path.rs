//! JSON paths: `$.a.b`, `$['a b'][0]`, `$.items[*]`, `$..name`, `$[1:3]`, `$[?(@.price > 10)]`, `$.a.length()`.
//!
//! The dialect is that of Flink's library. `strict` or `lax` before a path says what happens where nothing is found; a path
//! without either is strict.

use super::filter::{self, Condition};

/// A path and its mode.
#[derive(Debug, Clone)]
pub(crate) struct ModalPath {
    pub(crate) lax: bool,
    pub(crate) path: Path,
}

/// Steps from the whole document, or from the element that a condition is about.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) from_element: bool,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Fields of an object; several of them at the end of a path give an object.
    Fields(Vec<String>),
    /// Elements of an array, counted from 0, or from the end by negative numbers.
    Indices(Vec<i64>),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
    },
    Wildcard,
    /// The next step at any depth.
    Descend,
    Filter(Condition),
    /// At the end of a path.
    Function {
        name: Function,
        arguments: Vec<Argument>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Minimum,
    Maximum,
    Average,
    Deviation,
    Sum,
    Length,
    Keys,
    Concatenate,
    Append,
    First,
    Last,
    Index,
}

#[derive(Debug, Clone)]
pub(crate) enum Argument {
    Value(super::Json),
    Path(Path),
}

const FUNCTIONS: &[(&str, Function)] = &[
    ("min", Function::Minimum),
    ("max", Function::Maximum),
    ("avg", Function::Average),
    ("stddev", Function::Deviation),
    ("sum", Function::Sum),
    ("length", Function::Length),
    ("size", Function::Length),
    ("keys", Function::Keys),
    ("concat", Function::Concatenate),
    ("append", Function::Append),
    ("first", Function::First),
    ("last", Function::Last),
    ("index", Function::Index),
];

/// Longer paths are refused, and so are conditions nested deeper.
const STEPS_MAX: usize = 1000;
pub(crate) const DEPTH_MAX: usize = 64;

impl ModalPath {
    pub(crate) fn compile(text: &str) -> Result<ModalPath, String> {
        let trimmed = text.trim_start();
        let mode = |word: &str| {
            let (first, rest) = (trimmed.get(..word.len())?, trimmed.get(word.len()..)?);
            let is_mode = first.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace);
            is_mode.then(|| rest.trim_start()).filter(|rest| !rest.is_empty())
        };
        let (lax, rest) = match (mode("strict"), mode("lax")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => (false, text),
        };
        Ok(ModalPath { lax, path: Path::compile(rest)? })
    }
}

impl Path {
    pub(crate) fn compile(text: &str) -> Result<Path, String> {
        let trimmed = text.trim();
        // What begins with neither is a field of the document.
        let whole = match trimmed.chars().next() {
            Some('$' | '@') => trimmed.to_string(),
            Some(_) => format!("$.{trimmed}"),
            None => return Err("the JSON path is empty".into()),
        };
        let mut reader = Reader { text: &whole, at: 0, depth: 0 };
        let path = reader.path()?;
        match reader.rest() {
            "" => Ok(path),
            _ => Err(reader.wrong("expected `.` or `[`")),
        }
    }

    /// Whether it leads to one value at most; others give an array of what they find.
    pub(crate) fn is_definite(&self) -> bool {
        let last = self.steps.len().saturating_sub(1);
        self.steps.iter().enumerate().all(|(at, step)| step.is_definite(at == last))
    }
}

impl Step {
    pub(crate) fn is_definite(&self, is_last: bool) -> bool {
        match self {
            Step::Fields(names) => names.len() == 1 || is_last,
            Step::Indices(indices) => indices.len() == 1,
            Step::Function { .. } => true,
            Step::Slice { .. } | Step::Wildcard | Step::Descend | Step::Filter(_) => false,
        }
    }
}

/// Walks over the text of a path; conditions are read by `filter`.
pub(crate) struct Reader<'p> {
    pub(crate) text: &'p str,
    pub(crate) at: usize,
    pub(crate) depth: usize,
}

impl Reader<'_> {
    pub(crate) fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    pub(crate) fn wrong(&self, reason: &str) -> String {
        format!(
            "the JSON path '{}' is wrong: {reason} at character {}",
            self.text,
            self.text[..self.at].chars().count() + 1
        )
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    pub(crate) fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        self.skip_blanks();
        if self.take(word) { Ok(()) } else { Err(self.wrong(&format!("expected `{word}`"))) }
    }

    /// From `$` or `@` to where no step follows.
    pub(crate) fn path(&mut self) -> Result<Path, String> {
        let from_element = self.take("@");
        if !from_element && !self.take("$") {
            return Err(self.wrong("expected `$` or `@`"));
        }
        let mut steps = Vec::new();
        loop {
            if self.take("..") {
                steps.push(Step::Descend);
                steps.push(if self.rest().starts_with('[') { self.bracket()? } else { self.name()? });
            } else if self.take(".") {
                steps.push(if self.rest().starts_with('[') { self.bracket()? } else { self.name()? });
            } else if self.rest().starts_with('[') {
                steps.push(self.bracket()?);
            } else {
                return Ok(Path { from_element, steps });
            }
            if steps.len() > STEPS_MAX {
                return Err(self.wrong("the path is too long"));
            }
            if matches!(steps.last(), Some(Step::Function { .. })) {
                return Ok(Path { from_element, steps });
            }
        }
    }

    /// `name`, `*` or `function(…)`.
    fn name(&mut self) -> Result<Step, String> {
        if self.take("*") {
            return Ok(Step::Wildcard);
        }
        let ends = |letter: char| {
            matches!(letter, '.' | '[' | '(') || (self.depth > 0 && " )=<>!&|~,]".contains(letter))
        };
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() {
            return Err(self.wrong("expected a name"));
        }
        if name.contains(char::is_whitespace) {
            return Err(self.wrong("a name with blanks stands in brackets: ['my name']"));
        }
        let name = name.to_string();
        self.at += end;
        if !self.rest().starts_with('(') {
            return Ok(Step::Fields(vec![name]));
        }
        let Some((_, function)) = FUNCTIONS.iter().find(|(own, _)| *own == name) else {
            return Err(self.wrong(&format!("there is no function {name}")));
        };
        self.at += 1;
        let arguments = self.arguments()?;
        Ok(Step::Function { name: *function, arguments })
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, String> {
        let mut arguments = Vec::new();
        self.skip_blanks();
        if self.take(")") {
            return Ok(arguments);
        }
        loop {
            self.skip_blanks();
            arguments.push(match self.rest().chars().next() {
                Some('$' | '@') => {
                    self.depth += 1;
                    let path = self.path();
                    self.depth -= 1;
                    Argument::Path(path?)
                }
                _ => Argument::Value(filter::literal(self)?),
            });
            self.skip_blanks();
            if self.take(")") {
                return Ok(arguments);
            }
            self.expect(",")?;
        }
    }

    fn bracket(&mut self) -> Result<Step, String> {
        self.at += 1;
        self.skip_blanks();
        let step = match self.rest().chars().next() {
            Some('*') => {
                self.at += 1;
                Step::Wildcard
            }
            Some('?') => {
                self.at += 1;
                self.expect("(")?;
                let condition = filter::condition(self)?;
                self.expect(")")?;
                Step::Filter(condition)
            }
            Some('\'' | '"') => {
                let mut names = vec![filter::quoted(self)?];
                self.skip_blanks();
                while self.take(",") {
                    self.skip_blanks();
                    names.push(filter::quoted(self)?);
                    self.skip_blanks();
                }
                Step::Fields(names)
            }
            _ => self.numbers()?,
        };
        self.expect("]")?;
        Ok(step)
    }

    fn number(&mut self) -> Result<Option<i64>, String> {
        self.skip_blanks();
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let count = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return if sign == 0 { Ok(None) } else { Err(self.wrong("expected a number")) };
        }
        let number =
            rest[..sign + count].parse::<i32>().map_err(|_| self.wrong("the number is too large"))?;
        self.at += sign + count;
        Ok(Some(number.into()))
    }

    /// `1`, `1, 2`, `1:3`, `:3`, `1:`.
    fn numbers(&mut self) -> Result<Step, String> {
        let first = self.number()?;
        self.skip_blanks();
        if self.take(":") {
            let to = self.number()?;
            if first.is_none() && to.is_none() {
                return Err(self.wrong("a slice has one bound at least"));
            }
            return Ok(Step::Slice { from: first, to });
        }
        let mut indices =
            vec![first.ok_or_else(|| self.wrong("expected a number, a name in quotes, `*` or `?`"))?];
        while self.take(",") {
            indices.push(self.number()?.ok_or_else(|| self.wrong("expected a number"))?);
            self.skip_blanks();
        }
        Ok(Step::Indices(indices))
    }
}
