//! The stage at real senders of syslog: rsyslog, which forwards over UDP, TCP and TLS in the forms of both RFCs, and logger of
//! util-linux, which sends by itself.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::job::{Job, LIMIT, wait_until};
use crate::counts::Counts;
use crate::kafka::lasting_ports;
use crate::process::{self, Group};
use crate::{certificates, peers};

/// By each way, of each sender.
const COUNT: usize = 20;

pub fn run() -> Result<Counts> {
    peers::install(&["debian".to_owned()])?;
    let scratch = tempfile::tempdir()?;
    let mut counts = Counts::default();
    counts.check("syslog: what rsyslog forwards", forwarded(scratch.path()));
    counts.check("syslog: what logger sends", sent(scratch.path()));
    Ok(counts)
}

fn sql(listen: &str, options: &str) -> String {
    let columns = "message STRING, facility INT METADATA VIRTUAL, severity INT METADATA VIRTUAL, hostname STRING METADATA VIRTUAL, \
                   app STRING METADATA FROM 'app-name' VIRTUAL, pid STRING METADATA FROM 'proc-id' VIRTUAL, \
                   id STRING METADATA FROM 'msg-id' VIRTUAL, `data` MAP<STRING, STRING> METADATA FROM 'structured-data' VIRTUAL, \
                   way STRING METADATA FROM 'transport' VIRTUAL, `at` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, \
                   received TIMESTAMP_LTZ(3) METADATA VIRTUAL";
    let seen = "message STRING, facility INT, severity INT, has_host BOOLEAN, app STRING, pid STRING, id STRING, a STRING, \
                way STRING, is_near BOOLEAN";
    format!(
        "CREATE TABLE logs ({columns}) WITH ('connector' = 'syslog', 'listen' = '{listen}', 'format' = 'raw', \
         'dead-letter.topic' = 'letters'{options});\n\
         CREATE TABLE seen ({seen}) WITH ('connector' = 'kafka', 'topic' = 'seen', 'format' = 'json');\n\
         INSERT INTO seen SELECT message, facility, severity, hostname IS NOT NULL, app, pid, id, `data`['x@1.a'], way, \
         `at` BETWEEN received - INTERVAL '1' HOUR AND received + INTERVAL '1' HOUR FROM logs;\n"
    )
}

