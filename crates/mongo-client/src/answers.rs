//! What servers answer: errors, batches of cursors, what became of each write.

use crate::{WireError, Wired, broken, code};
use base::ErrorKind;
use formats::bson::{Bson, Document};

/// So many letters of a server's message are shown.
const SHOWN_LETTERS_MAX: usize = 500;

/// A part of what a cursor gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    pub documents: Vec<Document>,
    /// 0 where there is no more.
    pub cursor: i64,
    /// Of a stream of changes: behind what was given, and behind what did not concern it.
    pub resume_token: Option<Document>,
    /// The moment of the server's log at which it answered.
    pub operation_time: Option<Bson>,
}

/// A write that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteProblem {
    /// Its place in the command.
    pub index: usize,
    pub code: i64,
    pub message: String,
    /// Of a key that is there already: whether it is `_id`, where the server says so.
    pub is_of_id: Option<bool>,
}

pub(crate) fn checked(answer: Document) -> Wired<Document> {
    if answer.is_true("ok") {
        return Ok(answer);
    }
    let code = answer.number("code").unwrap_or(0);
    let name = answer.text("codeName").unwrap_or_default();
    let said = shown(answer.text("errmsg").unwrap_or("it does not say why"));
    let name = if name.is_empty() { String::new() } else { format!(", {name}") };
    let kind = match code {
        code if code::LASTING.contains(&code) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Err(WireError { kind, message: format!("the server says: {said} (code {code}{name})"), code })
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_LETTERS_MAX).collect()
}

/// The batch in an answer to a command that has a cursor.
pub fn batch(answer: Document) -> Wired<Batch> {
    let wrong = || broken("the server answers a cursor without documents");
    let mut batch = Batch::default();
    let mut inside = None;
    for (name, value) in answer.0 {
        match (name.as_str(), value) {
            ("cursor", Bson::Document(document)) => inside = Some(document),
            ("operationTime", time @ Bson::Timestamp { .. }) => batch.operation_time = Some(time),
            _ => {}
        }
    }
    let mut has_documents = false;
    for (name, value) in inside.ok_or_else(wrong)?.0 {
        match (name.as_str(), value) {
            ("firstBatch" | "nextBatch", Bson::Array(items)) => {
                has_documents = true;
                for item in items {
                    let Bson::Document(document) = item else { return Err(wrong()) };
                    batch.documents.push(document);
                }
            }
            ("id", Bson::Int64(id)) => batch.cursor = id,
            ("id", Bson::Int32(id)) => batch.cursor = id.into(),
            ("postBatchResumeToken", Bson::Document(token)) => batch.resume_token = Some(token),
            _ => {}
        }
    }
    if has_documents { Ok(batch) } else { Err(wrong()) }
}

/// The writes of a command that were not done; an error where none of them may count as done.
pub fn write_problems(answer: &Document) -> Wired<Vec<WriteProblem>> {
    if let Some(concern) = answer.document("writeConcernError") {
        let said = shown(concern.text("errmsg").unwrap_or_default());
        let code = concern.number("code").unwrap_or(0);
        let message = format!("the server has not made sure of what it wrote: {said} (code {code})");
        return Err(WireError { kind: ErrorKind::Unavailable, message, code });
    }
    let wrong = || broken("the server does not say what became of each write");
    let mut problems = Vec::new();
    for problem in answer.array("writeErrors").unwrap_or_default() {
        let Bson::Document(problem) = problem else { return Err(wrong()) };
        let index =
            problem.number("index").and_then(|index| usize::try_from(index).ok()).ok_or_else(wrong)?;
        let message = shown(problem.text("errmsg").unwrap_or_default());
        let by_pattern =
            problem.document("keyPattern").map(|key| key.0.len() == 1 && key.get("_id").is_some());
        let by_name = message.split_once("index: ").and_then(|(_, name)| is_of_id(name));
        problems.push(WriteProblem {
            index,
            code: problem.number("code").unwrap_or(0),
            is_of_id: by_pattern.or(by_name),
            message,
        });
    }
    Ok(problems)
}

/// Whether the index whose name stands here is that of `_id`; other ones may be named alike, and then nothing is known.
fn is_of_id(name: &str) -> Option<bool> {
    match name.strip_prefix("_id_") {
        None => Some(false),
        Some(behind) => (behind.is_empty() || behind.starts_with(' ')).then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_servers_words_and_say_whether_to_try_again() {
        let answer = |code: i32| {
            Document::new().with("ok", 0.0).with("errmsg", "no").with("code", code).with("codeName", "Name")
        };
        let error = checked(answer(13)).unwrap_err();
        assert_eq!((error.kind, error.code), (ErrorKind::Invalid, 13));
        assert_eq!(error.message, "the server says: no (code 13, Name)");
        assert_eq!(checked(answer(10_107)).unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(checked(answer(40_576)).unwrap_err().kind, ErrorKind::Invalid);
        assert!(checked(Document::new().with("ok", 1)).is_ok());
        assert!(checked(Document::new()).is_err());
    }

    #[test]
    fn batches_are_taken_apart() {
        let token = Document::new().with("_data", "82");
        let cursor = Document::new()
            .with("nextBatch", vec![Document::new().with("a", 1).into()])
            .with("id", 7i64)
            .with("postBatchResumeToken", token.clone());
        let time = Bson::Timestamp { seconds: 1, increment: 2 };
        let answer = Document::new().with("cursor", cursor).with("operationTime", time.clone());
        let found = batch(answer).unwrap();
        assert_eq!(found.documents, [Document::new().with("a", 1)]);
        assert_eq!((found.cursor, found.resume_token, found.operation_time), (7, Some(token), Some(time)));
        assert!(batch(Document::new().with("cursor", Document::new().with("id", 0))).is_err());
        assert!(batch(Document::new()).is_err());
    }

    #[test]
    fn writes_that_were_not_done_are_told_one_by_one() {
        let problem = |index: i32, message: &str| {
            Document::new().with("index", index).with("code", 11_000).with("errmsg", message)
        };
        let answer = Document::new().with(
            "writeErrors",
            vec![
                problem(0, "E11000 duplicate key error collection: a.b index: _id_ dup key").into(),
                problem(1, "E11000 … index: n_1 dup key")
                    .with("keyPattern", Document::new().with("_id", 1))
                    .into(),
                problem(2, "E11000 … index: n_1 dup key").into(),
                problem(3, "E11000 duplicate key error collection: a.b").into(),
                problem(4, "E11000 … index: _id_shop_1 dup key").into(),
                problem(5, "E11000 … index: _id_").into(),
            ],
        );
        let of_id: Vec<_> = write_problems(&answer).unwrap().into_iter().map(|one| one.is_of_id).collect();
        assert_eq!(of_id, [Some(true), Some(true), Some(false), None, None, Some(true)]);
        let unsure = Document::new().with("writeConcernError", Document::new().with("code", 64));
        assert_eq!(write_problems(&unsure).unwrap_err().kind, ErrorKind::Unavailable);
        assert!(write_problems(&Document::new().with("writeErrors", vec![Bson::Null])).is_err());
    }
}
