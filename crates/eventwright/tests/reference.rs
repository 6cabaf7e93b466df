//! The reference in `docs/reference` is what the registries and the command line say, and its examples are accepted.
//!
//! So is `docs/compatibility.md`, of the broker's APIs and the results of the suites.
//!
//! `UPDATE_REFERENCE=1 cargo test -p eventwright --test reference` writes it anew.

use base::options::{OptionKind, OptionSpec};
use connectors::Connectors;
use os::Os;
use sql::functions::{self, Function};
use sql::reference::{Entry, FORMS, QUERIES, STATEMENTS, TYPES};
use sql::session::Session;
use sql::settings::{Effect, SETTINGS};
use sql::source::SourceText;
use std::fmt::Write;
use std::path::PathBuf;

#[path = "reference/compatibility.rs"]
mod compatibility;

const MADE: &str =
    "Made of the registries by `UPDATE_REFERENCE=1 cargo test -p eventwright --test reference`.";

/// The crate's folder in this checkout; what was built in another one and kept must not look there.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is").into()
}

fn folder() -> PathBuf {
    package().join("../../docs/reference")
}

#[test]
fn the_pages_are_what_the_registries_say() {
    let pages = [
        ("sql/README.md", index()),
        ("sql/statements.md", entries("Statements", STATEMENTS)),
        ("sql/queries.md", entries("Queries", QUERIES)),
        ("sql/types.md", types()),
        ("sql/functions.md", function_page()),
        ("sql/connectors.md", connector_page()),
        ("sql/formats.md", format_page()),
        ("sql/missing.md", missing_page()),
        ("sql/settings.md", setting_page()),
        ("broker.md", broker_page()),
        ("metrics.md", metrics_page()),
        ("command-line.md", command_line_page()),
    ];
    let update = std::env::var_os("UPDATE_REFERENCE").is_some();
    for (name, page) in pages {
        let path = folder().join(name);
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, page).unwrap();
            continue;
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page, "docs/reference/{name} is not what the registries say. {MADE}");
    }
}

#[test]
fn the_page_on_compatibility_is_what_the_apis_and_the_suites_say() {
    let page = compatibility::page(MADE);
    let path = package().join("../../docs/compatibility.md");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/compatibility.md is not what the APIs and the suites say. {MADE}");
}

/// The examples of statements and queries are one script without a mistake.
#[test]
fn the_examples_are_accepted() {
    let mut session = Session::new(connectors::table(Connectors { os: Os::real(), log: None }));
    let text: Vec<&str> = STATEMENTS.iter().chain(QUERIES).map(|entry| entry.example).collect();
    let source = SourceText::new("examples", text.join("\n"));
    let found = session.check_script(&source);
    let shown: Vec<String> = found.diagnostics.iter().map(|problem| problem.render(&source)).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert!(found.jobs.len() >= QUERIES.len());
}

/// The tables and queries of a guide page are one script without a mistake.
#[test]
fn the_sql_over_otlp_and_samples_is_accepted() {
    let page = std::fs::read_to_string(folder().join("../guide/observability-in.md")).expect("the page");
    let blocks = page.split("```sql\n").skip(1).map(|part| part.split("```").next().unwrap_or_default());
    let blocks: Vec<&str> = blocks.collect();
    let mut session = Session::new(connectors::table(Connectors { os: Os::real(), log: None }));
    let source = SourceText::new("observability-in.md", blocks.join("\n"));
    let found = session.check_script(&source);
    let shown: Vec<String> = found.diagnostics.iter().map(|problem| problem.render(&source)).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert_eq!(found.jobs.len(), 2);
}

fn index() -> String {
    format!(
        "# SQL reference\n\nThe dialect is that of Apache Flink. What Flink has and this does not is refused with a message, and named on these pages; \
where results differ on purpose stands in [FINDINGS.md](../../../FINDINGS.md). {MADE}\n\n\
- [Statements](statements.md)\n- [Queries](queries.md)\n- [Types](types.md)\n- [Functions](functions.md)\n\
- [Connectors and their options](connectors.md)\n- [Formats and their options](formats.md)\n- [Settings](settings.md)\n\
- [What Flink has and this does not](missing.md)\n\nHow it fits together stands in the [guide](../../guide/sql.md).\n"
    )
}

fn entries(title: &str, entries: &[Entry]) -> String {
    let mut page = format!("# {title}\n\n{MADE}\n");
    for Entry { name, syntax, doc, example } in entries {
        write!(page, "\n## {name}\n\n```\n{syntax}\n```\n\n{doc}\n\n```sql\n{example}\n```\n").unwrap();
        if *name == "Hints" {
            page.push_str("\n| Option of LOOKUP | Takes | |\n|---|---|---|\n");
            for option in sql::binder::LOOKUP_OPTIONS {
                writeln!(page, "| `{}` | {} | {} |", option.key, option.takes, option.doc).unwrap();
            }
        }
    }
    page
}

