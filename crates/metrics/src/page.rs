//! The page that a scrape gets: families as text, in one of two formats.
//!
//! Prometheus' text format 0.0.4 and OpenMetrics 1.0 differ in little: there a counter's family is named without
//! `_total`, numbers of bounds are floating, units are told, and the page says where it ends.

use crate::histogram::Snapshot;
use crate::table::{Family, Kind, Rest, Row, Table, Value};
use std::fmt::Write;

/// The label of the series that stands for all things that are too many. No topic and no group of Kafka's tools has
/// such a name.
pub const OTHER: &str = "(other)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// What a client that sends this `Accept` header gets.
    pub fn accepted(accept: &str) -> Format {
        let quality = |name: &str| {
            let ranges = accept.split(',').map(|range| range.split(';').map(str::trim).collect::<Vec<_>>());
            let named =
                ranges.filter(|range| range.first().is_some_and(|first| first.eq_ignore_ascii_case(name)));
            let quality = |range: Vec<&str>| {
                let given = range.iter().find_map(|parameter| parameter.strip_prefix("q="));
                given.map_or(1.0, |text| text.parse::<f64>().unwrap_or(0.0))
            };
            named.map(quality).fold(0.0, f64::max)
        };
        let (open, plain) = (quality("application/openmetrics-text"), quality("text/plain"));
        if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Text that grows table by table.
pub struct Page {
    format: Format,
    text: String,
    series_max: usize,
    left_out: u64,
}

impl Page {
    /// Of the things of one table, `series_max` are shown one by one.
    pub fn new(format: Format, series_max: usize) -> Page {
        Page { format, text: String::with_capacity(64 << 10), series_max: series_max.max(1), left_out: 0 }
    }

    /// So many things of a table are shown one by one: whoever has more may spare itself the rest.
    pub fn series_max(&self) -> usize {
        self.series_max
    }

    /// Values that were not even read, because there are too many.
    pub fn leave_out(&mut self, values: usize) {
        self.left_out += values as u64;
    }

    /// Values that neither are shown nor stand in one with [`OTHER`].
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The one thing of its kind.
    pub fn one<T>(&mut self, table: &Table<T>, thing: &T) {
        self.table(table, &[(Vec::new(), thing)]);
    }

    /// All rows of a table, each for all things: a family must not be torn apart. A thing comes with the values of the
    /// table's labels; those that come first are shown one by one if they are too many.
    pub fn table<T>(&mut self, table: &Table<T>, things: &[(Vec<String>, impl std::borrow::Borrow<T>)]) {
        let shown = things.len().min(self.series_max);
        for (row, family) in table.rows.iter().zip(table.families()) {
            let mut begun = false;
            for (values, thing) in &things[..shown] {
                if let Some(value) = (row.read)(thing.borrow()) {
                    self.begin(&family, &mut begun);
                    self.series(&family, values, &value);
                }
            }
            let rest: Vec<Value> =
                things[shown..].iter().filter_map(|(_, thing)| (row.read)(thing.borrow())).collect();
            match folded(row, &rest) {
                Some(value) => {
                    self.begin(&family, &mut begun);
                    let values: Vec<String> = table.labels.iter().map(|_| OTHER.to_string()).collect();
                    self.series(&family, &values, &value);
                }
                None => self.left_out += rest.len() as u64,
            }
        }
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn begin(&mut self, family: &Family, begun: &mut bool) {
        if std::mem::replace(begun, true) {
            return;
        }
        let open = self.format == Format::OpenMetrics;
        let base = family.name.strip_suffix("_total").unwrap_or(family.name);
        let name = if open && family.kind == Kind::Counter { base } else { family.name };
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, family.help, open);
        self.text.push('\n');
        self.line(format_args!("# TYPE {name} {}", family.kind.name()));
        if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| open && is_in(base, unit)) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    fn series(&mut self, family: &Family, values: &[String], value: &Value) {
        match value {
            Value::Count(count) => {
                self.name(family, "", values, None);
                self.line(format_args!(" {count}"));
            }
            Value::Real(real) => {
                self.name(family, "", values, None);
                self.text.push(' ');
                self.real(*real);
                self.text.push('\n');
            }
            Value::Histogram(snapshot) => self.buckets(family, values, snapshot),
        }
    }

    fn buckets(&mut self, family: &Family, values: &[String], snapshot: &Snapshot) {
        let divisor = snapshot.buckets.divisor;
        let mut below = 0;
        let bounds = snapshot.buckets.bounds.iter().map(|bound| format!("{:?}", *bound as f64 / divisor));
        for (bound, count) in bounds.chain(["+Inf".to_string()]).zip(&snapshot.counts) {
            below += count;
            self.name(family, "_bucket", values, Some(("le", &bound)));
            self.line(format_args!(" {below}"));
        }
        self.name(family, "_sum", values, None);
        self.text.push(' ');
        self.real(snapshot.sum as f64 / divisor);
        self.text.push('\n');
        self.name(family, "_count", values, None);
        self.line(format_args!(" {below}"));
    }

    fn name(&mut self, family: &Family, suffix: &str, values: &[String], more: Option<(&str, &str)>) {
        self.text.push_str(family.name);
        self.text.push_str(suffix);
        let own = family.labels.iter().copied().zip(values.iter().map(String::as_str));
        let mut before = '{';
        for (label, value) in own.chain(more) {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, value, true);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
    }

    fn real(&mut self, real: f64) {
        if real.is_infinite() {
            self.text.push_str(if real > 0.0 { "+Inf" } else { "-Inf" });
        } else {
            self.write(format_args!("{real:?}"));
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.write(text);
        self.text.push('\n');
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.text.write_fmt(text);
    }
}

/// Whether the name without `_total` ends in a unit.
fn is_in(base: &str, unit: &str) -> bool {
    base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

/// One value for all of the rest, where that makes sense.
fn folded<T>(row: &Row<T>, rest: &[Value]) -> Option<Value> {
    let reals = rest.iter().filter_map(|value| match value {
        Value::Real(real) => Some(*real),
        Value::Count(_) | Value::Histogram(_) => None,
    });
    let counts = rest.iter().filter_map(|value| match value {
        Value::Count(count) => Some(*count),
        Value::Real(_) | Value::Histogram(_) => None,
    });
    match (row.rest, rest.first()?) {
        (Rest::Nothing, _) | (_, Value::Histogram(_)) => None,
        (Rest::Sum, Value::Count(_)) => Some(Value::Count(counts.sum())),
        (Rest::Sum, Value::Real(_)) => Some(Value::Real(reals.sum())),
        (Rest::Max, Value::Count(_)) => counts.max().map(Value::Count),
        (Rest::Max, Value::Real(_)) => Some(Value::Real(reals.fold(f64::NEG_INFINITY, f64::max))),
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Buckets, Histogram};
    use crate::table::{counter, gauge, gauge_of_max, histogram};

    struct Topic {
        bytes: u64,
        age: f64,
        delays: Histogram,
    }

    const TOPICS: Table<Topic> = Table {
        labels: &["topic"],
        rows: &[
            counter("in_bytes_total", "Bytes \"in\".", |topic| Some(topic.bytes.into())),
            gauge_of_max("age_seconds", "How old.", |topic| Some(topic.age.into())),
            gauge("end", "Where.", |topic| Some(topic.bytes.into())),
            gauge("none", "Never there.", |_| None),
            histogram("delay_seconds", "Delays.", |topic| Some(topic.delays.snapshot().into())),
        ],
    };

    fn page(format: Format, series_max: usize) -> (String, u64) {
        let topic = |bytes: u64| {
            let delays = Histogram::new(Buckets { bounds: &[250_000, 1_000_000_000], divisor: 1e9 });
            delays.record(bytes);
            Topic { bytes, age: bytes as f64 / 2.0, delays }
        };
        let topics: Vec<(Vec<String>, Topic)> = [("a\"\\\n", 7), ("b", 8), ("c", 9)]
            .map(|(name, bytes)| (vec![name.into()], topic(bytes)))
            .into();
        let mut page = Page::new(format, series_max);
        page.table(&TOPICS, &topics);
        let left_out = page.left_out();
        (page.finish(), left_out)
    }

    #[test]
    fn prometheus_text_has_every_series() {
        let (text, left_out) = page(Format::Prometheus, 9);
        assert_eq!(left_out, 0);
        let begin = "# HELP in_bytes_total Bytes \"in\".\n# TYPE in_bytes_total counter\n\
            in_bytes_total{topic=\"a\\\"\\\\\\n\"} 7\nin_bytes_total{topic=\"b\"} 8\nin_bytes_total{topic=\"c\"} 9\n\
            # HELP age_seconds How old.\n# TYPE age_seconds gauge\nage_seconds{topic=\"a\\\"\\\\\\n\"} 3.5\n";
        assert!(text.starts_with(begin), "{text}");
        let end = "delay_seconds_bucket{topic=\"c\",le=\"0.00025\"} 1\ndelay_seconds_bucket{topic=\"c\",le=\"1.0\"} 1\n\
            delay_seconds_bucket{topic=\"c\",le=\"+Inf\"} 1\ndelay_seconds_sum{topic=\"c\"} 9e-9\n\
            delay_seconds_count{topic=\"c\"} 1\n";
        assert!(text.ends_with(end), "{text}");
        assert!(!text.contains("none"), "{text}");
    }

    #[test]
    fn openmetrics_text_names_counters_without_total_and_ends() {
        let (text, _) = page(Format::OpenMetrics, 9);
        let begin = "# HELP in_bytes Bytes \\\"in\\\".\n# TYPE in_bytes counter\n# UNIT in_bytes bytes\nin_bytes_total{";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.contains("# UNIT age_seconds seconds\n") && text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn things_that_are_too_many_are_one() {
        let (text, left_out) = page(Format::Prometheus, 1);
        assert!(text.contains("\nin_bytes_total{topic=\"(other)\"} 17\n"), "{text}");
        assert!(text.contains("\nage_seconds{topic=\"(other)\"} 4.5\n"), "{text}");
        assert!(!text.contains("\nend{topic=\"(other)\"}") && !text.contains("\"b\""), "{text}");
        // Of two topics an end and a histogram.
        assert_eq!(left_out, 4);
    }

    #[test]
    fn the_client_says_which_format_it_reads() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for plain in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text; q=0.2, text/plain",
        ] {
            assert_eq!(Format::accepted(plain), Format::Prometheus, "{plain}");
        }
    }
}
