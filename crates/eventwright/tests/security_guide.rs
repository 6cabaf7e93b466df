//! Runs the commands of `docs/guide/security.md` in their order, so that the page stays true.

mod guide;

use guide::{Started, blocks, run, shell};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/security.md");
/// The address that the page uses.
const ADDRESS: &str = "19092";

#[test]
fn the_pages_commands_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    // A free port in place of the page's, which another test run may have.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut listed = None;
    let mut node = None;
    for block in blocks(GUIDE, "sh") {
        let block = block.replace(ADDRESS, &port);
        match block.split_once("eventwright start") {
            None => listed = Some(run(folder.path(), &block)),
            Some((before, rest)) => {
                run(folder.path(), before);
                let script = format!("exec eventwright start{rest}");
                let mut child = shell(folder.path(), &script).stdout(Stdio::piped()).spawn().unwrap();
                let mut line = String::new();
                BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
                node = Some(Started(child));
                assert!(line.contains("listening on 0.0.0.0"), "{line}");
            }
        }
    }
    assert!(node.is_some());
    let listed = listed.unwrap();
    assert!(
        listed.contains("admin") && listed.contains("alice") && listed.contains("SCRAM-SHA-512"),
        "{listed}"
    );
    let as_user = |user: &str, password: &str| {
        let properties = format!(
            "security.protocol=SASL_SSL\nssl.ca.location=ca.pem\nsasl.username={user}\nsasl.password={password}\n"
        );
        std::fs::write(folder.path().join("user.properties"), properties).unwrap();
        let script = format!("eventwright topic list -b 127.0.0.1:{port} --command-config user.properties");
        let output = shell(folder.path(), &script).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    // She is in, and sees nothing yet; the wrong password is not in.
    let (success, text) = as_user("alice", "battery staple");
    assert!(success && !text.contains("orders"), "{text}");
    let (success, text) = as_user("alice", "battery");
    assert!(!success && text.contains("the user or the password is wrong"), "{text}");
    let remove = format!(
        "eventwright user remove alice -b 127.0.0.1:{port} --command-config admin.properties; \
         eventwright user list -b 127.0.0.1:{port} --command-config admin.properties -o json"
    );
    let left = run(folder.path(), &remove);
    assert!(left.contains("\"user\":\"admin\"") && !left.contains("alice"), "{left}");

    // Nobody inherits the rules of who had the name before.
    let admin = format!("-b 127.0.0.1:{port} --command-config admin.properties");
    run(folder.path(), &format!("echo one | eventwright user add carol --admin {admin}"));
    let (success, text) = as_user("carol", "one");
    assert!(success && text.contains("orders"), "{text}");
    run(
        folder.path(),
        &format!("eventwright user remove carol {admin}; echo two | eventwright user add carol {admin}"),
    );
    let (success, text) = as_user("carol", "two");
    assert!(success && !text.contains("orders"), "{text}");
    // What is in the data directory is its owner's business.
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    let mut folders = vec![data];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}
