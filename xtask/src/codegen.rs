//! Writes the Kafka messages of `kafka-wire` from its tables, one Rust module for each message.
//!
//! [`table`] says what a table looks like. The generated files are committed, so that building the workspace
//! needs no generator, and a reader or a debugger finds plain code. A test regenerates them and compares.

mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::places;
use table::{Field, Table, Versions, parse};

/// Regenerates the messages in place.
pub fn run() -> anyhow::Result<()> {
    let wire = wire_crate();
    let target = wire.join("src/messages");
    let names = write_all(&wire, &target)?;
    for entry in std::fs::read_dir(&target)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !names.iter().any(|name| name == stem) {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    println!("{} files written to {}", names.len(), target.display());
    Ok(())
}

fn wire_crate() -> PathBuf {
    places::root().join("crates/kafka-wire")
}

/// Generates every file into `target`, formats them, and returns their names without the ending.
fn write_all(wire: &Path, target: &Path) -> anyhow::Result<Vec<String>> {
    let mut tables: Vec<PathBuf> = std::fs::read_dir(wire.join("tables"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    tables.sort();
    std::fs::create_dir_all(target)?;
    let mut messages = BTreeMap::new();
    for path in tables {
        let text = std::fs::read_to_string(&path)?;
        let table = parse(&text).with_context(|| path.display().to_string())?;
        messages.insert(snake(&table.type_name()), table);
    }
    let mut files =
        vec![("mod".to_owned(), module_file(&messages)), ("api_key".to_owned(), api_key_file(&messages)?)];
    for (name, table) in &messages {
        files.push((name.clone(), message_file(table)?));
    }
    for (name, text) in &files {
        let path = target.join(name).with_extension("rs");
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(wire.join("../../rustfmt.toml"))
        .arg(target.join("mod.rs"))
        .status()
        .context("starting rustfmt: install it with `rustup component add rustfmt`")?;
    ensure!(status.success(), "rustfmt rejects the generated code");
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

/// `TopicId` to `topic_id`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_small {
            text.push('_');
        }
        after_small = !letter.is_uppercase();
        text.extend(letter.to_lowercase());
    }
    text
}

impl Field {
    fn rust_name(&self) -> String {
        match snake(&self.name).as_str() {
            word @ ("type" | "match" | "move" | "ref" | "self") => format!("r#{word}"),
            word => word.to_owned(),
        }
    }

    fn element_type(&self) -> &str {
        match self.type_name.as_str() {
            "int8" => "i8",
            "int16" => "i16",
            "int32" => "i32",
            "int64" => "i64",
            "uint16" => "u16",
            "uint32" => "u32",
            "float64" => "f64",
            "bool" => "bool",
            "string" => "String",
            "bytes" | "records" => "Bytes",
            "uuid" => "[u8; 16]",
            name => name,
        }
    }

    fn rust_type(&self) -> String {
        let element = self.element_type();
        let whole = if self.array { format!("Vec<{element}>") } else { element.to_owned() };
        if self.nullable.is_some() { format!("Option<{whole}>") } else { whole }
    }

    fn is_struct(&self) -> bool {
        !self.array && self.type_name.starts_with(char::is_uppercase)
    }

    fn is_null_by_default(&self) -> bool {
        // Records have no empty value of their own, so null is their default.
        self.default.as_deref() == Some("null") || (self.type_name == "records" && self.nullable.is_some())
    }

    /// The default as an expression; none if it is what `Default` gives anyway.
    fn default_expression(&self) -> Option<String> {
        if self.nullable.is_some() {
            return (!self.is_null_by_default()).then(|| "Some(Default::default())".to_owned());
        }
        self.default.clone()
    }

    /// Whether the value differs from the default, as an expression.
    fn differs(&self) -> String {
        let value = format!("self.{}", self.rust_name());
        if self.nullable.is_some() {
            return match self.is_null_by_default() {
                true => format!("{value}.is_some()"),
                // Null and empty both say that there is nothing to lose.
                false => format!("{value}.as_ref().is_some_and(|value| !value.is_empty())"),
            };
        }
        match (self.type_name.as_str(), &self.default) {
            _ if self.array => format!("!{value}.is_empty()"),
            ("string" | "bytes" | "records", None) => format!("!{value}.is_empty()"),
            ("bool", None) => value,
            ("bool", Some(_)) => format!("!{value}"),
            ("uuid", _) => format!("{value} != [0; 16]"),
            ("float64", None) => format!("{value} != 0.0"),
            (_, Some(default)) => format!("{value} != {default}"),
            (name, None) if self.is_struct() => format!("{value} != {name}::default()"),
            (_, None) => format!("{value} != 0"),
        }
    }

    /// How the bytes become the field's value, as an expression.
    fn read(&self, table: &Table) -> String {
        let name = self.type_name.as_str();
        let element = match name {
            "string" => "|reader| reader.string(flexible)".to_owned(),
            "bytes" | "records" => "|reader| reader.bytes(flexible)".to_owned(),
            _ if name.starts_with(char::is_uppercase) => format!("|reader| {name}::decode(reader, version)"),
            _ => format!("Reader::{}", primitive(name)),
        };
        let nullable = if self.nullable.is_some() { "nullable_" } else { "" };
        if self.array {
            let bytes_min = element_bytes_min(self, table);
            return format!("reader.{nullable}array(flexible, {bytes_min}, {element})?");
        }
        match name {
            "string" => format!("reader.{nullable}string(flexible)?"),
            "bytes" | "records" => format!("reader.{nullable}bytes(flexible)?"),
            _ if self.is_struct() && self.nullable.is_some() => format!("reader.nullable_struct({element})?"),
            _ if self.is_struct() => format!("{name}::decode(reader, version)?"),
            _ => format!("reader.{}()?", primitive(name)),
        }
    }

    /// How the value becomes bytes, as a statement.
    fn write(&self) -> String {
        let name = self.type_name.as_str();
        let value = format!("self.{}", self.rust_name());
        let nullable = self.nullable.is_some();
        if self.array {
            let element = match name {
                "string" => "|writer, value| writer.string(value, flexible)".to_owned(),
                "bytes" | "records" => "|writer, value| writer.bytes(value, flexible)".to_owned(),
                "uuid" => "|writer, value| { writer.uuid(value); Ok(()) }".to_owned(),
                _ if name.starts_with(char::is_uppercase) => {
                    "|writer, value| value.encode(writer, version)".to_owned()
                }
                _ => format!("|writer, value| {{ writer.{}(*value); Ok(()) }}", primitive(name)),
            };
            return match nullable {
                true => format!("writer.nullable_array({value}.as_deref(), flexible, {element})?;"),
                false => format!("writer.array(&{value}, flexible, {element})?;"),
            };
        }
        match (name, nullable) {
            ("string", true) => format!("writer.nullable_string({value}.as_deref(), flexible)?;"),
            ("string", false) => format!("writer.string(&{value}, flexible)?;"),
            ("bytes" | "records", true) => format!("writer.nullable_bytes({value}.as_ref(), flexible)?;"),
            ("bytes" | "records", false) => format!("writer.bytes(&{value}, flexible)?;"),
            ("uuid", _) => format!("writer.uuid(&{value});"),
            // The server may still put another number there when the message is written.
            ("int32", false) if self.name == "ThrottleTimeMs" => format!("writer.throttle_time_ms({value});"),
            (_, true) if self.is_struct() => format!(
                "writer.nullable_struct({value}.as_ref(), |writer, value| value.encode(writer, version))?;"
            ),
            (_, false) if self.is_struct() => format!("{value}.encode(writer, version)?;"),
            _ => format!("writer.{}({value});", primitive(name)),
        }
    }
}

fn primitive(name: &str) -> String {
    match name {
        "bool" | "uuid" => name.to_owned(),
        "float64" => "f64".to_owned(),
        _ => name.replace("uint", "u").replace("int", "i"),
    }
}

/// The fewest bytes that an element of the array takes in any version.
fn element_bytes_min(field: &Field, table: &Table) -> usize {
    match field.type_name.as_str() {
        "int8" | "bool" => 1,
        "int16" | "uint16" => 2,
        "int32" | "uint32" => 4,
        "int64" | "float64" => 8,
        "uuid" => 16,
        // A compact length is one byte; the longer forms need not be told apart.
        "string" | "bytes" | "records" => 1,
        name => {
            let fields = table.structs.iter().find(|(other, _)| other == name).map(|(_, fields)| fields);
            let always = fields.into_iter().flatten();
            let always = always.filter(|field| field.tag.is_none() && field.versions == table.versions);
            always
                .map(|field| {
                    if field.array || field.nullable.is_some() { 1 } else { element_bytes_min(field, table) }
                })
                .sum::<usize>()
                .max(1)
        }
    }
}

/// The condition under which `version` lies in `inner`, if it does not always.
fn condition(inner: Versions, whole: Versions) -> Option<String> {
    match (inner.first > whole.first, inner.last < whole.last) {
        (false, false) => None,
        (true, false) => Some(format!("version >= {}", inner.first)),
        (false, true) => Some(format!("version <= {}", inner.last)),
        (true, true) if inner.first == inner.last => Some(format!("version == {}", inner.first)),
        (true, true) => Some(format!("({}..={}).contains(&version)", inner.first, inner.last)),
    }
}

/// The opposite of a condition.
fn negated(condition: &str) -> String {
    match (condition.strip_prefix("version >= "), condition.strip_prefix("version <= ")) {
        (Some(first), _) => format!("version < {first}"),
        (_, Some(last)) => format!("version > {last}"),
        _ => match condition.strip_prefix("version == ") {
            Some(only) => format!("version != {only}"),
            None => format!("!{condition}"),
        },
    }
}

fn flexible_line(table: &Table, body: &str) -> String {
    if !body.contains("flexible") {
        return String::new();
    }
    match table.flexible_from {
        None => "let flexible = false;\n".to_owned(),
        Some(first) if first <= table.versions.first => "let flexible = true;\n".to_owned(),
        Some(first) => format!("let flexible = version >= {first};\n"),
    }
}

fn message_file(table: &Table) -> anyhow::Result<String> {
    let top = table.type_name();
    let mut text = format!("//! `{top}`, generated by `cargo xtask codegen`; change the table instead.\n\n");
    let all_fields = || table.fields.iter().chain(table.structs.iter().flat_map(|(_, fields)| fields));
    if all_fields().any(|field| field.element_type() == "Bytes") {
        text.push_str("use bytes::Bytes;\n\n");
    }
    let mut imports = vec!["DecodeError", "EncodeError", "Message", "Reader", "Writer"];
    if table.kind == "request" {
        imports.push("Request");
    }
    if all_fields().any(|field| field.tag.is_some()) {
        imports.push("TaggedFields");
    }
    imports.sort_unstable();
    writeln!(text, "use crate::{{{}}};\n", imports.join(", "))?;
    struct_definition(&mut text, &top, &table.fields)?;
    let flexible_from = table.flexible_from.map_or("i16::MAX".to_owned(), |first| first.to_string());
    let Versions { first, last } = table.versions;
    let key = table.key;
    writeln!(
        text,
        "impl Message for {top} {{
            const API_KEY: i16 = {key};
            const NAME: &'static str = \"{top}\";
            const VERSIONS: std::ops::RangeInclusive<i16> = {first}..={last};
            const FLEXIBLE_FROM: i16 = {flexible_from};
        "
    )?;
    let check = |error: &str| {
        format!(
            "if !Self::VERSIONS.contains(&version) {{
                return Err({error}::UnsupportedVersion {{ message: Self::NAME, version }});
            }}\n"
        )
    };
    decode_function(&mut text, table, &top, &table.fields, "", &check("DecodeError"))?;
    encode_function(&mut text, table, &top, &table.fields, "", &check("EncodeError"))?;
    errors_function(&mut text, table, &table.fields, "")?;
    text.push_str("}\n\n");
    if table.kind == "request" {
        let response = format!("{}Response", table.name);
        writeln!(
            text,
            "impl Request for {top} {{ type Response = super::{}::{response}; }}\n",
            snake(&response)
        )?;
    }
    for (name, fields) in &table.structs {
        struct_definition(&mut text, name, fields)?;
        writeln!(text, "impl {name} {{")?;
        decode_function(&mut text, table, name, fields, "pub(crate) ", "")?;
        encode_function(&mut text, table, name, fields, "pub(crate) ", "")?;
        errors_function(&mut text, table, fields, "pub(crate) ")?;
        text.push_str("}\n\n");
    }
    Ok(text)
}