/// A job that listens.
fn listening(folder: &Path, sql: &str, port: u16) -> Result<(Job, Group)> {
    let job = Job::make(folder, sql)?;
    let running = job.start()?;
    wait_until(&job, || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
    Ok((job, running))
}

fn logger(port: u16, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("logger");
    command.args(["--server", "127.0.0.1", "--port", &port.to_string()]).args(arguments);
    process::output(&mut command, LIMIT).map(drop)
}

const NEW: [&str; 10] = [
    "--rfc5424=notq",
    "--msgid",
    "ID1",
    "--sd-id",
    "x@1",
    "--sd-param",
    "a=\"b\\\"c\"",
    "--id=77",
    "-plocal0.err",
    "-tapp",
];
const OLD: [&str; 4] = ["--rfc3164", "--id=77", "-pdaemon.info", "-tapp"];

/// What has to be seen of a message in one of the two forms.
fn expected(text: &str, way: &str, is_new: bool) -> Value {
    let (facility, severity) = if is_new { (16, 3) } else { (3, 6) };
    let (id, a) = if is_new { (json!("ID1"), json!("b\"c")) } else { (Value::Null, Value::Null) };
    json!({
        "message": text, "facility": facility, "severity": severity, "has_host": true, "app": "app", "pid": "77", "id": id,
        "a": a, "way": way, "is_near": true,
    })
}

fn sent(scratch: &Path) -> Result<()> {
    let [port] = lasting_ports()?;
    let listen = format!("tcp://127.0.0.1:{port}, udp://127.0.0.1:{port}");
    let (job, mut running) = listening(&scratch.join("sent"), &sql(&listen, ""), port)?;
    let cases: [(&str, &[&str], &[&str], bool); 4] = [
        ("tcp", &["--tcp", "--octet-count"], &NEW, true),
        ("tcp", &["--tcp"], &NEW, true),
        ("udp", &["--udp"], &NEW, true),
        ("tcp", &["--tcp"], &OLD, false),
    ];
    let mut wanted = Vec::new();
    for (number, (way, transport, form, is_new)) in cases.iter().enumerate() {
        let text = format!("message {number}");
        logger(port, &[*transport, *form, &[text.as_str()]].concat())?;
        wanted.push(expected(&text, way, *is_new));
    }
    let mut found =
        job.records("seen", wanted.len())?.iter().map(|found| found.json()).collect::<Result<Vec<_>>>()?;
    found.sort_by_key(|found| found["message"].to_string());
    ensure!(found == wanted, "{found:#?} instead of {wanted:#?}");
    // What is no message.
    let mut command = Command::new("bash");
    command.args(["-c", &format!("printf 'GET / HTTP/1.1\\r\\n' > /dev/tcp/127.0.0.1/{port}")]);
    process::output(&mut command, LIMIT)?;
    let letter = job.records("letters", 1)?.remove(0);
    ensure!(letter.value == b"GET / HTTP/1.1", "{}", String::from_utf8_lossy(&letter.value));
    running.stop(LIMIT)?;
    Ok(())
}

fn forwarded(scratch: &Path) -> Result<()> {
    let folder = scratch.join("rsyslog");
    std::fs::create_dir(&folder)?;
    certificates::make(&folder, "rsyslog")?;
    let [inlet, tcp, tls] = lasting_ports()?;
    let file = |name: &str| folder.join(name).display().to_string();
    let listen = format!("tcp://127.0.0.1:{tcp}, udp://127.0.0.1:{tcp}, tls://127.0.0.1:{tls}");
    let options = format!(
        ", 'tls.cert-file' = '{}', 'tls.key-file' = '{}', 'tls.client-ca-file' = '{}'",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let (job, mut running) = listening(&scratch.join("forwarded"), &sql(&listen, &options), tcp)?;
    let keeps = "action.resumeRetryCount=\"-1\" queue.type=\"LinkedList\"";
    let forward = |port: u16, rest: &str| {
        format!("action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" {keeps} {rest})\n")
    };
    let tls_options = "protocol=\"tcp\" template=\"RSYSLOG_SyslogProtocol23Format\" TCP_Framing=\"octet-counted\" \
                       StreamDriver=\"gtls\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/certvalid\"";
    let configuration = format!(
        "global(workDirectory=\"{}\" defaultNetstreamDriverCAFile=\"{}\" defaultNetstreamDriverCertFile=\"{}\" \
         defaultNetstreamDriverKeyFile=\"{}\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imtcp\" port=\"{inlet}\" address=\"127.0.0.1\")\n{}{}{}{}",
        folder.display(),
        file("ca.pem"),
        file("client.pem"),
        file("client.key"),
        forward(
            tcp,
            "protocol=\"tcp\" template=\"RSYSLOG_SyslogProtocol23Format\" TCP_Framing=\"octet-counted\""
        ),
        forward(tcp, "protocol=\"tcp\" template=\"RSYSLOG_TraditionalForwardFormat\""),
        forward(tcp, "protocol=\"udp\" template=\"RSYSLOG_ForwardFormat\""),
        forward(tls, tls_options),
    );
    std::fs::write(folder.join("rsyslog.conf"), configuration)?;
    let log = std::fs::File::create(folder.join("rsyslog.log"))?;
    let mut command = Command::new("/usr/sbin/rsyslogd");
    command.args(["-n", "-f", &file("rsyslog.conf"), "-i", &file("pid")]).stdout(Stdio::null()).stderr(log);
    let mut rsyslog = Group::spawn(&mut command)?;
    wait_until(&job, || Ok(TcpStream::connect(("127.0.0.1", inlet)).is_ok()))?;
    for number in 0..COUNT {
        let text = format!("number {number}");
        logger(inlet, &[&["--tcp", "--octet-count"][..], &NEW, &[text.as_str()]].concat())?;
    }
    let found = job.records("seen", 4 * COUNT)?;
    let found = found.iter().map(|found| found.json()).collect::<Result<Vec<_>>>()?;
    for number in 0..COUNT {
        let new = |way: &str| expected(&format!("number {number}"), way, true);
        // What RFC 3164 has no place for is gone.
        let old = |way: &str| {
            let mut seen = new(way);
            for key in ["id", "a"] {
                seen[key].take();
            }
            seen
        };
        for wanted in [new("tcp"), old("tcp"), old("udp"), new("tls")] {
            ensure!(found.contains(&wanted), "{wanted} is not among\n{found:#?}");
        }
    }
    rsyslog.stop(LIMIT)?;
    running.stop(LIMIT)?;
    Ok(())
}