fn types() -> String {
    let mut page = format!("# Types\n\nA column can hold NULL unless it is NOT NULL. {MADE}\n\n");
    page.push_str("| Type | Written | Holds | Example | Value |\n|---|---|---|---|---|\n");
    for Entry { name, syntax, doc, example } in TYPES {
        let (expression, value) = example.split_once(" => ").unwrap();
        let syntax = syntax.replace(" | ", "`, `");
        writeln!(page, "| {name} | `{syntax}` | {doc} | `{expression}` | {value} |").unwrap();
    }
    page
}

fn function_page() -> String {
    let mut page = format!(
        "# Functions\n\nArguments are named by what they must be; what stands in brackets may be left out, and what ends with … may be repeated. A value \
is shown as CAST to STRING shows it. {MADE}\n"
    );
    page.push_str(&function_index());
    for (family, list) in functions::families() {
        write!(page, "\n## {family}\n\n| Function | What it gives | Examples |\n|---|---|---|\n").unwrap();
        for function in list.iter().filter(|function| !function.name.starts_with('$')) {
            writeln!(page, "{}", function_row(function)).unwrap();
        }
    }
    let forms = functions::FORMS.join("`, `");
    write!(page, "\n## Forms\n\nExpressions and window functions with a syntax or an evaluation of their own: `{forms}`.\n\n").unwrap();
    page.push_str("| Form | Syntax | What it gives | Example |\n|---|---|---|---|\n");
    for Entry { name, syntax, doc, example } in FORMS {
        let (expression, value) = example.split_once(" => ").unwrap();
        let cells = [format!("`{syntax}`"), (*doc).to_string(), format!("`{expression}` → {value}")];
        writeln!(page, "| {name} | {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")).unwrap();
    }
    page.push_str(&aggregate_section());
    page.push_str("\nWhat Flink has and this does not stands in [missing](missing.md).\n");
    page
}

/// The functions by their first letter, with the family that each stands in.
fn function_index() -> String {
    let mut letters: std::collections::BTreeMap<char, std::collections::BTreeMap<&str, &str>> =
        std::collections::BTreeMap::new();
    let mut add = |name: &'static str, family: &'static str| {
        let letter = name.chars().next().unwrap_or('-');
        letters.entry(letter).or_default().insert(name, family);
    };
    for (family, list) in functions::families() {
        for function in list.iter().filter(|function| !function.name.starts_with('$')) {
            add(function.name, family);
            function.aliases.iter().for_each(|alias| add(alias, family));
        }
    }
    functions::FORMS.iter().for_each(|name| add(name, "Forms"));
    functions::aggregate::AGGREGATES.iter().for_each(|aggregate| add(aggregate.name, "Aggregates"));
    let mut text = "\n| | |\n|---|---|\n".to_string();
    for (letter, names) in letters {
        let link =
            |(name, family): (&str, &str)| format!("[{name}](#{})", family.to_lowercase().replace(' ', "-"));
        writeln!(text, "| **{letter}** | {} |", names.into_iter().map(link).collect::<Vec<_>>().join(", "))
            .unwrap();
    }
    text
}

fn format_page() -> String {
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let mut page = format!(
        "# Formats\n\n`'format' = '…'` says how the bytes of a record or of a file are read and written; an option of a format \
begins with its name (`json.ignore-parse-errors`), behind `key.` or `value.` where `key.format` or `value.format` names the format. Metadata is \
declared as `name TYPE METADATA FROM 'value.KEY'`. {MADE}\n"
    );
    for name in formats::FormatKind::names() {
        let kind = formats::FormatKind::lookup(name).unwrap();
        write!(page, "\n## {name}\n\n{}\n\n", kind.doc()).unwrap();
        if kind.has_changes() {
            page.push_str(
                "A changelog: records say what was inserted, updated (with the row before) and deleted.\n\n",
            );
        }
        let taking = connectors
            .names()
            .filter(|connector| connectors.find(connector).unwrap().spec().formats.contains(name));
        writeln!(page, "- connectors: {}", taking.collect::<Vec<_>>().join(", ")).unwrap();
        if kind.specs().is_empty() {
            page.push_str("- no options\n");
        } else {
            let options = option_table(kind.specs().iter());
            page.push_str(&options.replace("\n| `", &format!("\n| `{name}.")));
        }
        let metadata = kind.metadata();
        if !metadata.is_empty() {
            page.push_str("\n| Metadata | What it is |\n|---|---|\n");
        }
        for one in metadata {
            writeln!(page, "| `{}` | {} |", one.key, one.doc).unwrap();
        }
    }
    page
}

