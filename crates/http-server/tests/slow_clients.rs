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

/// Requests of one network that are answered at once, and streams of all, with so many connections in any case.
const fn shares(room: usize) -> (usize, usize) {
    (room / 4, room / 2)
}

/// How many connections a server has room for in any case.
fn assured() -> usize {
    let division = os::open_files::Division::of(os::open_files::raise_limit());
    (division.reserved / 4).min(512)
}

/// Waits for the body of its request, for which the client may take half a minute.
fn begins(address: SocketAddr) -> Connection {
    let mut connection = Connection::open(address);
    let head = b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    connection.send(head).unwrap();
    connection
}

/// From another network.
fn from_elsewhere(to: SocketAddr) -> Connection {
    let SocketAddr::V4(to) = to else { panic!("it listens on {to}") };
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0)).expect("an address");
    connect(&socket, &to).expect("the server listens");
    Connection::over(TcpStream::from(socket))
}

/// Connections that the server says it has.
fn open(address: SocketAddr) -> usize {
    Connection::open(address).metric("eventwright_http_connections")
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
        assert!(open(address) > count, "they are all there");
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
    // None of them ends by itself.
    let site = Site::limited(Limits { connections: ROOM, head: Duration::from_secs(600) });
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
    assert!(open(address) <= ROOM);
    site.end();
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let site = Site::limited(Limits { head: Duration::from_secs(2), ..Limits::default() });
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
    let (seats, _) = shares(assured());
    let site = Site::new();
    let address = site.server.local_addr();
    let mut held: Vec<Connection> = (0..seats).map(|_| begins(address)).collect();
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

#[test]
fn one_network_cannot_take_a_small_room() {
    const ROOM: usize = 64;
    let (seats, _) = shares(ROOM);
    let site = Site::limited(Limits { connections: ROOM, ..Limits::default() });
    let address = site.server.local_addr();
    let mut held: Vec<Connection> = (0..ROOM).map(|_| begins(address)).collect();
    for connection in &mut held[..seats] {
        assert_eq!(connection.status().unwrap(), 100);
    }
    // The others wait for a seat, and make room.
    assert_eq!(from_elsewhere(address).ask().unwrap(), 200);
    site.end();
}

#[test]
fn who_follows_has_no_seat() {
    let (seats, followers) = shares(assured());
    let site = Site::new();
    let address = site.server.local_addr();
    site.post("/topics/a", &[], "1");
    let follows = || {
        let mut connection = Connection::open(address);
        let head = b"GET /topics/a HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";
        connection.send(head).unwrap();
        connection
    };
    // One connection asks, and waits for what comes, again and again.
    let mut polls = Connection::open(address);
    let mut following: Vec<Connection> = (1..followers).map(|_| follows()).collect();
    for connection in &mut following {
        assert_eq!(connection.status().unwrap(), 200);
    }
    for _ in 0..2 {
        let head = b"GET /topics/a?from=latest&wait_ms=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        polls.send(&head.repeat(2)).unwrap();
        assert_eq!((polls.status().unwrap(), polls.status().unwrap()), (200, 200));
    }
    following.push(follows());
    assert_eq!(following[followers - 1].status().unwrap(), 200);
    assert_eq!(follows().status().unwrap(), 429);
    // With all of them there, the network has its seats.
    let mut held: Vec<Connection> = (1..seats).map(|_| begins(address)).collect();
    for connection in &mut held {
        assert_eq!(connection.status().unwrap(), 100);
    }
    assert_eq!(polls.ask().unwrap(), 200);
    site.end();
}
