//! Commands of many writes at once, and what became of each.
//!
//! A command holds one write for each key, so that their order does not matter and those behind a refused one are done too.
//! Deletions go first: what they held under a unique index may be held by others then.
//! Of several changes of a key the last one goes; where it is refused, the one before it goes in its place.

use super::options::ID;
use super::session::Session;
use crate::store::{Change, Verdict};
use base::ErrorKind;
use formats::bson::{Bson, Document};
use mongo_client::{WireError, Wired, batch, code, write_problems};
use std::collections::{HashMap, HashSet};

/// What the server has against a document, which will be no other when it is sent again; some refuse a whole command for it.
/// Anything else that it says of a write, such as that a shard cannot be reached, may be otherwise soon.
const OF_DOCUMENTS: &[i64] = &[
    2, 9, 14, 15, 28, 40, 52, 54, 55, 56, 57, 61, 66, 121, 171, 10_334, 11_000, 11_001, 12_582, 16_755,
    16_804, 17_261, 17_262, 17_280, 17_419, 17_420,
];
/// Of these, what is also said of a command that is wrong itself, as by a write concern that the servers do not know.
const OF_COMMANDS: &[i64] = &[2, 9, 14];
/// Servers take no more in one command.
const WRITES_MAX: usize = 100_000;

/// A kind of command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Insert,
    Update,
    Delete,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Insert => "insert",
            Kind::Update => "update",
            Kind::Delete => "delete",
        }
    }

    fn documents(self) -> &'static str {
        match self {
            Kind::Insert => "documents",
            Kind::Update => "updates",
            Kind::Delete => "deletes",
        }
    }
}

/// One write of a command, and which change it is of.
struct Write {
    change: usize,
    id: Bson,
    bytes: Vec<u8>,
}

fn malformed(_: impl std::fmt::Display) -> WireError {
    mongo_client::wrong("a row that waits cannot be read")
}

/// Each row as a document of its own under an `_id` that `id` gives.
pub(super) fn insert(
    session: &mut Session,
    changes: &[Change],
    id: impl Fn(&Change) -> [u8; 12],
) -> Wired<Vec<Verdict>> {
    let mut writes = Vec::with_capacity(changes.len());
    for (change, found) in changes.iter().enumerate() {
        let value = found.encoded.value.as_deref().unwrap_or_default();
        let id = Bson::ObjectId(id(found));
        let mut document = Document::new().with(ID, id.clone());
        document.0.extend(Document::from_bytes(value).map_err(malformed)?.0);
        writes.push(Write { change, id, bytes: document.to_bytes() });
    }
    let mut verdicts = vec![Verdict::Taken; changes.len()];
    for (change, verdict) in send(session, Kind::Insert, &writes)? {
        verdicts[change] = verdict;
    }
    Ok(verdicts)
}

/// Rows as the documents under their keys, and deletions.
pub(super) fn upsert(session: &mut Session, changes: &[Change]) -> Wired<Vec<Verdict>> {
    let mut by_key: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(changes.len());
    for (place, change) in changes.iter().enumerate() {
        by_key.entry(change.encoded.key.as_deref().unwrap_or_default()).or_default().push(place);
    }
    let mut verdicts = vec![Verdict::Taken; changes.len()];
    while !by_key.is_empty() {
        let (mut updates, mut deletes) = (Vec::new(), Vec::new());
        let mut last: Vec<usize> = by_key.values().filter_map(|places| places.last().copied()).collect();
        last.sort_unstable();
        for place in last {
            let write = write(place, &changes[place])?;
            if changes[place].encoded.value.is_some() { updates.push(write) } else { deletes.push(write) }
        }
        let mut problems = send(session, Kind::Delete, &deletes)?;
        problems.extend(send(session, Kind::Update, &updates)?);
        let mut again = HashMap::new();
        for (place, verdict) in problems {
            let key = changes[place].encoded.key.as_deref().unwrap_or_default();
            let Some(mut places) = by_key.remove(key) else { continue };
            match &verdict {
                // Its key has the change before it.
                Verdict::Refused(_) => {
                    verdicts[place] = verdict;
                    places.pop();
                    if !places.is_empty() {
                        again.insert(key, places);
                    }
                }
                _ => places.iter().for_each(|place| verdicts[*place] = verdict.clone()),
            }
        }
        by_key = again;
    }
    Ok(verdicts)
}