fn struct_definition(text: &mut String, name: &str, fields: &[Field]) -> anyhow::Result<()> {
    let plain = fields.iter().all(|field| field.default_expression().is_none());
    let derived = if plain { "Debug, Clone, PartialEq, Default" } else { "Debug, Clone, PartialEq" };
    writeln!(text, "#[derive({derived})]\npub struct {name} {{")?;
    for field in fields {
        writeln!(text, "pub {}: {},", field.rust_name(), field.rust_type())?;
    }
    text.push_str("}\n\n");
    if !plain {
        writeln!(text, "impl Default for {name} {{ fn default() -> Self {{ Self {{")?;
        for field in fields {
            let default = field.default_expression().unwrap_or("Default::default()".to_owned());
            writeln!(text, "{}: {default},", field.rust_name())?;
        }
        text.push_str("} } }\n\n");
    }
    Ok(())
}

fn null_check(field: &Field, result: &str, error: &str) -> String {
    let Some(nullable) = field.nullable else { return String::new() };
    let Some(allowed) = condition(nullable, field.versions) else { return String::new() };
    let forbidden = negated(&allowed);
    format!("if {forbidden} && {result}.{}.is_none() {{ return Err({error}); }}\n", field.rust_name())
}

fn tagged(fields: &[Field]) -> Vec<(u32, &Field)> {
    let mut tagged: Vec<_> = fields.iter().filter_map(|field| Some((field.tag?, field))).collect();
    tagged.sort_by_key(|(tag, _)| *tag);
    tagged
}