/// One place for everything of Flink that is refused.
fn missing_page() -> String {
    let mut page = format!(
        "# What Flink has and this does not\n\nEach is refused by name, with line, column and what to do instead; nothing is ignored in \
silence. {MADE}\n\n## Statements\n\n| Statement | Instead |\n|---|---|\n"
    );
    for (name, instead) in sql::parser::unsupported_statements() {
        writeln!(page, "| `{name}` | {} |", if instead.is_empty() { "–" } else { instead }).unwrap();
    }
    let mut letters: std::collections::BTreeMap<char, Vec<&str>> = std::collections::BTreeMap::new();
    for name in functions::known_elsewhere() {
        letters.entry(name.chars().next().unwrap_or('-')).or_default().push(name);
    }
    page.push_str("\n## Functions\n\n| | |\n|---|---|\n");
    for (letter, names) in letters {
        writeln!(page, "| **{letter}** | `{}` |", names.join("`, `")).unwrap();
    }
    page.push_str("\n## Settings\n\nSettings of which only the value that means what happens here is taken:\n\n| Key | Taken |\n|---|---|\n");
    for setting in SETTINGS {
        if let (Effect::Used, OptionKind::OneOf(values)) = (setting.effect, setting.option.kind) {
            let one = values.iter().all(|value| value.eq_ignore_ascii_case(values[0]));
            if one {
                writeln!(page, "| `{}` | `{}` |", setting.option.key, values[0]).unwrap();
            }
        }
    }
    page.push_str(
        "\nThose without effect are listed on the page of the [settings](settings.md#without-effect).\n",
    );
    page
}

fn aggregate_section() -> String {
    let mut page = String::from(
        "\n## Aggregates\n\nOver the rows of a group or of a window, with `FILTER (WHERE condition)`; or OVER a frame of rows that ends at each row. \
NULLs are left out where nothing else is said. The examples are over these rows; that of an OVER is the result of the last one:\n\n| k | v | d | ts |\n|---|---|---|---|\n",
    );
    for (key, value, number, time) in functions::aggregate::EXAMPLE_ROWS {
        let value = value.map_or("NULL".into(), |value| value.to_string());
        writeln!(page, "| {key} | {value} | {number:?} | {time} |").unwrap();
    }
    page.push_str("\n| Aggregate | What it gives | Examples |\n|---|---|---|\n");
    for aggregate in functions::aggregate::AGGREGATES {
        let usage = aggregate.usage.replace(" | ", "`<br>`");
        let aliases = match aggregate.aliases {
            [] => String::new(),
            aliases => format!("<br>also `{}`", aliases.join("`, `")),
        };
        let examples: Vec<String> =
            aggregate.examples.iter().map(|(text, value)| format!("`{text}` → {value}")).collect();
        writeln!(page, "| `{usage}`{aliases} | {} | {} |", aggregate.doc, examples.join("<br>")).unwrap();
    }
    let batch = functions::aggregate::BATCH_ONLY.join("`, `");
    writeln!(page, "\nFlink has `{batch}` in batch mode only; here they are refused too.").unwrap();
    page
}

fn function_row(function: &Function) -> String {
    let usage = function.usage().replace('|', "\\|").replace(" or ", "`<br>`");
    let aliases = match function.aliases {
        [] => String::new(),
        aliases => format!("<br>also `{}`", aliases.join("`, `")),
    };
    let example = |(text, value): &(&str, &str)| format!("`{text}` → {value}");
    let examples: Vec<String> =
        function.examples.iter().map(example).map(|shown| shown.replace('|', "\\|")).collect();
    format!("| `{usage}`{aliases} | {} | {} |", function.doc, examples.join("<br>"))
}

fn connector_page() -> String {
    let connectors = connectors::table(Connectors { os: Os::real(), log: None });
    let mut page =
        format!("# Connectors\n\nOptions go into `WITH ('connector' = '…', 'key' = 'value')`. {MADE}\n");
    for name in connectors.names() {
        let spec = connectors.find(name).unwrap().spec();
        write!(page, "\n## {name}\n\n{}\n\n", spec.doc).unwrap();
        if spec.reads {
            writeln!(page, "- read: {}", spec.source_guarantee).unwrap();
        }
        if spec.writes {
            writeln!(page, "- written: {}", spec.sink_guarantee).unwrap();
        }
        if !spec.formats.is_empty() {
            writeln!(page, "- formats: {}", spec.formats.join(", ")).unwrap();
        }
        page.push_str(&option_table(spec.options.iter().filter(|option| option.key != "connector")));
    }
    page.push_str("\nFormats, their options and their metadata stand in [formats](formats.md).\n");
    page
}