/// The write of a change by key.
fn write(change: usize, found: &Change) -> Wired<Write> {
    let key = Document::from_bytes(found.encoded.key.as_deref().unwrap_or_default()).map_err(malformed)?;
    let id = key.get(ID).cloned().unwrap_or(Bson::Null);
    let document = match found.encoded.value.as_deref() {
        None => Document::new().with("q", key).with("limit", 1),
        Some(value) => {
            let fields = Document::from_bytes(value).map_err(malformed)?;
            // Servers of before 5.0 set no empty list of fields.
            let action = if fields.is_empty() {
                Document::new().with("$setOnInsert", key.clone())
            } else {
                Document::new().with("$set", fields)
            };
            Document::new().with("q", key).with("u", action).with("upsert", true)
        }
    };
    Ok(Write { change, id, bytes: document.to_bytes() })
}

/// Sends writes; answers those that were not done.
fn send(session: &mut Session, kind: Kind, writes: &[Write]) -> Wired<Vec<(usize, Verdict)>> {
    let mut told = Vec::new();
    for some in writes.chunks(WRITES_MAX) {
        told.extend(send_some(session, kind, some)?);
    }
    Ok(told)
}

/// The same with as many as a command can have.
fn send_some(session: &mut Session, kind: Kind, writes: &[Write]) -> Wired<Vec<(usize, Verdict)>> {
    let mut rest: Vec<&Write> = writes.iter().collect();
    let mut told = Vec::new();
    let mut is_asked = false;
    while !rest.is_empty() {
        let (problems, is_whole) = send_once(session, kind, &rest, &mut is_asked)?;
        let are_none = problems.is_empty();
        let refused: HashSet<usize> = problems.iter().map(|(change, _)| *change).collect();
        told.extend(problems);
        if is_whole {
            break;
        }
        // Some servers end a command with its first refused write, and say nothing of those behind it.
        if are_none {
            return Err(mongo_client::broken(
                "the server has done fewer writes than it was sent, and does not say why",
            ));
        }
        rest.retain(|write| !refused.contains(&write.change));
    }
    Ok(told)
}

fn ask(session: &mut Session, kind: Kind, documents: &[Vec<u8>]) -> Wired<Document> {
    // What we do not wait for any more, and send again, must not be done later: it would undo what came behind it.
    let time = session.timeout() / 4 * 3;
    let command = Document::new()
        .with(kind.name(), session.collection.as_str())
        .with("ordered", false)
        .with("maxTimeMS", i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1))
        .with("writeConcern", Document::new().with("w", session.address.acknowledged_by.clone()));
    let database = session.database.clone();
    session.connection()?.bulk(&database, command, kind.documents(), documents)
}

/// Whether the server says the same no to a command that writes nothing: then it is none to a document.
fn looks_at_command(session: &mut Session, error: &WireError) -> Wired<()> {
    let nothing = Document::new().with(ID, Document::new().with("$in", Vec::<Bson>::new()));
    let nothing = Document::new().with("q", nothing).with("limit", 0).to_bytes();
    match ask(session, Kind::Delete, &[nothing]) {
        Err(said) if said.code == error.code => {
            let hint =
                format!("it takes no writes at all so; look at 'w' in {}", session.address.options.address);
            Err(mongo_client::wrong(format!("{}; {hint}", said.message)))
        }
        Err(said) if said.code == 0 => Err(said),
        _ => Ok(()),
    }
}

