//! The page of the SQL shell as it stands, and the shell at a terminal: completion, several lines, cancelling, leaving.

mod guide;

use guide::{Node, Started, blocks, run, shell};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/sql-shell.md");
/// Nothing takes so long unless it never ends.
const LIMIT: Duration = Duration::from_secs(60);

/// The shell at a terminal of its own, which `script` makes.
struct Terminal {
    _started: Started,
    keys: ChildStdin,
    pieces: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn open(folder: &Path, command: &str) -> Terminal {
        let mut child: Child =
            shell(folder, &format!("TERM=xterm exec script -qefc 'exec {command}' /dev/null"))
                .env("EVENTWRIGHT_HISTORY", folder.join("history"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        let (sender, pieces) = mpsc::channel();
        let mut out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = child.stdin.take().unwrap();
        Terminal { _started: Started(child), keys, pieces, seen: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Presses a key until the screen has got this: what it cancels may not have begun. What the shell writes just before
    /// the key is lost: Ctrl-C has the terminal forget what is on its way.
    fn press_until(&mut self, key: &str, wanted: &str) {
        for _ in 0..LIMIT.as_secs() {
            self.press(key);
            while !self.seen.contains(wanted) {
                let Ok(piece) = self.pieces.recv_timeout(Duration::from_secs(1)) else { break };
                self.seen.push_str(&String::from_utf8_lossy(&piece));
            }
            if self.seen.contains(wanted) {
                break;
            }
        }
        self.see(wanted);
    }

    /// Waits until the screen has got this since the last time; what it got up to there.
    fn see(&mut self, wanted: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(wanted) {
                let rest = self.seen.split_off(at + wanted.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let piece = self.pieces.recv_timeout(LIMIT);
            let piece = piece.unwrap_or_else(|_| panic!("{wanted:?} does not come: {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&piece));
        }
    }
}

#[test]
fn the_page_and_the_terminal_do_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("sales.sql"), &blocks(GUIDE, "sql")[0]).unwrap();
    let command = "eventwright run sales.sql --data data --keep-running";
    let node = Node::start(folder, command, command);
    let scripts = blocks(GUIDE, "sh");
    let [produce, wait, in_scripts, of_data] = &scripts[..] else { panic!("four blocks: {scripts:?}") };
    run(folder, &node.script(produce));
    let waited = run(folder, &node.script(wait));
    assert!(waited.contains("success"), "{waited}");

    // The session of the page: what is behind the prompts goes in, the rest has to come out.
    let session = &blocks(GUIDE, "console")[0];
    let typed = |line: &&str| line.starts_with("eventwright=> ") || line.starts_with("eventwright-> ");
    let input: String =
        session.lines().filter(typed).map(|line| line["eventwright=> ".len()..].to_string() + "\n").collect();
    let wanted: String =
        session.lines().filter(|line| !typed(line)).map(|line| line.to_string() + "\n").collect();
    std::fs::write(folder.join("session.sql"), input).unwrap();
    let shown = run(folder, &node.script("eventwright sql < session.sql"));
    assert_eq!(shown, wanted);

    let listed = run(folder, &node.script(in_scripts));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("sales.csv"), "city,total\nOslo,12\nRome,7\n");
    let json =
        "{\"city\":\"Oslo\",\"total\":12,\"number\":1}\n{\"city\":\"Rome\",\"total\":7,\"number\":2}\n";
    assert_eq!(read("sales.json"), json);
    assert!(listed.contains("public,sales,view\n") && listed.ends_with("3\n"), "{listed}");

    statuses(folder, &node);
    at_a_terminal(folder, &node);

    let held = shell(folder, "eventwright sql --data data -c 'SELECT 1'").output().unwrap();
    let told = String::from_utf8_lossy(&held.stderr).into_owned();
    assert!(held.status.code() == Some(1) && told.contains(&format!("--server {}", node.pg)), "{told}");
    drop(node.started);
    assert!(run(folder, of_data).ends_with("\n19\n"));
    let none = shell(folder, "eventwright sql --data nowhere -c 'SELECT 1'").output().unwrap();
    assert!(String::from_utf8_lossy(&none.stderr).contains("is no data directory"), "{none:?}");
}

fn statuses(folder: &Path, node: &Node) {
    let failed = |script: &str| {
        let output = shell(folder, &node.script(script)).stdin(Stdio::null()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, out, told) = failed("eventwright sql -c 'SELECT town FROM sales' -c 'SELECT 1'");
    assert_eq!((status, out.as_str()), (Some(1), ""));
    let wanted = "ERROR:  column \"town\" does not exist\nLINE 1: SELECT town FROM sales\n               ^\n";
    assert!(told.starts_with(wanted), "{told}");
    let (status, out, _) = failed("printf 'SELECT 1;\\nSELECT x;\\nSELECT 2;' | eventwright sql -o csv");
    assert_eq!((status, out.lines().last()), (Some(3), Some("1")));
    assert_eq!(failed("eventwright sql -f nowhere.sql").0, Some(1));
    // Not by `node.script`, which puts the node's address in.
    let unreachable = shell(folder, "eventwright sql --server 127.0.0.1:1 -c 'SELECT 1'").output().unwrap();
    let told = String::from_utf8_lossy(&unreachable.stderr);
    assert!(unreachable.status.code() == Some(2) && told.contains("cannot connect to 127.0.0.1:1"), "{told}");
    let (status, _, told) = failed("eventwright sql --tls -c 'SELECT 1'");
    assert!(status == Some(2) && told.contains("--tls is given"), "{told}");
    let (status, out, _) = failed("eventwright sql -o csv -c 'SELECT 1 AS a \\watch 0 c=3'");
    assert_eq!((status, out.as_str()), (Some(0), "a\n1\na\n1\na\n1\n"));
    let (status, _, told) = failed("eventwright sql -c '\\timin'");
    assert!(status == Some(1) && told.contains("did you mean \\timing?"), "{told}");
}

fn at_a_terminal(folder: &Path, node: &Node) {
    let mut terminal = Terminal::open(folder, &node.script("eventwright sql"));
    terminal.see("eventwright=> ");
    // A keyword, a table and a column are completed, over two lines.
    terminal.press("SEL\ttot\t\r");
    terminal.see("SELECT total");
    terminal.see("eventwright-> ");
    terminal.press("FROM sa\tWHERE ci\t= 'Rome';\r");
    terminal.see("FROM sales WHERE city = 'Rome';");
    let shown = terminal.see("(1 row)");
    assert!(shown.contains("\r\n     7\r\n"), "{shown:?}");
    terminal.see("eventwright=> ");
    // The statement is one entry of the history.
    terminal.press("\x1b[A");
    terminal.see("SELECT total ↵FROM sales WHERE city = 'Rome';");
    terminal.press("\r");
    terminal.see("(1 row)");
    terminal.see("eventwright=> ");

    // A subscription shows what there is, then what comes; Ctrl-C ends it.
    terminal.press("SUBSCRIBE TO sales;\r");
    terminal.see("Rome");
    run(
        folder,
        &node.script("echo '{\"city\": \"Bari\", \"amount\": 0}' | eventwright topic produce orders"),
    );
    terminal.see("Bari");
    terminal.press("\x03");
    terminal.see("rows)");
    terminal.see("eventwright=> ");

    // So it does with a statement that takes long, and the session goes on.
    terminal.press("WAIT FOR LSN '7fffffff/0';\r");
    terminal.see("7fffffff/0';\x1b[K");
    terminal.see("\r\n");
    terminal.press_until("\x03", "eventwright=> ");
    terminal.press("SELECT 40 + 2 AS n;\r");
    terminal.see(" 42\r\n(1 row)");
    terminal.see("eventwright=> ");
    // A line that is given up runs nothing.
    terminal.press("SELECT (\r");
    terminal.see("eventwright(> ");
    terminal.press("\x03");
    terminal.see("eventwright=> ");
    terminal.press("BEGIN;\r");
    terminal.see("eventwright=*> ");
    terminal.press("SELECT x;\r");
    terminal.see("eventwright=!> ");
    terminal.press("\x04");
    while terminal.pieces.recv_timeout(LIMIT).is_ok() {}
    let left = terminal._started.0.wait().unwrap();
    assert!(left.success(), "{left:?}");
    let kept = std::fs::read_to_string(folder.join("history")).unwrap();
    assert!(kept.starts_with("SELECT total \\nFROM sales WHERE city = 'Rome';\n"), "{kept}");
}

const CERTIFICATES: &str = "
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=node -keyout node.key -out node.csr
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > node.ext
openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile node.ext -out node.pem
echo horse > password
eventwright user add admin --admin --data data --password-file password";

#[test]
fn a_secured_node_is_asked_over_tls_by_who_has_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, CERTIFICATES);
    let start = "exec eventwright start --data data --kafka 127.0.0.1:0 --http none --pg 127.0.0.1:0 \
                 --set security.protocol=SASL_SSL --set ssl.certificate.location=node.pem \
                 --set ssl.key.location=node.key";
    let mut node = Started(shell(folder, start).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(node.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let pg =
        lines.find_map(|line| line.strip_prefix("postgresql listening on ").map(str::to_string)).unwrap();
    let ask = |more: &str| {
        let script = format!("{more} -c 'SELECT current_user AS me' -o json")
            .replace("sql", &format!("eventwright sql --server {pg} -U admin"));
        let output = shell(folder, &script).env_remove("PGPASSWORD").stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let me = (Some(0), "{\"me\":\"admin\"}\n".to_string());
    assert_eq!(ask("sql --ca-file ca.pem --password-file password"), me);
    assert_eq!(ask("PGPASSWORD=horse sql --ca-file ca.pem"), me);
    for (arguments, told) in [
        ("PGPASSWORD=mule sql --ca-file ca.pem", "password authentication failed"),
        ("sql --ca-file ca.pem", "set PGPASSWORD or --password-file"),
        ("PGPASSWORD=horse sql --tls", "UnknownIssuer"),
    ] {
        let (status, text) = ask(arguments);
        assert!(status == Some(2) && text.contains(told), "{arguments}: {text}");
        assert!(!text.contains("horse") && !text.contains("mule"), "{arguments}: {text}");
    }
    // Users and their rights are those of the data directory, whoever opens it.
    drop(node);
    let of_data =
        |more: &str| run(folder, &format!("eventwright sql --data data {more} -c 'SELECT 1 AS a' -o json"));
    assert_eq!(of_data("-U admin --password-file password"), "{\"a\":1}\n");
}
