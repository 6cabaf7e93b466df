//! What is written is read back, whatever it is; and no bytes, however mutated, do harm.

use super::*;
use os::sim::SplitMix;
use proptest::prelude::*;

/// A JSON value of one row of [`every_type`]; texts may hold anything.
fn row_text() -> impl Strategy<Value = String> {
    let text = || proptest::option::of(any::<String>());
    let numbers = (
        any::<Option<i32>>(),
        any::<Option<i64>>(),
        any::<Option<i8>>(),
        any::<Option<i16>>(),
        any::<Option<f32>>(),
        any::<Option<f64>>(),
        any::<Option<bool>>(),
    );
    let rest = (
        proptest::option::of(-9_999_999_999i64..=9_999_999_999),
        proptest::option::of(-700_000i64..2_900_000),
        proptest::option::of(0i64..86_400_000),
        proptest::collection::vec(text(), 0..4),
        proptest::collection::btree_map(any::<String>(), any::<Option<i32>>(), 0..4),
        text(),
        proptest::collection::vec(any::<u8>(), 0..9),
    );
    (text(), numbers, rest).prop_map(|(k, (i, b, t, s, f, d, bo), (de, da, ti, a, m, y, by))| {
        let quote = |text: &Option<String>| match text {
            Some(text) => {
                let mut out = Vec::new();
                crate::json::quote(text, &mut out);
                String::from_utf8(out).unwrap()
            }
            None => "null".into(),
        };
        let number = |number: Option<String>| number.unwrap_or("null".into());
        let date = |days: i64| {
            let mut out = Vec::new();
            crate::time_text::write_date(days, &mut out);
            String::from_utf8(out).unwrap()
        };
        let mut bytes = Vec::new();
        crate::base64::encode(&by, &mut bytes);
        format!(
            r#"{{"k":{},"i":{},"b":{},"t":{},"s":{},"f":{},"d":{},"bo":{},"st":{},"de":{},"da":{},"ti":{},"ts":{},"tl":{},"by":"{}","a":[{}],"m":{{{}}},"r":{{"x":{},"y":{}}}}}"#,
            quote(&k),
            number(i.map(|n| n.to_string())),
            number(b.map(|n| n.to_string())),
            number(t.map(|n| n.to_string())),
            number(s.map(|n| n.to_string())),
            number(f.filter(|n| n.is_finite()).map(base::java_number::float_to_string)),
            number(d.filter(|n| n.is_finite()).map(base::java_number::double_to_string)),
            number(bo.map(|n| n.to_string())),
            quote(&y),
            number(de.map(|n| format!("{}e-2", n))),
            number(da.map(|days| format!("\"{}\"", date(days)))),
            number(ti.map(|ms| format!("\"{:02}:{:02}:{:02}.{:03}\"", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000))),
            number(da.map(|days| format!("\"{} 01:02:03.004\"", date(days)))),
            number(da.map(|days| format!("\"{} 01:02:03.000004Z\"", date(days)))),
            String::from_utf8(bytes).unwrap(),
            a.iter().map(quote).collect::<Vec<_>>().join(","),
            m.iter()
                .map(|(key, value)| format!("{}:{}", quote(&Some(key.clone())), number(value.map(|n| n.to_string()))))
                .collect::<Vec<_>>()
                .join(","),
            number(i.map(|n| n.to_string())),
            quote(&y),
        )
    })
}

fn decode_all(
    kind: FormatKind,
    given: &[(&str, &str)],
    schema: &SchemaRef,
    records: &[Vec<u8>],
) -> RecordBatch {
    let mut decoder = decoder(kind, given, schema);
    for record in records {
        decoder.decode(record).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(record)));
    }
    decoder.finish().unwrap()
}