fn decode_function(
    text: &mut String,
    table: &Table,
    owner: &str,
    fields: &[Field],
    visibility: &str,
    check: &str,
) -> anyhow::Result<()> {
    let mut body = String::new();
    for field in fields.iter().filter(|field| field.tag.is_none()) {
        let name = field.rust_name();
        let error = format!("DecodeError::UnexpectedNull {{ field: \"{owner}.{name}\" }}");
        let lines =
            format!("message.{name} = {};\n{}", field.read(table), null_check(field, "message", &error));
        match condition(field.versions, table.versions) {
            None => body.push_str(&lines),
            Some(condition) => writeln!(body, "if {condition} {{ {lines} }}")?,
        }
    }
    if table.flexible_from.is_some() {
        let mut arms = String::new();
        for (tag, field) in tagged(fields) {
            let guard = condition(field.versions, table.versions);
            // A tagged field exists only in flexible versions, so that bound need not be asked again.
            let guard = guard.filter(|guard| Some(guard.as_str()) != flexible_condition(table).as_deref());
            let guard = guard.map(|guard| format!("if {guard}")).unwrap_or_default();
            writeln!(arms, "{tag} {guard} => {{ message.{} = {}; }}", field.rust_name(), field.read(table))?;
        }
        if arms.is_empty() {
            body.push_str("if flexible { reader.skip_tagged_fields()?; }\n");
        } else {
            writeln!(
                body,
                "if flexible {{ reader.tagged_fields(|tag, reader| {{ match tag {{ {arms} _ => return Ok(false), }} Ok(true) }})?; }}"
            )?;
        }
    }
    let flexible = flexible_line(table, &body);
    let body = without_constant_condition(&body, &flexible);
    let flexible = if body.contains("flexible") { flexible } else { String::new() };
    let version = if body.contains("version") || !check.is_empty() || flexible.contains("version") {
        "version"
    } else {
        "_version"
    };
    writeln!(
        text,
        "{visibility}fn decode(reader: &mut Reader, {version}: i16) -> Result<Self, DecodeError> {{
            {check}{flexible}let mut message = Self::default();
            {body}Ok(message)
        }}\n"
    )?;
    Ok(())
}

