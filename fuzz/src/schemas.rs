//! The schema registry: requests as HTTP brings them, with schemas in all three languages.

use crate::log::small_log;
use eventlog::{Committer, Recovery};
use os::sim::SimOs;
use registry::{Request, SchemaRegistry};

/// A request is `METHOD path?query`, then its body; requests are separated by zero bytes.
const REQUESTS_MAX: usize = 4;

pub fn ask(data: &[u8]) {
    let sim = SimOs::new(1);
    let mut recovery = Recovery::open(&sim.os(), small_log(Committer::Thread)).expect("an empty disk");
    recovery.replay(&mut |_, _| Ok(())).expect("nothing to replay");
    let log = recovery.start(Vec::new()).expect("a log");
    let registry = SchemaRegistry::new(log, sim.os(), "cluster".into(), "0.1".into());
    for request in data.split(|byte| *byte == 0).take(REQUESTS_MAX) {
        let line_end = request.iter().position(|byte| *byte == b'\n').unwrap_or(request.len());
        let (line, body) = request.split_at(line_end);
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let (method, target) = line.split_once(' ').unwrap_or((line, ""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let answer = registry.answer(&Request {
            method: method.into(),
            path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            query: query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            body: body.get(1..).unwrap_or_default().to_vec(),
            ..Request::default()
        });
        assert!((200..600).contains(&answer.status), "status={}", answer.status);
        assert_ne!(answer.status, 500, "the registry blames itself: {}", answer.body);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "POST subjects/a/versions\n{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":\
         [{\\\"name\\\":\\\"a\\\",\\\"type\\\":[\\\"null\\\",\\\"long\\\"],\\\"default\\\":null}]}\"}\0POST \
         compatibility/subjects/a/versions/latest?verbose=true\n{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\
         \\\"R\\\",\\\"fields\\\":[]}\"}\0GET subjects/a/versions/1",
        "POST subjects/b/versions\n{\"schemaType\":\"JSON\",\"schema\":\"{\\\"type\\\":\\\"object\\\",\\\"properties\\\":\
         {\\\"a\\\":{\\\"$ref\\\":\\\"#/definitions/x\\\"}},\\\"definitions\\\":{\\\"x\\\":{\\\"type\\\":\\\"integer\\\"}}}\"}\0\
         POST subjects/b/versions\n{\"schemaType\":\"JSON\",\"schema\":\"{\\\"oneOf\\\":[{\\\"type\\\":\\\"string\\\"},true]}\"}",
        "POST subjects/c/versions\n{\"schemaType\":\"PROTOBUF\",\"schema\":\"syntax = \\\"proto3\\\"; package p; message M \
         { repeated int32 a = 1; map<string, M> b = 2; oneof c { string d = 3; E e = 4; } enum E { ZERO = 0; } }\"}\0POST \
         subjects/c/versions\n{\"schemaType\":\"PROTOBUF\",\"schema\":\"syntax = \\\"proto2\\\"; message M { required \
         bytes a = 1; extensions 100 to 199; reserved 2; }\"}",
        "PUT config/a\n{\"compatibility\":\"FULL_TRANSITIVE\"}\0PUT mode?force=true\n{\"mode\":\"IMPORT\"}\0GET schemas?\
         subjectPrefix=a&deleted=true\0DELETE subjects/a?permanent=true",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