/// The same by one command, or in halves; also answers whether the server has said what became of each of them. `is_asked`:
/// whether it is known that a no is to documents.
fn send_once(
    session: &mut Session,
    kind: Kind,
    writes: &[&Write],
    is_asked: &mut bool,
) -> Wired<(Vec<(usize, Verdict)>, bool)> {
    let documents: Vec<Vec<u8>> = writes.iter().map(|write| write.bytes.clone()).collect();
    let answered = ask(session, kind, &documents);
    if let Err(error) = &answered
        && OF_COMMANDS.contains(&error.code)
        && !std::mem::replace(is_asked, true)
    {
        looks_at_command(session, error)?;
    }
    let answer = match answered {
        Ok(answer) => answer,
        // For one of them: which one shows when each half comes alone.
        Err(error) if OF_DOCUMENTS.contains(&error.code) && writes.len() > 1 => {
            let (left, right) = writes.split_at(writes.len() / 2);
            let (mut problems, left_is_whole) = send_once(session, kind, left, is_asked)?;
            let (more, right_is_whole) = send_once(session, kind, right, is_asked)?;
            problems.extend(more);
            return Ok((problems, left_is_whole && right_is_whole));
        }
        Err(error) if OF_DOCUMENTS.contains(&error.code) => {
            let of_key = (error.code == code::DUPLICATE_KEY).then_some(None);
            let verdict = verdict(session, kind, writes[0], error.message, of_key)?;
            return Ok((vec![(writes[0].change, verdict)], true));
        }
        // It is the server who says so, and may say otherwise soon.
        Err(error) if error.code != 0 && error.kind == ErrorKind::Unavailable => {
            let not_now = |write: &&Write| (write.change, Verdict::NotNow(error.message.clone()));
            return Ok((writes.iter().map(not_now).collect(), true));
        }
        Err(error) => return Err(error),
    };
    let connection = session.connection()?;
    let problems = write_problems(&answer).map_err(|error| connection.distrust(error))?;
    if problems.iter().any(|problem| code::NOT_PRIMARY.contains(&problem.code)) {
        connection.leave();
    }
    let done = usize::try_from(answer.number("n").unwrap_or(0)).unwrap_or(0);
    // What is deleted may not have been there; a row that is set is there, or is made.
    let is_whole = match kind {
        Kind::Delete => problems.is_empty() || answer.number("n").is_some(),
        Kind::Insert | Kind::Update => done + problems.len() >= writes.len(),
    };
    let mut told = Vec::with_capacity(problems.len());
    for problem in problems {
        let write = writes.get(problem.index).copied().ok_or_else(|| {
            mongo_client::broken("the server tells of a write that is not among those that were sent")
        })?;
        let message = format!("{} (code {})", problem.message, problem.code);
        if !OF_DOCUMENTS.contains(&problem.code) {
            told.push((write.change, Verdict::NotNow(message)));
            continue;
        }
        let of_key = (problem.code == code::DUPLICATE_KEY).then_some(problem.is_of_id);
        told.push((write.change, verdict(session, kind, write, message, of_key)?));
    }
    Ok((told, is_whole))
}

/// What it means that a write was not done. `of_key`: because a key is there already, and whether it is said to be `_id`.
fn verdict(
    session: &mut Session,
    kind: Kind,
    write: &Write,
    message: String,
    of_key: Option<Option<bool>>,
) -> Wired<Verdict> {
    let refused = Verdict::Refused(format!("the server refuses it: {message}"));
    Ok(match (kind, of_key) {
        (_, None) => refused,
        // Ids are made of places in the outbox: it was taken before. Which of several indices has complained does not say that.
        (Kind::Insert, Some(Some(true))) => Verdict::Taken,
        (Kind::Insert, Some(_)) if is_there(session, &write.id)? => Verdict::Taken,
        // Somebody else has made the document meanwhile; then it is there, and can be changed.
        (Kind::Update, Some(Some(true))) => Verdict::NotNow(message),
        _ => refused,
    })
}

fn is_there(session: &mut Session, id: &Bson) -> Wired<bool> {
    let command = Document::new()
        .with("find", session.collection.as_str())
        .with("filter", Document::new().with(ID, id.clone()))
        .with("projection", Document::new().with(ID, 1))
        .with("limit", 1)
        .with("singleBatch", true);
    Ok(!batch(session.command(command)?)?.documents.is_empty())
}
