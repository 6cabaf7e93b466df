//! Formats whose bytes have a schema of their own, beside Flink: what either side writes, both must read as the same rows.
//!
//! How: our node writes and registers its schemas with its own registry. Then Flink, with Confluent's client and its own
//! formats, registers there too, writes to the node, and reads what both have written; so does our node. The lines that
//! the `print` tables print must be equal, and where a format keeps every value, those of the two writers as well.
//!
//! Why live: the bytes of a topic carry the numbers of a registry, so there are no golden rows to keep.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::counts::Counts;
use crate::{flink, kafka, node, peers, places, process};

pub const NAME: &str = "formats";

const FOLDER: &str = "tests/flink/formats";
const WRITERS: [&str; 2] = ["ours", "flink"];
const TABLES: [&str; 6] = ["avro", "keyed", "changes", "protobuf", "files", "parquet"];
/// Of these, what is read does not depend on who has written: the order and number of changes does.
const EQUAL_BY_WRITER: [&str; 5] = ["avro", "keyed", "protobuf", "files", "parquet"];
/// Folders of files, whose rows have no order.
const UNORDERED: [&str; 2] = ["files", "parquet"];
const COMPILE_LIMIT: Duration = Duration::from_secs(300);

/// Runs everything once; counts one check for each table of each writer, and for the writers beside each other.
pub fn compare() -> Result<Counts> {
    peers::install(&["flink".to_owned(), "flink-formats".to_owned()])?;
    let folder = tempfile::Builder::new().prefix("formats-").tempdir()?;
    let folder = folder.path();
    std::fs::copy(places::root().join(FOLDER).join("sample.json"), folder.join("sample.json"))?;
    std::fs::create_dir(folder.join("proto"))?;
    let message = "proto/sample.proto";
    std::fs::copy(places::root().join(FOLDER).join(message), folder.join(message))?;
    let script = Script { folder, port: kafka::lasting_port()? };
    let http = format!("127.0.0.1:{}", script.port);
    let data = folder.join("data");

    let ours = script.write("write.sql", &[("sample", "ours"), ("tables", "ours"), ("write", "ours")])?;
    node::run_with(&ours, &data, folder, &["--http", &http])?;

    let node = node::start_with(&data, &folder.join("node.log"), &["--http".to_owned(), http.clone()])?;
    let mut parts = vec![("sample", "flink"), ("tables", "flink"), ("tables", "ours"), ("write", "flink")];
    parts.extend(WRITERS.map(|writer| ("read", writer)));
    let theirs = script.write("flink.sql", &parts)?;
    let class_path = [classes(folder)?, format!("{}/*", peers::flink_formats_jars()?.display())];
    let by_flink = flink::run_to_end_with(&folder.join(theirs), &node.bootstrap, folder, &class_path)?;
    node.stop()?;

    let mut parts: Vec<(&str, &str)> = WRITERS.map(|writer| ("tables", writer)).to_vec();
    parts.extend(WRITERS.map(|writer| ("read", writer)));
    let ours = script.write("read.sql", &parts)?;
    let by_us = node::run_with(&ours, &data, folder, &["--http", &http])?;
    Ok(judge(&by_flink, &by_us))
}

/// The SQL of both sides, made of the same files.
struct Script<'a> {
    folder: &'a Path,
    port: u16,
}

impl Script<'_> {
    /// Writes a file of parts, each with who writes its tables; returns its name.
    fn write(&self, name: &str, parts: &[(&str, &str)]) -> Result<String> {
        // Flink shows files when a checkpoint is done.
        let mut whole =
            "SET 'table.dml-sync' = 'true';\nSET 'execution.checkpointing.interval' = '1 s';\n".to_owned();
        for (part, writer) in parts {
            let path = places::root().join(FOLDER).join(format!("{part}.sql"));
            let text = std::fs::read_to_string(&path).with_context(|| format!("file={}", path.display()))?;
            let folder = self.folder.display().to_string();
            let registry = format!("http://127.0.0.1:{}", self.port);
            whole.push_str(
                &text
                    .replace("${writer}", writer)
                    .replace("${folder}", &folder)
                    .replace("${registry}", &registry),
            );
        }
        std::fs::write(self.folder.join(name), whole)?;
        Ok(name.to_owned())
    }
}

