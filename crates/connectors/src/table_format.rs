//! The format of a table: its name and options, split off from the connector's own.
//!
//! Format options are prefixed by the format's name (`json.ignore-parse-errors`); with `value.format`
//! and `key.format` also by `value.` and `key.`, as in Flink.

use crate::{option_error, option_problem, schema_files};
use arrow_schema::SchemaRef;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::batch::RowKind;
use dataflow::connector::{ConnectorError, Role};
use dataflow::plan::Changelog;
use dataflow::table::TableDefinition;
use formats::{ChangeKind, FormatKind, RowDecoder, RowEncoder, SchemaRegistry, Surroundings, WantedMetadata};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const FORMAT: OptionSpec = OptionSpec {
    key: "format",
    kind: OptionKind::Text,
    required: false,
    default: None,
    doc: "How the bytes are read and written; the formats are named on this page.",
    example: "json",
};

/// Which formats a table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formats {
    /// `format`, of files.
    One,
    /// `format`, of messages.
    Message,
    /// `format` or `value.format`, and perhaps `key.format`.
    Keyed,
    /// `key.format` and `value.format`.
    KeyAndValue,
}

impl Formats {
    /// What may be named: files hold lines of text, or columns.
    fn names(self) -> &'static [&'static str] {
        match self {
            Formats::One => FormatKind::names_of_files(),
            Formats::Message | Formats::Keyed | Formats::KeyAndValue => FormatKind::names(),
        }
    }
}

/// A format with its checked options.
#[derive(Clone)]
pub(crate) struct TableFormat {
    kind: FormatKind,
    options: Options,
    surroundings: Surroundings,
    /// The option that names the format: `format`, `value.format`.
    option: String,
    /// What the format's options begin with: `json.`, `value.json.`.
    prefix: String,
}

/// The connector's own options and the formats of a table, all checked.
pub(crate) struct Checked {
    pub options: Options,
    pub key: Option<TableFormat>,
    pub value: TableFormat,
}