fn flexible_condition(table: &Table) -> Option<String> {
    let first = table.flexible_from?;
    condition(Versions { first, last: table.versions.last }, table.versions)
}

/// Where every version is flexible, the question is left out.
fn without_constant_condition(body: &str, flexible: &str) -> String {
    if flexible != "let flexible = true;\n" {
        return body.to_owned();
    }
    let lines = body.lines().map(|line| {
        let inner = line.strip_prefix("if flexible { ").and_then(|rest| rest.strip_suffix(" }"));
        format!("{}\n", inner.unwrap_or(line))
    });
    lines.collect()
}

fn encode_function(
    text: &mut String,
    table: &Table,
    owner: &str,
    fields: &[Field],
    visibility: &str,
    check: &str,
) -> anyhow::Result<()> {
    let mut body = String::new();
    for field in fields {
        let name = field.rust_name();
        let error = format!("EncodeError::UnexpectedNull {{ field: \"{owner}.{name}\", version }}");
        let lines = match field.tag {
            Some(_) => String::new(),
            None => format!("{}{}", null_check(field, "self", &error), field.write()),
        };
        let refusal =
            format!("return Err(EncodeError::UnsupportedField {{ field: \"{owner}.{name}\", version }});");
        match (condition(field.versions, table.versions), field.ignorable) {
            (None, _) => writeln!(body, "{lines}")?,
            (Some(_), true) if lines.is_empty() => {}
            (Some(condition), true) => writeln!(body, "if {condition} {{ {lines} }}")?,
            (Some(condition), false) if lines.is_empty() => {
                writeln!(body, "if {} && {} {{ {refusal} }}", negated(&condition), field.differs())?
            }
            (Some(condition), false) => {
                writeln!(body, "if {condition} {{ {lines} }} else if {} {{ {refusal} }}", field.differs())?
            }
        }
    }
    if table.flexible_from.is_some() {
        let mut adds = String::new();
        for (tag, field) in tagged(fields) {
            let guard = condition(field.versions, table.versions);
            let guard = guard.filter(|guard| Some(guard.as_str()) != flexible_condition(table).as_deref());
            let guard = guard.map(|guard| format!("{guard} && ")).unwrap_or_default();
            let differs = field.differs();
            write!(
                adds,
                "if {guard}{differs} {{ tagged.add({tag}, |writer| {{ {} Ok(()) }})?; }} ",
                field.write()
            )?;
        }
        if adds.is_empty() {
            body.push_str("if flexible { writer.no_tagged_fields(); }\n");
        } else {
            writeln!(
                body,
                "if flexible {{ let mut tagged = TaggedFields::new(); {adds} writer.tagged_fields(tagged); }}"
            )?;
        }
    }
    let flexible = flexible_line(table, &body);
    let body = without_constant_condition(&body, &flexible);
    let flexible = if body.contains("flexible") { flexible } else { String::new() };
    let version = if body.contains("version") || !check.is_empty() || flexible.contains("version") {
        "version"
    } else {
        "_version"
    };
    writeln!(
        text,
        "{visibility}fn encode(&self, writer: &mut Writer, {version}: i16) -> Result<(), EncodeError> {{
            {check}{flexible}{body}Ok(())
        }}\n"
    )?;
    Ok(())
}

