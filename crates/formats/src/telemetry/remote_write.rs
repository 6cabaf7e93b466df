//! Prometheus' remote-write: its messages 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`) as
//! samples, a sample as JSON, and series as a message 1.0.
//!
//! The JSON is that of prometheus-kafka-adapter: the value is a text, because it may be `NaN` or `+Inf`.

use crate::DecodeError;
use crate::json::quote;
use crate::protobuf::wire::{Fault, Input, WireType, write_bytes, write_tag, write_varint};
use crate::time_text::{Fraction, write_date, write_time};
use base::java_number::double_to_string;

/// Labels of a series; Prometheus' own limit is off unless set, and 64 are many.
const LABELS_MAX: usize = 1024;
/// Of a label: series that name long ones again and again would be compared for minutes.
const NAME_BYTES_MAX: usize = 1 << 10;
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Names and values of all series of a message.
const SYMBOLS_MAX: usize = 1 << 20;
/// By this value a series says that it has ended: one of the many that are not a number.
const STALE: u64 = 0x7ff0_0000_0000_0002;
const NAME: &str = "__name__";
/// The years 0001 to 9999: others have no text that SQL reads.
const TIMESTAMPS_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// What a message held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub samples: usize,
    /// Native histograms and exemplars have no form here.
    pub histograms: usize,
    pub exemplars: usize,
}

/// A sample and the labels of its series, ordered by name.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    pub value: f64,
    pub timestamp_ms: i64,
}

/// Gives each sample of a message to `take`, which may refuse it.
pub fn read(
    version: Version,
    message: &[u8],
    take: &mut dyn FnMut(Sample<'_>) -> Result<(), String>,
) -> Result<Counts, DecodeError> {
    let mut counts = Counts::default();
    match version {
        Version::V1 => each(Input::new(message), &mut |number, part| match number {
            1 => series(Series::of_labels(part)?, 3, 4, &mut counts, take),
            _ => Ok(()),
        })?,
        Version::V2 => {
            // They may stand behind the series that name them.
            let mut symbols = Vec::new();
            each(Input::new(message), &mut |number, part| {
                if number == 4 {
                    if symbols.len() == SYMBOLS_MAX {
                        return Err(Fault::value(format!("it has more than {SYMBOLS_MAX} symbols")));
                    }
                    symbols.push(text(&part)?);
                }
                Ok(())
            })?;
            if symbols.first().is_some_and(|first| !first.is_empty()) {
                return Err(Fault::value("the first symbol is not empty").into());
            }
            each(Input::new(message), &mut |number, part| match number {
                5 => series(Series::of_symbols(part, &symbols)?, 4, 3, &mut counts, take),
                _ => Ok(()),
            })?;
        }
    }
    Ok(counts)
}

struct Series<'a> {
    labels: Vec<(&'a str, &'a str)>,
    input: Input<'a>,
}

impl<'a> Series<'a> {
    fn of_labels(input: Input<'a>) -> Result<Series<'a>, Fault> {
        let mut labels = Vec::new();
        each(input.clone(), &mut |number, part| {
            if number != 1 {
                return Ok(());
            }
            let (mut name, mut value) = ("", "");
            each(part, &mut |number, part| {
                match number {
                    1 => name = text(&part)?,
                    2 => value = text(&part)?,
                    _ => {}
                }
                Ok(())
            })?;
            labels.push((name, value));
            at_most(labels.len())
        })?;
        Ok(Series { labels: ordered(labels)?, input })
    }

    fn of_symbols(input: Input<'a>, symbols: &[&'a str]) -> Result<Series<'a>, Fault> {
        let mut places = Vec::new();
        let mut fields = input.clone();
        while !fields.is_at_end() {
            let (number, wire) = fields.tag()?;
            match (number, wire) {
                (1, WireType::Varint) => places.push(fields.varint()?),
                (1, WireType::Bytes) => {
                    let mut packed = fields.part()?;
                    while !packed.is_at_end() {
                        places.push(packed.varint()?);
                        at_most(places.len() / 2)?;
                    }
                }
                _ => fields.skip(number, wire, 0)?,
            }
            at_most(places.len() / 2)?;
        }
        if places.len() % 2 != 0 {
            return Err(Fault::value("a label has no value"));
        }
        let symbol = |place: u64| {
            let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place));
            symbol.copied().ok_or_else(|| Fault::value(format!("there is no symbol {place}")))
        };
        let labels = places.chunks(2).map(|pair| Ok((symbol(pair[0])?, symbol(pair[1])?)));
        Ok(Series { labels: ordered(labels.collect::<Result<_, Fault>>()?)?, input })
    }
}

fn at_most(labels: usize) -> Result<(), Fault> {
    match labels > LABELS_MAX {
        true => Err(Fault::value(format!("a series has more than {LABELS_MAX} labels"))),
        false => Ok(()),
    }
}

