//! Reads the tables on its own and makes the bytes of random messages from them, so that the generated
//! code is compared with a second reading of the same tables.

use std::path::PathBuf;

/// A small deterministic generator (splitmix64): equal seeds give equal messages.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[derive(Clone, Debug)]
struct Field {
    type_name: String,
    array: bool,
    versions: (i16, i16),
    nullable: Option<(i16, i16)>,
    tag: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub message: String,
    pub versions: (i16, i16),
    flexible_from: Option<i16>,
    fields: Vec<Field>,
    structs: Vec<(String, Vec<Field>)>,
}

fn range(text: &str, whole: (i16, i16)) -> (i16, i16) {
    let (first, last) = text.split_once("..").unwrap_or_default();
    (first.parse().unwrap_or(whole.0), last.parse().unwrap_or(whole.1))
}

/// The crate's folder in this checkout; what was built in another one and kept must not look there.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is").into()
}

/// All tables, by the name of their message.
pub fn all() -> Vec<Table> {
    let directory = package().join("tables");
    let files = std::fs::read_dir(directory).expect("the crate has tables");
    let mut tables: Vec<Table> = files
        .map(|file| parse(&std::fs::read_to_string(file.expect("a file").path()).expect("a text")))
        .collect();
    tables.sort_by(|left, right| left.message.cmp(&right.message));
    tables
}

fn parse(text: &str) -> Table {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let head: Vec<&str> = lines.next().expect("a first line").split(' ').collect();
    let after = |word: &str| {
        let at = head.iter().position(|other| *other == word).expect("the word is there");
        head[at + 1]
    };
    let suffix = match head[0] {
        "request" => "Request",
        "response" => "Response",
        _ => "",
    };
    let versions = range(after("versions"), (0, 0));
    let flexible_from = (after("flexible") != "none").then(|| range(after("flexible"), versions).0);
    let mut table =
        Table { message: format!("{}{suffix}", head[1]), versions, flexible_from, ..Table::default() };
    // For each depth of indentation the name of the struct whose fields stand there.
    let mut path: Vec<String> = vec![String::new()];
    let mut common = 0;
    for line in lines {
        if let Some(name) = line.strip_prefix("struct ") {
            path = vec![name.to_owned()];
            common = 1;
            continue;
        }
        let depth = (line.len() - line.trim_start().len()) / 2 - common;
        path.truncate(depth + 1);
        let words: Vec<&str> = line.trim().split(' ').collect();
        let always_nullable = words[1].ends_with('?');
        let bare = words[1].trim_end_matches('?');
        let field_versions = range(words[2], versions);
        let option = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
        let nullable = option("nullable").map(|text| range(text, versions));
        let field = Field {
            type_name: bare.trim_matches(['[', ']']).to_owned(),
            array: bare.starts_with('['),
            versions: field_versions,
            nullable: nullable.or(always_nullable.then_some(field_versions)),
            tag: option("tag").map(|tag| tag.parse().expect("a number")),
        };
        let type_name = field.type_name.clone();
        let owner = path.last().expect("an owner").clone();
        if owner.is_empty() {
            table.fields.push(field);
        } else if let Some((_, fields)) = table.structs.iter_mut().find(|(name, _)| *name == owner) {
            fields.push(field);
        } else {
            table.structs.push((owner, vec![field]));
        }
        path.push(type_name);
    }
    table
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u32) {
    while value >= 128 {
        out.push((value % 128) as u8 + 128);
        value /= 128;
    }
    out.push(value as u8);
}

impl Table {
    /// The bytes of a random message, as its only valid encoding.
    pub fn random_bytes(&self, version: i16, random: &mut Random) -> Vec<u8> {
        let mut out = Vec::new();
        self.put_struct(&mut out, &self.fields, version, random);
        out
    }

    fn flexible(&self, version: i16) -> bool {
        self.flexible_from.is_some_and(|first| version >= first)
    }

    fn put_struct(&self, out: &mut Vec<u8>, fields: &[Field], version: i16, random: &mut Random) {
        let present = |field: &&Field| (field.versions.0..=field.versions.1).contains(&version);
        for field in fields.iter().filter(|field| field.tag.is_none()).filter(present) {
            let nullable = field.nullable.is_some_and(|(first, last)| (first..=last).contains(&version));
            self.put_field(out, field, nullable, version, random);
        }
        if !self.flexible(version) {
            return;
        }
        let mut tagged: Vec<&Field> =
            fields.iter().filter(|field| field.tag.is_some()).filter(present).collect();
        tagged.sort_by_key(|field| field.tag);
        tagged.retain(|_| random.chance());
        put_unsigned(out, tagged.len() as u32);
        for field in tagged {
            // A tagged field is left out at its default; these values are never a default.
            let mut value = Vec::new();
            self.put_field(&mut value, field, false, version, random);
            put_unsigned(out, field.tag.expect("it is tagged"));
            put_unsigned(out, value.len() as u32);
            out.extend_from_slice(&value);
        }
    }

    fn put_length(&self, out: &mut Vec<u8>, length: i64, wide: bool, version: i16) {
        match (self.flexible(version), wide) {
            (true, _) => put_unsigned(out, (length + 1) as u32),
            (false, true) => out.extend_from_slice(&(length as i32).to_be_bytes()),
            (false, false) => out.extend_from_slice(&(length as i16).to_be_bytes()),
        }
    }

    fn put_field(&self, out: &mut Vec<u8>, field: &Field, nullable: bool, version: i16, random: &mut Random) {
        let null = nullable && random.chance();
        if field.array {
            if null {
                return self.put_length(out, -1, true, version);
            }
            let count = if field.tag.is_some() { 1 } else { random.below(4) };
            self.put_length(out, count as i64, true, version);
            (0..count).for_each(|_| self.put_value(out, field, version, random));
        } else if matches!(field.type_name.as_str(), "string" | "bytes" | "records") {
            match null {
                true => self.put_length(out, -1, field.type_name != "string", version),
                false => self.put_value(out, field, version, random),
            }
        } else {
            if field.nullable.is_some() {
                out.push(if null { 0xff } else { 1 });
            }
            if !null {
                self.put_value(out, field, version, random);
            }
        }
    }

    fn put_value(&self, out: &mut Vec<u8>, field: &Field, version: i16, random: &mut Random) {
        // From 1 to 100, so that no value is a default.
        let number = random.below(100) as u8 + 1;
        let number_bytes = match field.type_name.as_str() {
            "bool" => return out.push(1),
            "int8" => 1,
            "int16" | "uint16" => 2,
            "int32" | "uint32" => 4,
            "int64" | "float64" => 8,
            "uuid" => 16,
            "string" => {
                let text = &"größer als nichts"[..[1, 2, 6, 19][random.below(4)]];
                self.put_length(out, text.len() as i64, false, version);
                return out.extend_from_slice(text.as_bytes());
            }
            "bytes" | "records" => {
                // Now and then large enough to become a chunk of its own.
                let length = [0, 1, 130, 5000][random.below(4)];
                self.put_length(out, length, true, version);
                return out.extend((0..length).map(|at| at as u8));
            }
            name => {
                let (_, fields) =
                    self.structs.iter().find(|(other, _)| other == name).expect("the struct is declared");
                return self.put_struct(out, fields, version, random);
            }
        };
        out.extend(vec![0; number_bytes - 1]);
        out.push(number);
    }
}