/// Shows every error code of a response, those of its structs too; nothing where there is none.
fn errors_function(
    text: &mut String,
    table: &Table,
    fields: &[Field],
    visibility: &str,
) -> anyhow::Result<()> {
    if table.kind != "response" || !has_errors(table, fields) {
        return Ok(());
    }
    let mut body = String::new();
    for field in fields {
        let name = field.rust_name();
        if is_error(field) {
            writeln!(body, "visit(self.{name});")?;
        } else if struct_has_errors(table, field) {
            let flatten = if field.nullable.is_some() && field.array { ".flatten()" } else { "" };
            match (field.array, field.nullable.is_some()) {
                (false, false) => writeln!(body, "self.{name}.errors(visit);")?,
                _ => writeln!(body, "self.{name}.iter(){flatten}.for_each(|one| one.errors(visit));")?,
            }
        }
    }
    writeln!(text, "{visibility}fn errors(&self, visit: &mut dyn FnMut(i16)) {{ {body} }}\n")?;
    Ok(())
}

fn is_error(field: &Field) -> bool {
    field.type_name == "int16" && !field.array && field.name.ends_with("ErrorCode")
}

fn has_errors(table: &Table, fields: &[Field]) -> bool {
    fields.iter().any(|field| is_error(field) || struct_has_errors(table, field))
}

fn struct_has_errors(table: &Table, field: &Field) -> bool {
    let of_field = table.structs.iter().find(|(name, _)| *name == field.type_name);
    of_field.is_some_and(|(_, fields)| has_errors(table, fields))
}