fn encode_all(kind: FormatKind, given: &[(&str, &str)], rows: &RecordBatch) -> Vec<Vec<u8>> {
    let mut encoder = kind.encoder(&options(kind, given), &rows.schema(), &Surroundings::default()).unwrap();
    let encode = |row| {
        let mut out = Vec::new();
        encoder.encode(rows, row, &mut out).unwrap();
        out
    };
    (0..rows.num_rows()).map(encode).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_back(rows in proptest::collection::vec(row_text(), 1..6)) {
        let records: Vec<Vec<u8>> = rows.into_iter().map(String::into_bytes).collect();
        let schema = every_type();
        let rows = decode_all(FormatKind::Json, &[], &schema, &records);
        prop_assert_eq!(rows.num_rows(), records.len());
        for given in [&[][..], &[("encode.decimal-as-plain-number", "true"), ("timestamp-format.standard", "ISO-8601")]] {
            let written = encode_all(FormatKind::Json, given, &rows);
            prop_assert_eq!(&decode_all(FormatKind::Json, given, &schema, &written), &rows);
        }
    }

    #[test]
    fn csv_comes_back(rows in proptest::collection::vec(row_text(), 1..6), delimiter in "[,;|\t]", escape: bool) {
        let records: Vec<Vec<u8>> = rows.into_iter().map(String::into_bytes).collect();
        // CSV holds no map; and elements of arrays must not contain their delimiter, so arrays are left out.
        let schema = Arc::new(every_type().project(&(0..15).collect::<Vec<_>>()).unwrap());
        let rows = decode_all(FormatKind::Json, &[], &schema, &records);
        let mut given = vec![("field-delimiter", delimiter.as_str()), ("null-literal", "\u{1}NULL")];
        if escape {
            given.push(("escape-character", "\\"));
        }
        let written = encode_all(FormatKind::Csv, &given, &rows);
        prop_assert_eq!(&decode_all(FormatKind::Csv, &given, &schema, &written), &rows);
        // And through a file.
        let mut file: Vec<u8> = Vec::new();
        for record in &written {
            file.extend_from_slice(record);
            file.push(b'\n');
        }
        let mut splitter = decoder(FormatKind::Csv, &given, &schema).splitter();
        let mut rest = file.as_slice();
        let mut parted = Vec::new();
        while let Some(end) = splitter.find_end(rest) {
            parted.push(rest[..end - 1].to_vec());
            rest = &rest[end..];
        }
        prop_assert_eq!(parted, written);
    }

    #[test]
    fn avro_comes_back(rows in proptest::collection::vec(row_text(), 1..6)) {
        let records: Vec<Vec<u8>> = rows.into_iter().map(String::into_bytes).collect();
        let schema = every_type();
        let rows = decode_all(FormatKind::Json, &[], &schema, &records);
        for encoding in ["binary", "json"] {
            let given = [("timestamp_mapping.legacy", "false"), ("encoding", encoding)];
            let written = encode_all(FormatKind::Avro, &given, &rows);
            prop_assert_eq!(&decode_all(FormatKind::Avro, &given, &schema, &written), &rows);
        }
    }

    #[test]
    fn dates_come_back(days in -4_000_000i64..100_000_000) {
        let mut text = Vec::new();
        crate::time_text::write_date(days, &mut text);
        // Years of more than six digits are not read.
        let read = crate::time_text::parse_date(&text);
        prop_assert_eq!(read.map(i64::from), Some(days), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn integers_as_the_standard_library_reads_them(text in "[-+]?[0-9]{0,22}") {
        let read = crate::number_text::parse_integer(text.as_bytes(), i64::MIN, i64::MAX);
        prop_assert_eq!(read, text.parse::<i64>().ok());
    }
}

/// A generator of its own, so that every run sees the same bytes.
struct Mixer(SplitMix);

impl Mixer {
    fn next(&mut self) -> usize {
        (self.0.next_u64() >> 16) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, mixer: &mut Mixer) {
    const TELLING: &[u8] = b"\"\\{}[],:0-9eEtfnu+.\xff\xc3\0\n;'#";
    for _ in 0..1 + mixer.next() % 4 {
        let at = mixer.next() % (bytes.len() + 1);
        let byte = TELLING[mixer.next() % TELLING.len()];
        match mixer.next() % 5 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {
                let from = mixer.next() % (bytes.len() + 1);
                let piece = bytes[from..(from + mixer.next() % 20).min(bytes.len())].to_vec();
                let at = at.min(bytes.len());
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Decodes mutations of records; after every few, the batch must be what the good records alone give.
pub(super) fn fuzz(
    kind: FormatKind,
    given: &[(&str, &str)],
    schema: &SchemaRef,
    seeds: &[&[u8]],
    rounds: usize,
) {
    fuzz_with(&|| decoder(kind, given, schema), seeds, rounds);
}

pub(super) fn fuzz_with(make: &dyn Fn() -> Box<dyn RowDecoder>, seeds: &[&[u8]], rounds: usize) {
    let mut mixer = Mixer(SplitMix(7));
    let (mut decoder, mut alone) = (make(), make());
    let mut kept = 0;
    for round in 0..rounds {
        let mut record = seeds[mixer.next() % seeds.len()].to_vec();
        mutate(&mut record, &mut mixer);
        let before = decoder.len();
        if decoder.decode(&record).is_ok() && decoder.len() > before {
            alone.decode(&record).unwrap();
            kept += 1;
        }
        if round % 16 == 0 {
            let rows = decoder.finish().unwrap();
            assert_eq!(rows, alone.finish().unwrap());
            rows.columns().iter().for_each(|column| column.to_data().validate_full().unwrap());
        }
    }
    assert!(kept > rounds / 100 && kept < rounds, "kept={kept}");
}

#[test]
fn mutated_json_does_no_harm() {
    let seeds: &[&[u8]] = &[
        br#"{"k":"b\u00e9\ud83d\ude00","i":1,"b":-2,"t":3,"s":4,"f":1.5,"d":2.5e3,"bo":true,"st":{"a":[1,2.5,null]},"de":12.345,"da":"2013-01-01","ti":"05:00:00.123"}"#,
        br#"{"ts":"2013-01-01 05:00:00.5","tl":"2013-01-01 05:00:00Z","by":"AQID","a":["p",null,"q"],"m":{"k1":1,"k2":null},"r":{"x":1,"y":"z"},"other":{"x":[[],{}]}}"#,
        "{\"k\":\"é😀\",\"st\":[ 1 , true ]}".as_bytes(),
    ];
    for given in [&[][..], &[("ignore-parse-errors", "true")]] {
        fuzz(FormatKind::Json, given, &every_type(), seeds, 60_000);
    }
}

#[test]
fn mutated_csv_does_no_harm() {
    let schema = schema_of(vec![
        column("k", DataType::Utf8),
        column("i", DataType::Int32),
        column("de", DataType::Decimal128(10, 2)),
        column("ts", timestamp(TimeUnit::Millisecond)),
        column("a", array_of(DataType::Int32)),
        column("r", row_of(vec![column("x", DataType::Int32), column("y", DataType::Utf8)])),
    ]);
    let seeds: &[&[u8]] = &[
        b"\"q\"\"u\\o\nte\",1,12.345,2013-01-01 05:00:00,1;2,3;z",
        "é,,1e3,\"2013-01-01 05:00:00.1\",,;".as_bytes(),
    ];
    for given in
        [&[][..], &[("ignore-parse-errors", "true")], &[("escape-character", "\\"), ("null-literal", "")]]
    {
        fuzz(FormatKind::Csv, given, &schema, seeds, 60_000);
    }
}

#[test]
fn a_splitter_finds_the_same_records_however_the_bytes_arrive() {
    let mut mixer = Mixer(SplitMix(3));
    for _ in 0..3000 {
        let mut file = b"a,\"b\n\"\"c\",d\n#x\"\n\"e\\\"\n\",f\n".to_vec();
        mutate(&mut file, &mut mixer);
        let whole = parted(&file, file.len().max(1));
        for chunk in [1, 2, 5] {
            assert_eq!(parted(&file, chunk), whole, "{}", file.escape_ascii());
        }
    }
}

fn parted(file: &[u8], chunk: usize) -> Vec<Vec<u8>> {
    let mut splitter = crate::RecordSplitter::quoted(b'"', b',', Some(b'\\'), true);
    let (mut records, mut buffer) = (Vec::new(), Vec::new());
    for piece in file.chunks(chunk) {
        buffer.extend_from_slice(piece);
        while let Some(end) = splitter.find_end(&buffer) {
            records.push(buffer[..end].to_vec());
            buffer.drain(..end);
        }
    }
    records.push(buffer);
    records
}
