//! Memory and settings that cannot work are refused when a client or a server is made.

use outlast_core::registry::{Entry, RegistryConfig};
use outlast_core::wire::AuthData;
use outlast_core::{Attach, Config, ConfigError};
use outlast_embedded::smoltcp::{Client, ClientConfig, Place, Server};
use outlast_embedded::{Memory, Resources, Route, SetupError};
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address};

use crate::peer::{Far, PORT, World};

const CONFIG: Config = Config::CONSTRAINED;
const REMOTE: [IpEndpoint; 1] =
    [IpEndpoint { addr: IpAddress::Ipv4(Ipv4Address::new(10, 0, 0, 2)), port: PORT }];

/// Tests end before this memory could be given back.
fn memory(len: usize) -> &'static mut [u8] {
    Box::leak(vec![0; len].into_boxed_slice())
}

fn client(ring: usize, frame: usize, session: Config) -> Option<SetupError> {
    let config = ClientConfig { session, ..ClientConfig::new(&REMOTE, 1) };
    let mut place = core::mem::MaybeUninit::uninit();
    let parts = || Memory::new(memory(ring), memory(frame));
    let within = Client::new_in(&mut place, parts(), config.clone()).err();
    let made = Client::new(parts(), config).err();
    assert_eq!(made, within, "one check is for both");
    made
}

#[test]
fn a_client_with_too_little_memory_is_refused() {
    let needed = Some(SetupError::Ring { needed: 512 });
    assert_eq!(client(0, 256, CONFIG), needed);
    assert_eq!(client(16, 256, CONFIG), needed);
    assert_eq!(client(511, 256, CONFIG), needed);
    assert_eq!(client(512, 256, CONFIG), None);
    assert_eq!(client(512, 255, CONFIG), Some(SetupError::Frame { needed: 256 }));
    let large = Config { send_buffer: 4_096, ..CONFIG };
    assert_eq!(client(512, 256, large), Some(SetupError::Ring { needed: 4_096 }));
    let mut resources = Resources::<0, 256>::new();
    assert!(Client::new(&mut resources, ClientConfig::new(&REMOTE, 1)).is_err());
}

#[test]
fn a_greeting_that_no_handshake_has_room_for_is_refused() {
    let long = [7; 300];
    let hello = Attach { auth: Some(AuthData { method: 1, data: &long }), ..Attach::default() };
    let config = ClientConfig { hello, ..ClientConfig::new(&REMOTE, 1) };
    let error = ConfigError::check("auth", 300, 0, 254).expect_err("too long");
    let made = Client::new(Memory::new(memory(512), memory(256)), config);
    assert_eq!(made.err(), Some(SetupError::Config(error)));
}

fn random(out: &mut [u8]) {
    out.fill(7);
}

#[test]
fn a_place_with_too_small_a_ring_is_refused() {
    for len in [0, 16, 511] {
        let made = Place::new(&CONFIG, memory(len));
        assert_eq!(made.err(), Some(SetupError::Ring { needed: 512 }), "{len} bytes");
    }
    assert!(Place::new(&CONFIG, memory(512)).is_ok());
}

fn server(places: Vec<Place<'static>>, entries: usize, config: Config) -> Option<SetupError> {
    let entries = Vec::leak((0..entries).map(|_| Entry::EMPTY).collect());
    Server::new(config, RegistryConfig::default(), Vec::leak(places), entries, random).err()
}

/// A place may have been made with another configuration than its server.
#[test]
fn a_server_looks_at_its_places_and_entries() {
    let place = || Place::new(&CONFIG, memory(512)).expect("good");
    assert_eq!(server(vec![], 1, CONFIG), Some(SetupError::NoPlace));
    assert_eq!(server(vec![place(), place()], 1, CONFIG), Some(SetupError::Entries { needed: 2 }));
    assert_eq!(server(vec![place(), place()], 2, CONFIG), None);
    let large = Config { send_buffer: 4_096, ..CONFIG };
    let needed = Some(SetupError::Ring { needed: 4_096 });
    assert_eq!(server(vec![place(), place()], 2, large), needed);
}

#[test]
fn a_connection_with_no_room_for_a_frame_is_refused() {
    let mut places = [Place::new(&CONFIG, memory(512)).expect("good")];
    let mut entries = [Entry::EMPTY; 2];
    let server = Server::new(CONFIG, RegistryConfig::default(), &mut places, &mut entries, random);
    let server = server.expect("good");
    let (mut small, mut enough) = ([0; 255], [0; 256]);
    let refused = server.connection(PORT, &mut small);
    assert_eq!(refused.err(), Some(SetupError::Frame { needed: 256 }));
    assert!(server.connection(PORT, &mut enough).is_ok());
}

/// What was asked for is the least, and what was lent is used: what `send_buffer` says is no limit
/// here.
#[test]
fn a_ring_larger_than_its_configuration_is_used_whole() {
    let mut world = World::new(|config| config, (2_048, 256));
    let mut far = Far::serving();
    world.run(&mut far, 1_000);
    let session = world.client.session();
    let before = session.room();
    assert!(before > 1_900, "{before} bytes of 2048");
    while session.send(Route::from(1u8), &[7; 60]).is_ok() {}
    assert!(before - session.room() > 1_900, "all of it was taken");
}