fn module_file(messages: &BTreeMap<String, Table>) -> String {
    let mut text = String::from(
        "//! Kafka's messages, one module each, generated by `cargo xtask codegen` from the tables in `tables/`.\n\n",
    );
    // A struct is filled field by field, in the order of the wire.
    text.push_str("#![allow(clippy::field_reassign_with_default)]\n\n");
    text.push_str("pub mod api_key;\n");
    messages.keys().for_each(|name| text.push_str(&format!("pub mod {name};\n")));
    text.push_str("\npub use api_key::ApiKey;\n");
    for (name, table) in messages {
        text.push_str(&format!("pub use {name}::{};\n", table.type_name()));
    }
    text
}

fn api_key_file(messages: &BTreeMap<String, Table>) -> anyhow::Result<String> {
    let mut apis: Vec<&Table> = messages.values().filter(|table| table.kind == "request").collect();
    apis.sort_by_key(|table| table.key);
    let mut arms = [const { String::new() }; 5];
    for table in &apis {
        let Table { name, key, versions, .. } = table;
        let flexible = table.flexible_from.map_or("i16::MAX".to_owned(), |first| first.to_string());
        writeln!(arms[0], "{name} = {key},")?;
        writeln!(arms[1], "{key} => ApiKey::{name},")?;
        writeln!(arms[2], "ApiKey::{name} => \"{name}\",")?;
        writeln!(arms[3], "ApiKey::{name} => {}..={},", versions.first, versions.last)?;
        writeln!(arms[4], "ApiKey::{name} => {flexible},")?;
    }
    let all: Vec<String> = apis.iter().map(|table| format!("ApiKey::{}", table.name)).collect();
    let [variants, from_number, names, versions, flexible] = arms;
    Ok(format!(
        "//! The APIs that have messages here, generated by `cargo xtask codegen`; change the tables instead.

        use std::ops::RangeInclusive;

        /// An API of Kafka, by its number on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {{ {variants} }}

        impl ApiKey {{
            /// Every API, by rising number.
            pub const ALL: [ApiKey; {count}] = [{all}];

            pub fn from_number(number: i16) -> Option<ApiKey> {{
                Some(match number {{ {from_number} _ => return None, }})
            }}

            pub fn number(self) -> i16 {{ self as i16 }}

            pub fn name(self) -> &'static str {{ match self {{ {names} }} }}

            /// The versions whose messages can be encoded and decoded.
            pub fn versions(self) -> RangeInclusive<i16> {{ match self {{ {versions} }} }}

            /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
            pub fn flexible_from(self) -> i16 {{ match self {{ {flexible} }} }}
        }}
        ",
        count = all.len(),
        all = all.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_messages_are_current() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("messages");
        let wire = wire_crate();
        let names = write_all(&wire, &target).expect("the generator runs");
        let mut stale = vec![];
        for name in &names {
            let file = Path::new(name).with_extension("rs");
            let fresh = std::fs::read_to_string(target.join(&file)).expect("just written");
            let committed =
                std::fs::read_to_string(wire.join("src/messages").join(&file)).unwrap_or_default();
            if fresh != committed {
                stale.push(name.clone());
            }
        }
        let committed = std::fs::read_dir(wire.join("src/messages")).expect("the crate has messages").count();
        assert!(stale.is_empty(), "run `cargo xtask codegen`: stale={stale:?}");
        assert_eq!(committed, names.len(), "run `cargo xtask codegen`: a file has no table");
    }

    #[test]
    fn a_table_with_a_mistake_is_refused() {
        let head = "request Ping key 1 versions 0..2 flexible 2..\n";
        for (body, reason) in [
            ("Name\n", "no type"),
            ("Name string\n", "no versions"),
            ("Name string * surprising\n", "not understood"),
            ("Name string 1\n", "not versions"),
            ("    Name string *\n", "indented"),
            ("Parts [Part] *\n", "has no fields"),
            ("Parts [Part] *\n  A int8 *\n\nstruct Part\n  B int8 *\n", "declared twice"),
        ] {
            let error = parse(&format!("{head}{body}")).err().map(|error| format!("{error:#}"));
            assert!(error.as_ref().is_some_and(|text| text.contains(reason)), "{body:?} gave {error:?}");
        }
    }
}
