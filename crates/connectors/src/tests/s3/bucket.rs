//! A bucket in memory: objects, uploads in parts, puts on a condition, and calls that fail when a test says so.

use crate::percent::percent_decoded;
use crate::service::testing::{Answer, Asked, Served};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(in crate::tests) struct Memory {
    served: Served,
    pub(in crate::tests) state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(in crate::tests) struct State {
    pub objects: BTreeMap<String, Object>,
    /// By id: the key and the parts.
    pub uploads: BTreeMap<String, (String, BTreeMap<usize, Vec<u8>>)>,
    /// The method and the path of each call.
    pub calls: Vec<String>,
    /// The call of this number is refused, and all behind it: before it is done, or when it was.
    pub fails_at: Option<(usize, Fails)>,
    /// So many puts on a condition find others that are under way.
    pub conflicts: usize,
    /// Lists begin at the first key, whatever is asked for.
    pub ignores_start: bool,
    /// Connections end without an answer where an object is asked for.
    pub is_cut: bool,
    next: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tests) enum Fails {
    Before,
    Behind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tests) struct Object {
    pub bytes: Vec<u8>,
    pub tag: String,
    pub modified: String,
}

type Done = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn refused(status: u16, code: &str) -> Done {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    (status, Vec::new(), body.into_bytes())
}

fn xml(text: String) -> Done {
    (200, Vec::new(), text.into_bytes())
}

impl Memory {
    pub(in crate::tests) fn start() -> Memory {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let served = Served::start_with(move |asked| -> Answer {
            let mut state = shared.lock().unwrap();
            if state.is_cut && asked.head.contains("range: ") {
                return None;
            }
            let number = state.calls.len();
            let line = asked.head.split(" HTTP/").next().unwrap().to_string();
            state.calls.push(line);
            let denied = || Some(refused(403, "AccessDenied"));
            match state.fails_at {
                Some((at, _)) if number > at => denied(),
                Some((at, Fails::Before)) if number == at => denied(),
                Some((at, Fails::Behind)) if number == at => {
                    state.answer(asked);
                    denied()
                }
                _ => Some(state.answer(asked)),
            }
        });
        Memory { served, state }
    }

    pub(in crate::tests) fn url(&self) -> String {
        self.served.url.clone()
    }

    pub(in crate::tests) fn put(&self, key: &str, bytes: &[u8]) {
        self.state.lock().unwrap().put(key, bytes.to_vec());
    }

    /// What readers see: objects that are not hidden.
    pub(in crate::tests) fn seen(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state.lock().unwrap();
        let is_seen = |key: &str| !key.rsplit('/').next().unwrap().starts_with(['.', '_']);
        let all = state.objects.iter().filter(|(key, _)| is_seen(key));
        all.map(|(key, object)| (key.clone(), object.bytes.clone())).collect()
    }
}

impl State {
    pub(in crate::tests) fn put(&mut self, key: &str, bytes: Vec<u8>) {
        self.next += 1;
        let modified = format!("2026-11-29T12:{:02}:{:02}.000Z", self.next / 60 % 60, self.next % 60);
        self.objects.insert(key.to_string(), Object { bytes, tag: format!("\"{}\"", self.next), modified });
    }

    fn answer(&mut self, asked: &Asked) -> Done {
        let mut words = asked.head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<String, String> = (query.split('&').filter(|part| !part.is_empty()))
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (name.to_string(), percent_decoded(value).unwrap()))
            .collect();
        let path = percent_decoded(path).unwrap();
        let Some(key) = path.strip_prefix("/orders/") else { return refused(404, "NoSuchBucket") };
        let header = |name: &str| {
            let mut lines = asked.head.split("\r\n");
            lines.find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_string))
        };
        let of = |name: &str| query.get(name).cloned().unwrap_or_default();
        let is_new = |state: &State| header("if-none-match").is_none() || !state.objects.contains_key(key);
        match method {
            "GET" if query.contains_key("uploads") => {
                let prefix = of("prefix");
                let uploads = self.uploads.iter().filter(|(_, (key, _))| key.starts_with(&prefix));
                let uploads: String = uploads
                    .map(|(id, (key, _))| {
                        format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
                    })
                    .collect();
                xml(format!("<R>{uploads}<IsTruncated>false</IsTruncated></R>"))
            }
            "GET" if key.is_empty() => {
                let (prefix, behind, count) =
                    (of("prefix"), of("start-after"), of("max-keys").parse::<usize>().unwrap());
                let mut all: Vec<(&String, &Object)> = self
                    .objects
                    .iter()
                    .filter(|(key, _)| key.starts_with(&prefix))
                    .filter(|(key, _)| self.ignores_start || **key > behind)
                    .collect();
                let is_truncated = all.len() > count;
                all.truncate(count);
                let all: String = all
                    .into_iter()
                    .map(|(key, object)| {
                        let Object { bytes, tag, modified } = object;
                        let key = key.replace('%', "%25").replace('=', "%3D");
                        format!(
                            "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{tag}</ETag><LastModified>{modified}</LastModified></Contents>",
                            bytes.len()
                        )
                    })
                    .collect();
                xml(format!(
                    "<R><EncodingType>url</EncodingType>{all}<IsTruncated>{is_truncated}</IsTruncated></R>"
                ))
            }
            "GET" => {
                let Some(object) = self.objects.get(key) else { return refused(404, "NoSuchKey") };
                if header("if-match").is_some_and(|tag| tag != object.tag) {
                    return refused(412, "PreconditionFailed");
                }
                let range = header("range").unwrap();
                let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                (206, Vec::new(), object.bytes[from..object.bytes.len().min(to + 1)].to_vec())
            }
            "PUT" if query.contains_key("partNumber") => {
                let Some((_, parts)) = self.uploads.get_mut(&of("uploadId")) else {
                    return refused(404, "NoSuchUpload");
                };
                parts.insert(of("partNumber").parse().unwrap(), asked.body.clone());
                (200, vec![("ETag", format!("\"{}-{}\"", of("uploadId"), of("partNumber")))], Vec::new())
            }
            "PUT" if self.conflicts > 0 && header("if-none-match").is_some() => {
                self.conflicts -= 1;
                let code = if self.conflicts.is_multiple_of(2) {
                    "ConditionalRequestConflict"
                } else {
                    "OperationAborted"
                };
                refused(409, code)
            }
            "PUT" if is_new(self) => {
                self.put(key, asked.body.clone());
                (200, Vec::new(), Vec::new())
            }
            "POST" if query.contains_key("uploads") => {
                self.next += 1;
                let id = format!("upload-{}", self.next);
                self.uploads.insert(id.clone(), (key.to_string(), BTreeMap::new()));
                xml(format!("<R><UploadId>{id}</UploadId></R>"))
            }
            "POST" if !self.uploads.contains_key(&of("uploadId")) => refused(404, "NoSuchUpload"),
            "POST" if is_new(self) => {
                let (_, parts) = self.uploads.remove(&of("uploadId")).unwrap();
                let named = String::from_utf8(asked.body.clone()).unwrap();
                assert_eq!(named.matches("<PartNumber>").count(), parts.len(), "{named}");
                self.put(key, parts.into_values().flatten().collect());
                xml("<R/>".into())
            }
            "PUT" | "POST" => refused(412, "PreconditionFailed"),
            "DELETE" if query.contains_key("uploadId") => match self.uploads.remove(&of("uploadId")) {
                Some(_) => (204, Vec::new(), Vec::new()),
                None => refused(404, "NoSuchUpload"),
            },
            _ => {
                self.objects.remove(key);
                (204, Vec::new(), Vec::new())
            }
        }
    }
}