fn ordered<'a>(mut labels: Vec<(&'a str, &'a str)>) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err(Fault::value("a label has no name"));
    }
    if labels.iter().any(|(name, value)| name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX) {
        let reason =
            format!("a label's name has more than {NAME_BYTES_MAX} bytes, or its value {VALUE_BYTES_MAX}");
        return Err(Fault::value(reason));
    }
    labels.sort_unstable();
    match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Fault::value(format!("the label '{}' stands there twice", pair[0].0))),
        None => Ok(labels),
    }
}

fn series(
    series: Series<'_>,
    exemplars: u32,
    histograms: u32,
    counts: &mut Counts,
    take: &mut dyn FnMut(Sample<'_>) -> Result<(), String>,
) -> Result<(), Fault> {
    let Series { labels, input } = series;
    each(input, &mut |number, part| {
        counts.histograms += usize::from(number == histograms);
        counts.exemplars += usize::from(number == exemplars);
        if number != 2 {
            return Ok(());
        }
        counts.samples += 1;
        let (value, timestamp_ms) = sample(part)?;
        if !TIMESTAMPS_MS.contains(&timestamp_ms) {
            return Err(Fault::value(format!("the timestamp {timestamp_ms} is in no year from 1 to 9999")));
        }
        take(Sample { labels: &labels, value, timestamp_ms }).map_err(Fault::value)
    })
}

fn sample(mut input: Input<'_>) -> Result<(f64, i64), Fault> {
    let (mut value, mut timestamp_ms) = (0.0, 0);
    while !input.is_at_end() {
        match input.tag()? {
            (1, WireType::Fixed64) => {
                value = f64::from_le_bytes(input.take(8)?.try_into().unwrap_or_default());
            }
            (2, WireType::Varint) => timestamp_ms = input.varint()? as i64,
            (number, wire) => input.skip(number, wire, 0)?,
        }
    }
    Ok((value, timestamp_ms))
}

/// Each field that holds bytes; others are left out.
fn each<'a>(
    mut input: Input<'a>,
    take: &mut dyn FnMut(u32, Input<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    while !input.is_at_end() {
        match input.tag()? {
            (number, WireType::Bytes) => take(number, input.part()?)?,
            (number, wire) => input.skip(number, wire, 0)?,
        }
    }
    Ok(())
}

fn text<'a>(part: &Input<'a>) -> Result<&'a str, Fault> {
    str::from_utf8(part.rest()).map_err(|_| Fault::value("a label is no UTF-8"))
}

impl Sample<'_> {
    fn name(&self) -> &str {
        self.labels.iter().find(|(name, _)| *name == NAME).map_or("", |(_, value)| value)
    }

    /// Whether the series says with it that it has ended.
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE
    }

    /// The series as PromQL writes it: samples of one series have one key.
    pub fn key(&self) -> String {
        let mut out = self.name().as_bytes().to_vec();
        out.push(b'{');
        for (index, (name, value)) in self.labels.iter().filter(|(name, _)| *name != NAME).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            quote(value, &mut out);
        }
        out.push(b'}');
        String::from_utf8_lossy(&out).into_owned()
    }

    pub fn to_json(&self) -> Vec<u8> {
        let mut out = b"{\"timestamp\":\"".to_vec();
        let (days, in_day) = (self.timestamp_ms.div_euclid(DAY_MS), self.timestamp_ms.rem_euclid(DAY_MS));
        write_date(days, &mut out);
        out.push(b'T');
        write_time(in_day * 1_000_000, Fraction::Shortest, false, &mut out);
        out.extend_from_slice(b"Z\",\"value\":\"");
        let value = match self.value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
            value => double_to_string(value),
        };
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\",\"name\":");
        quote(self.name(), &mut out);
        out.extend_from_slice(b",\"labels\":{");
        for (index, (name, value)) in self.labels.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            quote(name, &mut out);
            out.push(b':');
            quote(value, &mut out);
        }
        out.push(b'}');
        if self.is_stale() {
            out.extend_from_slice(b",\"stale\":true");
        }
        out.push(b'}');
        out
    }
}

/// A series of a message 1.0: labels ordered by name, and samples ordered by time.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<(f64, i64)>,
}

/// A message 1.0.
pub fn write(series: &[Written]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    for Written { labels, samples } in series {
        whole.clear();
        for (name, value) in labels {
            part.clear();
            for (number, text) in [(1, name), (2, value)] {
                write_tag(number, WireType::Bytes, &mut part);
                write_bytes(text.as_bytes(), &mut part);
            }
            write_tag(1, WireType::Bytes, &mut whole);
            write_bytes(&part, &mut whole);
        }
        for (value, timestamp_ms) in samples {
            part.clear();
            write_tag(1, WireType::Fixed64, &mut part);
            part.extend_from_slice(&value.to_le_bytes());
            write_tag(2, WireType::Varint, &mut part);
            write_varint(*timestamp_ms as u64, &mut part);
            write_tag(2, WireType::Bytes, &mut whole);
            write_bytes(&part, &mut whole);
        }
        write_tag(1, WireType::Bytes, &mut out);
        write_bytes(&whole, &mut out);
    }
    out
}