impl TableFormat {
    pub(crate) fn decoder(
        &self,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<Box<dyn RowDecoder>, String> {
        self.decoder_with_metadata(schema, projection, &[])
    }

    /// The same with the format's metadata behind the columns.
    pub(crate) fn decoder_with_metadata(
        &self,
        schema: &SchemaRef,
        projection: &[usize],
        metadata: &[WantedMetadata],
    ) -> Result<Box<dyn RowDecoder>, String> {
        let decoder = self.kind.decoder(&self.options, schema, projection, metadata, &self.surroundings);
        decoder.map_err(|error| error.to_string())
    }

    pub(crate) fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn RowEncoder>, String> {
        self.encoder_with_metadata(schema, &[])
    }

    /// The same where columns of the format's metadata stand behind the others.
    pub(crate) fn encoder_with_metadata(
        &self,
        schema: &SchemaRef,
        metadata: &[WantedMetadata],
    ) -> Result<Box<dyn RowEncoder>, String> {
        let encoder = self.kind.encoder_with_metadata(&self.options, schema, metadata, &self.surroundings);
        encoder.map_err(|error| error.to_string())
    }

    /// The format's own options.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The subject of the format's schema, unless its options name one.
    pub(crate) fn set_subject(&mut self, subject: String) {
        self.surroundings.subject = Some(subject);
    }

    pub(crate) fn set_registry(&mut self, registry: Arc<dyn SchemaRegistry>) {
        self.surroundings.registry = Some(registry);
    }

    /// Whether records that cannot be read are skipped.
    pub(crate) fn ignores_errors(&self) -> bool {
        self.options.boolean("ignore-parse-errors")
    }

    /// The option that makes it skip them, as it is written in the table's options.
    pub(crate) fn ignore_option(&self) -> String {
        format!("{}ignore-parse-errors", self.prefix)
    }

    /// The option that names the format.
    pub(crate) fn option(&self) -> &str {
        &self.option
    }

    pub(crate) fn kind(&self) -> FormatKind {
        self.kind
    }

    /// A column whose type the format does not take.
    pub(crate) fn schema_problem(
        &self,
        table: &TableDefinition,
        schema: &SchemaRef,
        written_metadata: &[WantedMetadata],
        role: Role,
    ) -> Option<ConnectorError> {
        let problem = match role {
            Role::Source | Role::Lookup => {
                let projection: Vec<usize> = (0..schema.fields().len()).collect();
                self.decoder(schema, &projection).err()
            }
            Role::Sink => self.encoder_with_metadata(schema, written_metadata).err(),
        };
        problem.map(|message| option_problem(table, &self.option, message))
    }
}

/// Checks all options of a table whose connector takes formats. Whether the formats take the columns
/// is for the connector to ask, which knows where the columns lie.
pub(crate) fn check(
    table: &TableDefinition,
    specs: &[OptionSpec],
    formats: Formats,
) -> Result<Checked, Vec<ConnectorError>> {
    let mut own = table.options.clone();
    let mut errors = Vec::new();
    let value_key = match formats {
        Formats::KeyAndValue => "value.format",
        Formats::Keyed if own.contains_key("value.format") => "value.format",
        Formats::Keyed | Formats::One | Formats::Message => "format",
    };
    let value = take(table, &mut own, value_key, formats, &mut errors);
    let key = if matches!(formats, Formats::One | Formats::Message) {
        None
    } else {
        take(table, &mut own, "key.format", formats, &mut errors)
    };
    let needed = if formats == Formats::KeyAndValue { &["key.format", value_key][..] } else { &[value_key] };
    for option in needed {
        if !table.options.contains_key(*option) {
            let names = formats.names().join("', '");
            errors.push(option_problem(
                table,
                "connector",
                format!(
                    "the option '{option}' is missing; the formats are '{names}', for example '{option}' = 'json'"
                ),
            ));
        }
    }
    let options = match Options::check(&own, specs) {
        Ok(options) => Some(options),
        Err(found) => {
            errors.extend(found.iter().map(|error| option_error(table, error)));
            None
        }
    };
    match (options, value) {
        (Some(options), Some(value)) if errors.is_empty() => Ok(Checked { options, key, value }),
        _ => Err(errors),
    }
}

/// The changes of a table whose format is named by one of `keys`; what is unknown is refused elsewhere.
pub(crate) fn changelog(table: &TableDefinition, keys: &[&str]) -> Changelog {
    let name = keys.iter().find_map(|key| table.options.get(*key));
    match name.and_then(|name| FormatKind::lookup(name)) {
        Some(kind) if kind.has_changes() => Changelog::Retract,
        _ => Changelog::Insert,
    }
}

/// The kind of a row for a format that writes it.
pub(crate) fn change_kind(kind: RowKind) -> ChangeKind {
    match kind {
        RowKind::Insert => ChangeKind::Insert,
        RowKind::UpdateBefore => ChangeKind::UpdateBefore,
        RowKind::UpdateAfter => ChangeKind::UpdateAfter,
        RowKind::Delete => ChangeKind::Delete,
    }
}

/// Takes a format and its options out of `own`.
fn take(
    table: &TableDefinition,
    own: &mut BTreeMap<String, String>,
    format_key: &str,
    formats: Formats,
    errors: &mut Vec<ConnectorError>,
) -> Option<TableFormat> {
    let name = own.get(format_key)?.clone();
    let kind = match FormatKind::lookup(&name) {
        Some(kind) => kind,
        None => {
            let hint = match base::nearest(&name, formats.names().iter().copied()) {
                Some(nearest) => format!("did you mean '{nearest}'?"),
                None => format!("the formats are '{}'", formats.names().join("', '")),
            };
            errors.push(option_problem(table, format_key, format!("there is no format '{name}'; {hint}")));
            return None;
        }
    };
    own.remove(format_key);
    let prefix = match format_key.strip_suffix("format") {
        Some("") | None => format!("{name}."),
        Some(role) => format!("{role}{name}."),
    };
    let mut given = BTreeMap::new();
    own.retain(|key, value| match key.strip_prefix(&prefix) {
        Some(rest) => {
            given.insert(rest.to_string(), value.clone());
            false
        }
        None => true,
    });
    match Options::check(&given, kind.specs()) {
        Ok(options) => {
            let mut surroundings = Surroundings::default();
            if let Some(path) = kind.schema_path(&options) {
                match schema_files::read(&path) {
                    Ok(files) => surroundings.schema_files = files,
                    Err(reason) => {
                        let hint = format!("'{prefix}schema-path' says where the messages are described");
                        errors.push(option_problem(table, format_key, format!("{reason}; {hint}")));
                        return None;
                    }
                }
            }
            Some(TableFormat { kind, options, surroundings, option: format_key.into(), prefix })
        }
        Err(found) => {
            errors.extend(found.iter().map(|error| ConnectorError {
                option: Some(format!("{prefix}{}", error.key())),
                ..option_problem(table, format_key, format!("format '{name}': {error}"))
            }));
            None
        }
    }
}