fn setting_page() -> String {
    let mut page = format!("# Settings\n\n`SET 'key' = 'value'` holds for the jobs that follow. {MADE}\n");
    let used = SETTINGS.iter().filter(|setting| matches!(setting.effect, Effect::Used));
    page.push_str(&option_table(used.map(|setting| &setting.option)));
    page.push_str("\n## Without effect\n\nSettings of Flink that are accepted and that change nothing here.\n\n| Key | Why |\n|---|---|\n");
    for setting in SETTINGS {
        if let Effect::None(reason) = setting.effect {
            writeln!(page, "| `{}` | {reason} |", setting.option.key).unwrap();
        }
    }
    page
}

/// The settings of a node, its topics and its groups.
fn broker_page() -> String {
    let mut page = format!(
        "# Settings of a node, its topics and its groups\n\nThe names are those of Apache Kafka. An unknown key is refused. {MADE}\n\n\
## Of the node\n\nGiven with `--set KEY=VALUE` or in the file of `--config`. Those \
with a star are also changed while the node runs: by Kafka's clients, or with `kafka-configs.sh --entity-type brokers`.\n"
    );
    let starred = |key: &str| if broker::settings::is_changeable(key) { "\\*" } else { "" };
    page.push_str(&option_table_with(broker::BROKER_OPTIONS.iter(), starred));
    page.push_str("\n## Of a topic\n\nGiven with `eventwright topic create --config KEY=VALUE`, by Kafka's clients or with `kafka-configs.sh`.\n");
    page.push_str(&option_table(eventlog::TOPIC_OPTIONS.iter()));
    page.push_str(
        "\n## Of a group\n\nGiven by Kafka's clients or with `kafka-configs.sh --entity-type groups`.\n",
    );
    page.push_str(&option_table(broker::group::options::GROUP_OPTIONS.iter()));
    page
}

fn metrics_page() -> String {
    let mut page = format!(
        "# Metrics\n\nWhat `/metrics` on the HTTP port gives, in the order of the page. How to scrape, alert and draw them stands in the \
[guide](../guide/monitoring.md). {MADE}\n\n| Name | Type | Labels | |\n|---|---|---|---|\n"
    );
    let others = pg_server::metric_families().into_iter().chain(views::metric_families());
    for family in http_server::metric_families().into_iter().chain(others) {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (family.name, family.kind.name(), family.help);
        writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    page
}

/// What `--help` says of every verb and of the verbs under it.
fn command_line_page() -> String {
    let mut page = format!("# The command line\n\nEach section is what `--help` says of a verb. {MADE}\n");
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eventwright"));
        let output = command.args(&path).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        let title = [&["eventwright".to_string()], path.as_slice()].concat().join(" ");
        write!(page, "\n## {title}\n\n```\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
        let verbs = lines.iter().skip_while(|line| **line != "Commands:").skip(1);
        let verbs =
            verbs.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
        let under: Vec<Vec<String>> = verbs
            .filter(|verb| *verb != "help")
            .map(|verb| path.iter().cloned().chain([verb.to_string()]).collect())
            .collect();
        waiting.extend(under.into_iter().rev());
    }
    page
}

fn option_table<'o>(options: impl Iterator<Item = &'o OptionSpec>) -> String {
    option_table_with(options, |_| "")
}

/// With a sign behind the key.
fn option_table_with<'o>(
    options: impl Iterator<Item = &'o OptionSpec>,
    sign: impl Fn(&str) -> &'static str,
) -> String {
    let mut table = "\n| Key | Value | Default | What it does |\n|---|---|---|---|\n".to_string();
    for option in options {
        let default = match (option.required, option.default) {
            (true, _) => "required".to_string(),
            (false, Some(default)) => format!("`{}`", shown(default)),
            (false, None) => "–".to_string(),
        };
        let row = format!(
            "| `{}`{} | {}, as `{}` | {default} | {} |",
            option.key,
            sign(option.key),
            kind(&option.kind),
            shown(option.example),
            option.doc
        );
        writeln!(table, "{row}").unwrap();
    }
    table
}

/// What would break a table or not be seen.
fn shown(value: &str) -> String {
    value.replace('\n', "\\n").replace('|', "\\|")
}

fn kind(kind: &OptionKind) -> String {
    let bounds = |min: &i64, max: &i64| match (*min, *max) {
        (i64::MIN, i64::MAX) => String::new(),
        (min, i64::MAX) => format!(" from {min}"),
        (min, max) => format!(" from {min} to {max}"),
    };
    match kind {
        OptionKind::Text => "text".into(),
        OptionKind::Boolean => "true or false".into(),
        OptionKind::Integer { min, max } => format!("whole number{}", bounds(min, max)),
        OptionKind::Decimal { min, max } => format!("number{}", bounds(min, max)),
        OptionKind::Duration => "duration".into(),
        OptionKind::Size => "size".into(),
        OptionKind::OneOf(values) => format!("one of {}", values.join(", ")),
    }
}