/// Makes the Java class that Flink's `protobuf` loads; the folder of classes.
fn classes(folder: &Path) -> Result<String> {
    let (sources, classes) = (folder.join("java"), folder.join("classes"));
    std::fs::create_dir(&sources)?;
    let mut command = Command::new(peers::protoc_program()?);
    command
        .arg(format!("--java_out={}", sources.display()))
        .args(["--proto_path=proto", "proto/sample.proto"]);
    process::run(command.current_dir(folder), COMPILE_LIMIT)?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(sources.join("sample"))? {
        let file = entry?.path();
        // Flink's format brings Google's library under another name, and the classes must be of that one.
        let text = std::fs::read_to_string(&file)?;
        let shaded = "org.apache.flink.formats.protobuf.shaded.com.google.protobuf";
        std::fs::write(&file, text.replace("com.google.protobuf", shaded))?;
        files.push(file);
    }
    let jars = format!("{}/*", peers::flink_formats_jars()?.display());
    let mut command = Command::new("javac");
    command.args(["-nowarn", "-cp", &jars, "-d"]).arg(&classes).args(files);
    process::run(&mut command, COMPILE_LIMIT)?;
    Ok(classes.display().to_string())
}

/// What was printed, by table.
fn by_table(printed: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in printed.lines() {
        if let Some((table, row)) = line.split_once("> ") {
            tables.entry(table.to_owned()).or_default().push(with_sorted_maps(row));
        }
    }
    for (table, rows) in &mut tables {
        if UNORDERED.iter().any(|name| table.ends_with(&format!("-{name}"))) {
            rows.sort();
        }
    }
    tables
}

/// A row with the entries of its maps in one order: Flink has that of a hash map, which means nothing.
fn with_sorted_maps(row: &str) -> String {
    let mut sorted = String::new();
    let mut rest = row;
    while let Some((before, map, after)) = rest
        .split_once('{')
        .and_then(|(before, rest)| rest.split_once('}').map(|(map, after)| (before, map, after)))
    {
        let mut entries: Vec<&str> = map.split(", ").collect();
        entries.sort_unstable();
        sorted.push_str(&format!("{before}{{{}}}", entries.join(", ")));
        rest = after;
    }
    sorted + rest
}

fn judge(by_flink: &str, by_us: &str) -> Counts {
    let (by_flink, by_us) = (by_table(by_flink), by_table(by_us));
    let mut counts = Counts::default();
    let mut check = |what: &str, left: Option<&Vec<String>>, right: Option<&Vec<String>>| {
        if left == right && left.is_some() {
            counts.pass();
            return;
        }
        let shown =
            |side: Option<&Vec<String>>| side.map_or("    nothing".to_owned(), |rows| rows.join("\n    "));
        let (left, right) = (shown(left), shown(right));
        counts.fail(format!("formats: {what} differ\n  one:\n    {left}\n  other:\n    {right}"));
    };
    for writer in WRITERS {
        for table in TABLES {
            let name = format!("{writer}-{table}");
            check(&format!("{name} read by Flink and by us"), by_flink.get(&name), by_us.get(&name));
        }
    }
    for table in EQUAL_BY_WRITER {
        let [ours, flink] = WRITERS.map(|writer| by_us.get(&format!("{writer}-{table}")));
        check(&format!("{table} written by us and by Flink"), ours, flink);
    }
    println!("formats: {} results equal, {} not", counts.passed, counts.failed());
    counts
}

#[cfg(test)]
mod tests {
    use super::{by_table, judge, with_sorted_maps};

    #[test]
    fn entries_of_maps_have_one_order() {
        assert_eq!(with_sorted_maps("+I[{b=1, a=2}, x, {}, {z=3}]"), "+I[{a=2, b=1}, x, {}, {z=3}]");
        assert_eq!(with_sorted_maps("-D[open {]"), "-D[open {]");
    }

    #[test]
    fn lines_are_told_apart_by_their_table() {
        let tables = by_table("a-b> +I[1, > x]\nnoise\na-b> -D[1]\nc> +I[2]\n");
        assert_eq!(tables["a-b"], ["+I[1, > x]", "-D[1]"]);
        assert_eq!(tables["c"], ["+I[2]"]);
        let tables = by_table("x-files> +I[2]\nx-files> +I[1]\ny> +I[2]\ny> +I[1]\n");
        assert_eq!(
            (&tables["x-files"], &tables["y"]),
            (&vec!["+I[1]".into(), "+I[2]".into()], &vec!["+I[2]".into(), "+I[1]".into()])
        );
    }

    #[test]
    fn what_is_missing_on_both_sides_does_not_pass() {
        let counts = judge("", "");
        assert_eq!((counts.passed, counts.failed()), (0, 17));
    }
}
