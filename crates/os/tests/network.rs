//! One conformance suite for the real and the simulated network, then the simulated one's faults.

use os::network::real::RealNetwork;
use os::sim::{SimNetwork, SimNetworkFaults};
use os::{Network, Stream};
use std::io::ErrorKind;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn read_all(stream: &dyn Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 1000];
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => return bytes,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn conforms(network: &dyn Network) {
    let listener = network.listen("127.0.0.1:0").unwrap();
    let address = listener.address();
    assert!(!address.ends_with(":0"), "{address}");
    assert_eq!(network.listen(&address).err().unwrap().kind(), ErrorKind::AddrInUse);
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let stream = listener.accept().unwrap();
            let mut four = [0; 4];
            let mut filled = 0;
            while filled < 4 {
                filled += stream.read(&mut four[filled..]).unwrap();
            }
            assert_eq!(&four, b"send");
            // More than any socket buffer: the writer waits for the reader.
            stream.write_all(&sent).unwrap();
            stream.shutdown();
        });
        let client = network.connect(&address, PATIENCE).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let error = client.read(&mut [0; 10]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let writer = client.try_clone().unwrap();
        writer.write_all(b"send").unwrap();
        assert_eq!(read_all(&*client), sent);
        assert!(!client.peer_address().is_empty());
        server.join().unwrap();
    });
    // Closing wakes who waits for a connection.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| listener.accept().is_err());
        listener.close();
        assert!(waiting.join().unwrap());
    });
    assert!(listener.accept().is_err());
    drop(listener);
    assert_eq!(network.connect(&address, PATIENCE).err().unwrap().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn the_real_network_conforms() {
    conforms(&RealNetwork::default());
}

#[test]
fn the_simulated_network_conforms() {
    conforms(&SimNetwork::new(1));
}

/// As with sockets, a peer that lets its connection go is seen as the end of the stream.
#[test]
fn a_dropped_connection_ends_at_the_peer() {
    for network in [&RealNetwork::default() as &dyn Network, &SimNetwork::new(2)] {
        let listener = network.listen("127.0.0.1:0").unwrap();
        let client = network.connect(&listener.address(), PATIENCE).unwrap();
        let server = listener.accept().unwrap();
        client.write_all(b"last words").unwrap();
        let clone = client.try_clone().unwrap();
        drop(client);
        clone.write_all(b".").unwrap();
        drop(clone);
        assert_eq!(read_all(&*server), b"last words.");
    }
}

#[test]
fn resets_and_delays_come_as_the_seed_says() {
    let run = |seed| {
        let network = SimNetwork::new(seed);
        network.set_faults(SimNetworkFaults { delay_one_in: 3, reset_one_in: 20 });
        let listener = network.listen("a:1").unwrap();
        let client = network.connect("a:1", PATIENCE).unwrap();
        let server = listener.accept().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut story = Vec::new();
        loop {
            if let Err(error) = client.write_all(b"0123456789") {
                story.push(format!("{:?}", error.kind()));
                return story;
            }
            match server.read(&mut [0; 20]) {
                Ok(count) => story.push(count.to_string()),
                Err(error) => story.push(format!("{:?}", error.kind())),
            }
        }
    };
    let story = run(5);
    assert_eq!(story, run(5));
    assert_ne!(story, run(6));
    assert_eq!(story.last().unwrap(), "ConnectionReset");
    let many: Vec<String> = (0..50).flat_map(run).collect();
    assert!(many.iter().any(|event| event == "TimedOut"));
}
