//! Clients that hold connections and ask for nothing, or take their time, beside others that are served.

mod keep_alive;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod site;

use http_server::Limits;
use keep_alive::{Connection, REQUEST};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use site::Site;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// Requests of one network that are answered at once.
const SEATS_OF_NETWORK: usize = 128;

/// From another network.
fn from_elsewhere(to: SocketAddr) -> Connection {
    let SocketAddr::V4(to) = to else { panic!("it listens on {to}") };
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0)).expect("an address");
    connect(&socket, &to).expect("the server listens");
    Connection::over(TcpStream::from(socket))
}

/// Connections that the server says it has.
fn open(site: &Site) -> usize {
    let (status, page) = site.text("GET", "/metrics", &[], "");
    assert_eq!(status, 200, "{page}");
    let row = page.lines().find_map(|line| line.strip_prefix("eventwright_http_connections "));
    row.and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn slow_heads_hold_up_nobody() {
    // Bad input 27. Many more than are served at once, as far as this process may have both ends open.
    let files = os::open_files::raise_limit().unwrap_or(u64::MAX).min(6_000);
    let count = usize::try_from(files).unwrap() / 4;
    let site = Site::new();
    let address = site.server.local_addr();
    let mut slow: Vec<Connection> = (0..count).map(|_| Connection::open(address)).collect();
    let mut kept = Connection::open(address);
    for byte in REQUEST.chunks(1).take(5) {
        for connection in &mut slow {
            connection.send(byte).expect("it is kept");
        }
        assert_eq!(kept.ask().unwrap(), 200);
        assert_eq!(Connection::open(address).ask().unwrap(), 200);
        assert!(open(&site) > count, "they are all there");
    }
    // Whoever sends the rest after all has an answer.
    for connection in slow.iter_mut().step_by(7) {
        connection.send(&REQUEST[5..]).unwrap();
        assert_eq!(connection.status().unwrap(), 200);
        assert_eq!(connection.ask().unwrap(), 200);
    }
    site.end();
}

#[test]
fn slow_heads_push_out_each_other() {
    const ROOM: usize = 64;
    let site = Site::limited(Limits { connections: ROOM, ..Limits::default() });
    let address = site.server.local_addr();
    let slow = || {
        let mut connection = Connection::open(address);
        connection.send(b"GET /con").expect("it is taken");
        connection
    };
    let mut kept: Vec<Connection> = (0..8).map(|_| Connection::open(address)).collect();
    for connection in &mut kept {
        assert_eq!(connection.ask().unwrap(), 200);
    }
    let mut first: Vec<Connection> = (kept.len()..ROOM).map(|_| slow()).collect();
    let _more: Vec<Connection> = (0..2 * ROOM).map(|_| slow()).collect();
    for connection in &mut first {
        assert!(connection.is_closed());
    }
    for connection in &mut kept {
        assert_eq!(connection.ask().unwrap(), 200);
    }
    assert_eq!(Connection::open(address).ask().unwrap(), 200);
    assert!(open(&site) <= ROOM);
    site.end();
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let site = Site::limited(Limits { head: Duration::from_millis(100), ..Limits::default() });
    let address = site.server.local_addr();
    let mut silent = Connection::open(address);
    let mut slow = Connection::open(address);
    slow.send(b"GET /config HTTP/1.1\r\n").unwrap();
    let mut kept = Connection::open(address);
    assert_eq!(kept.ask().unwrap(), 200);
    assert!(silent.is_closed() && slow.is_closed());
    // The time is that of a head, not of what is between two of them.
    assert_eq!(kept.ask().unwrap(), 200);
    kept.send(b"GET /con").unwrap();
    assert!(kept.is_closed());
    site.end();
}

#[test]
fn idle_connections_are_closed_when_the_setting_says_so() {
    let site = Site::on(os::sim::SimOs::new(5), &[("connections.max.idle.ms", "200")]);
    let mut kept = Connection::open(site.server.local_addr());
    assert_eq!(kept.ask().unwrap(), 200);
    assert!(kept.is_closed());
    site.end();
}

#[test]
fn one_network_cannot_take_all_seats() {
    let site = Site::new();
    let address = site.server.local_addr();
    let begins = || {
        let mut connection = Connection::open(address);
        let head =
            b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        connection.send(head).unwrap();
        connection
    };
    let mut held: Vec<Connection> = (0..SEATS_OF_NETWORK).map(|_| begins()).collect();
    for connection in &mut held {
        // It is at its body, for which it may take half a minute.
        assert_eq!(connection.status().unwrap(), 100);
    }
    let mut one_too_many = Connection::open(address);
    one_too_many.send(REQUEST).unwrap();
    assert_eq!(from_elsewhere(address).ask().unwrap(), 200, "another network has seats of its own");
    // It waits for a while, and is told.
    assert_eq!(one_too_many.status().unwrap(), 503);
    assert!(one_too_many.is_closed());
    for connection in &mut held {
        connection.send(b"{}").unwrap();
        assert_eq!(connection.status().unwrap(), 405);
        // Between two requests a connection has no seat.
        assert_eq!(Connection::open(address).ask().unwrap(), 200);
    }
    site.end();
}
