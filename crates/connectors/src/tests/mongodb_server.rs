//! A server of MongoDB's protocol on loopback that answers commands as a test has it.

use formats::bson::Document;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A command, and the documents that stand behind it.
pub(crate) struct Asked {
    pub(crate) command: Document,
    pub(crate) documents: Vec<Document>,
}

impl Asked {
    pub(crate) fn name(&self) -> &str {
        &self.command.0[0].0
    }

    /// What is said of many documents of which some are there already: how many were new, and a problem for each other.
    pub(crate) fn but_for(&self, known: &[usize]) -> Document {
        let problem = |place: &usize| {
            let index = i32::try_from(*place).unwrap();
            let problem = Document::new().with("index", index).with("code", 11_000);
            problem.with("errmsg", "E11000 duplicate key error collection: shop.people").into()
        };
        let problems: Vec<formats::bson::Bson> = known.iter().map(problem).collect();
        done(self.documents.len() - known.len()).with("writeErrors", problems)
    }

    /// The documents in one line.
    pub(crate) fn shown(&self) -> String {
        let documents: Vec<String> = self.documents.iter().map(Document::to_json).collect();
        format!("{} {}", self.name(), documents.join(" "))
    }
}

type Say = Box<dyn FnMut(&Asked) -> Document + Send>;

#[derive(Clone)]
pub(crate) struct Mongo {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    say: Arc<Mutex<Say>>,
}

impl Mongo {
    /// What the server says to all commands but `hello`; a primary of the replica set `rs`.
    pub(crate) fn start(say: impl FnMut(&Asked) -> Document + Send + 'static) -> Mongo {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mongo = Mongo { port, asked: Arc::default(), say: Arc::new(Mutex::new(Box::new(say))) };
        let served = mongo.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let served = served.clone();
                // The client ends it.
                std::thread::spawn(move || served.serve(stream));
            }
        });
        mongo
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut head = [0; 16];
            stream.read_exact(&mut head)?;
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let mut body = vec![0; length - head.len()];
            stream.read_exact(&mut body)?;
            let asked = asked(&body);
            let answer = match asked.name() {
                "hello" => {
                    ok().with("isWritablePrimary", true).with("maxWireVersion", 13).with("setName", "rs")
                }
                _ => (self.say.lock().unwrap())(&asked),
            };
            self.asked.lock().unwrap().push(asked.shown());
            if answer == nothing() {
                return Ok(());
            }
            let mut out = vec![0; 8];
            out.extend_from_slice(&head[4..8]);
            out.extend_from_slice(&2013i32.to_le_bytes());
            out.extend_from_slice(&[0; 5]);
            answer.write(&mut out);
            let length = out.len() as u32;
            out[..4].copy_from_slice(&length.to_le_bytes());
            stream.write_all(&out)?;
        }
    }

    /// What was asked so far but for greetings and looks, in lines; it is forgotten.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.retain(|line| !line.starts_with("hello") && !line.starts_with("listCollections"));
        asked
    }
}

fn asked(body: &[u8]) -> Asked {
    let (command, length) = Document::first_of(&body[5..]).unwrap();
    let mut rest = &body[5 + length..];
    let mut documents = Vec::new();
    if !rest.is_empty() {
        let name = rest[5..].iter().position(|byte| *byte == 0).unwrap();
        rest = &rest[5 + name + 1..];
        while !rest.is_empty() {
            let (document, length) = Document::first_of(rest).unwrap();
            documents.push(document);
            rest = &rest[length..];
        }
    }
    Asked { command, documents }
}

/// No answer: the connection breaks when the command is done.
pub(crate) fn nothing() -> Document {
    Document::new()
}

pub(crate) fn ok() -> Document {
    Document::new().with("ok", 1.0)
}

/// The only batch of a cursor.
pub(crate) fn found(documents: Vec<Document>) -> Document {
    let documents: Vec<formats::bson::Bson> = documents.into_iter().map(Into::into).collect();
    ok().with("cursor", Document::new().with("firstBatch", documents).with("id", 0i64))
}

/// All writes but one were done.
pub(crate) fn problem(asked: &Asked, index: i32, code: i32, message: &str) -> Document {
    let problem = Document::new().with("index", index).with("code", code).with("errmsg", message);
    done(asked.documents.len() - 1).with("writeErrors", vec![problem.into()])
}

/// So many writes were done.
pub(crate) fn done(count: usize) -> Document {
    ok().with("n", count as i32)
}
