//! A table of a Kafka message: its text form, and what the generator makes of it.
//!
//! The first line is `request|response|data NAME [key N] versions A..B flexible C..|none`; each further line
//! is a field: `NAME TYPE VERSIONS` and then, in this order and only where they apply, `nullable VERSIONS`,
//! `tag N`, `= DEFAULT` and `ignorable`. `*` means all versions of the message. `[T]` is an array; `?` after
//! a type means that it may be null in every version. The fields of a struct are indented below the first
//! field that has its type, or below `struct NAME` at the end of the file.

use anyhow::{Context, bail, ensure};

/// First and last version, both included; an open end is `i16::MAX`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

pub struct Table {
    /// `request`, `response` or `data`.
    pub kind: String,
    pub name: String,
    pub key: i16,
    pub versions: Versions,
    pub flexible_from: Option<i16>,
    pub fields: Vec<Field>,
    /// In the order in which they appear.
    pub structs: Vec<(String, Vec<Field>)>,
}

pub struct Field {
    pub name: String,
    pub type_name: String,
    pub array: bool,
    pub versions: Versions,
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    pub default: Option<String>,
    pub ignorable: bool,
}

impl Table {
    pub fn type_name(&self) -> String {
        match self.kind.as_str() {
            "request" => format!("{}Request", self.name),
            "response" => format!("{}Response", self.name),
            _ => self.name.clone(),
        }
    }
}

pub fn parse(text: &str) -> anyhow::Result<Table> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let words: Vec<&str> = lines.next().context("the table is empty")?.split(' ').collect();
    let (kind, name, key, versions, flexible) = match words[..] {
        [kind, name, "key", key, "versions", versions, "flexible", flexible] => {
            (kind, name, key.parse()?, versions, flexible)
        }
        ["data", name, "versions", versions, "flexible", flexible] => ("data", name, -1, versions, flexible),
        _ => bail!("the first line is not understood"),
    };
    let all = Versions { first: 0, last: i16::MAX };
    let versions = parse_versions(versions, all)?;
    let flexible_from = match flexible {
        "none" => None,
        range => Some(parse_versions(range, versions)?.first),
    };
    let mut table = Table {
        kind: kind.to_owned(),
        name: name.to_owned(),
        key,
        versions,
        flexible_from,
        fields: vec![],
        structs: vec![],
    };
    // The struct that owns the fields of each indentation; none for the message itself.
    let mut owners: Vec<Option<usize>> = vec![None];
    for line in lines {
        if let Some(name) = line.strip_prefix("struct ") {
            owners = vec![Some(table.structs.len())];
            table.structs.push((name.to_owned(), vec![]));
            continue;
        }
        let spaces = line.len() - line.trim_start().len();
        let common = usize::from(owners[0].is_some());
        let depth = (spaces / 2).checked_sub(common).filter(|depth| *depth < owners.len());
        let depth = depth.with_context(|| format!("indented too far or too little: {line}"))?;
        owners.truncate(depth + 1);
        let field = parse_field(line.trim(), versions).with_context(|| line.to_owned())?;
        let is_struct = field.type_name.starts_with(char::is_uppercase);
        let known = table.structs.iter().any(|(name, _)| *name == field.type_name);
        let type_name = field.type_name.clone();
        match owners[depth] {
            None => table.fields.push(field),
            Some(index) => table.structs[index].1.push(field),
        }
        if is_struct && !known {
            owners.push(Some(table.structs.len()));
            table.structs.push((type_name, vec![]));
        }
    }
    // A struct declared at the end was met before, as the type of a field without fields below it.
    table.structs.sort_by_key(|(_, fields)| fields.is_empty());
    let mut kept: Vec<(String, Vec<Field>)> = vec![];
    for (name, fields) in table.structs {
        let twice = kept.iter().any(|(earlier, _)| *earlier == name);
        ensure!(!twice || fields.is_empty(), "struct {name} is declared twice");
        ensure!(twice || !fields.is_empty(), "struct {name} has no fields");
        if !twice {
            kept.push((name, fields));
        }
    }
    table.structs = kept;
    Ok(table)
}

fn parse_versions(text: &str, whole: Versions) -> anyhow::Result<Versions> {
    if text == "*" {
        return Ok(whole);
    }
    let (first, last) = text.split_once("..").with_context(|| format!("not versions: {text}"))?;
    Ok(Versions {
        first: if first.is_empty() { whole.first } else { first.parse()? },
        last: if last.is_empty() { whole.last } else { last.parse()? },
    })
}

fn parse_field(line: &str, whole: Versions) -> anyhow::Result<Field> {
    let mut words = line.split(' ');
    let name = words.next().context("no name")?.to_owned();
    let type_word = words.next().context("no type")?;
    let versions = parse_versions(words.next().context("no versions")?, whole)?;
    let (type_word, always_nullable) = match type_word.strip_suffix('?') {
        Some(inner) => (inner, true),
        None => (type_word, false),
    };
    let element = type_word.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let mut field = Field {
        name,
        type_name: element.unwrap_or(type_word).to_owned(),
        array: element.is_some(),
        versions,
        nullable: always_nullable.then_some(versions),
        tag: None,
        default: None,
        ignorable: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("nothing after {word}"));
        match word {
            "nullable" => field.nullable = Some(parse_versions(value()?, whole)?),
            "tag" => field.tag = Some(value()?.parse()?),
            "=" => field.default = Some(value()?.to_owned()),
            "ignorable" => field.ignorable = true,
            other => bail!("not understood: {other}"),
        }
    }
    Ok(field)
}
