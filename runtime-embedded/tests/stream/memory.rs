//! Memory and settings that cannot work are refused when a client is made.

use outlast_core::ConfigError;
use outlast_core::wire::AuthData;
use outlast_embedded::client::DialerConfig;
use outlast_embedded::serial::SerialClient;
use outlast_embedded::serial::packet::encoded_len;
use outlast_embedded::stream::Client;
use outlast_embedded::{Attach, Config, SetupError, StreamConfig, StreamMemory, StreamResources};

use crate::pipes::Clock;

/// What both clients over streams say of this memory.
fn made<'m>(
    (ring, inbox, outbox): (usize, usize, usize),
    config: StreamConfig<'m>,
) -> Option<SetupError> {
    let memory = |len| -> &'m mut [u8] { Box::leak(vec![0; len].into_boxed_slice()) };
    let parts = || StreamMemory::new(memory(ring), memory(inbox), memory(outbox));
    let stream = Client::new(parts(), config.clone(), Clock::default()).err();
    let serial = SerialClient::new(parts(), memory(80), memory(80), config).err();
    assert_eq!(stream, serial, "one check is for both");
    stream
}

/// The rest of this memory is good.
fn refused<const RING: usize, const IN: usize, const OUT: usize>(
    config: StreamConfig<'_>,
) -> Option<SetupError> {
    let mut resources = StreamResources::<RING, IN, OUT>::new();
    Client::new(&mut resources, config, Clock::default()).err()
}

#[test]
fn a_ring_smaller_than_its_configuration_is_refused() {
    let config = StreamConfig::new(7);
    let needed = Some(SetupError::Ring { needed: 512 });
    assert_eq!(refused::<0, 256, 256>(config.clone()), needed);
    assert_eq!(made((0, 256, 256), config.clone()), needed);
    assert_eq!(made((16, 256, 256), config.clone()), needed);
    assert_eq!(made((511, 256, 256), config.clone()), needed);
    assert_eq!(made((512, 256, 256), config.clone()), None);
    let session = Config { send_buffer: 4_096, ..Config::CONSTRAINED };
    let needed = Some(SetupError::Ring { needed: 4_096 });
    assert_eq!(made((512, 256, 256), StreamConfig { session, ..config.clone() }), needed);
    // What no configuration asks for is said by the configuration itself.
    let session = Config { send_buffer: 16, ..Config::CONSTRAINED };
    let small = made((16, 256, 256), StreamConfig { session, ..config });
    assert!(matches!(small, Some(SetupError::Config(_))), "{small:?}");
}

#[test]
fn memory_for_a_handshake_is_measured_with_what_is_said_in_it() {
    let config = StreamConfig::new(7);
    let needed = Some(SetupError::Frame { needed: 256 });
    assert_eq!(made((512, 255, 256), config.clone()), needed, "WELCOME may be longer");
    assert_eq!(made((512, 256, 255), config.clone()), needed, "HELLO may be longer");
    let session = Config { max_body: 300, window: 512, ..Config::CONSTRAINED };
    let long = StreamConfig { session, ..config.clone() };
    assert_eq!(made((512, 256, 256), long), Some(SetupError::Frame { needed: 304 }));
    let auth = Some(AuthData { method: 1, data: &[7; 200] });
    let hello = Attach { auth, agent: Some(b"a board"), ..Attach::default() };
    let needed = hello.hello_len().expect("short enough");
    assert!(needed > 256, "{needed}");
    let config = StreamConfig { hello, ..config };
    let refusal = Some(SetupError::Frame { needed });
    assert_eq!(made((512, 256, needed - 1), config.clone()), refusal);
    assert_eq!(made((512, 256, needed), config), None);
}

/// What no HELLO has room for is refused with as much memory as there is.
#[test]
fn what_is_too_long_for_any_handshake_is_refused() {
    let long = [7; 300];
    let token = Attach { auth: Some(AuthData { method: 1, data: &long }), ..Attach::default() };
    let agent = Attach { agent: Some(&long), ..Attach::default() };
    let client_id = Attach { client_id: Some(&long), ..Attach::default() };
    for (key, most, hello) in
        [("auth", 254, token), ("agent", 255, agent), ("client_id", 255, client_id)]
    {
        let config = StreamConfig { hello, ..StreamConfig::new(7) };
        let error = ConfigError::check(key, 300, 0, most).expect_err("too long");
        assert_eq!(made((512, 256, 256), config.clone()), Some(SetupError::Config(error)));
        assert_eq!(made((512, 256, 4_096), config), Some(SetupError::Config(error)));
    }
}

#[test]
fn a_line_has_one_other_end_and_packets_of_some_length() {
    let made = |addresses, (incoming, outgoing): (usize, usize)| {
        let mut resources = StreamResources::<512, 256, 256>::new();
        let dialer = DialerConfig { addresses, ..DialerConfig::default() };
        let config = StreamConfig { dialer, ..StreamConfig::new(7) };
        let (mut incoming, mut outgoing) = (vec![0; incoming], vec![0; outgoing]);
        SerialClient::new(&mut resources, &mut incoming, &mut outgoing, config).err()
    };
    let least = encoded_len(16);
    assert_eq!(made(1, (least, least)), None);
    let two = ConfigError::check("addresses", 2, 1, 1).expect_err("one is all there is");
    assert_eq!(made(2, (least, least)), Some(SetupError::Config(two)));
    let needed = Some(SetupError::Frame { needed: least });
    assert_eq!(made(1, (least - 1, least)), needed);
    assert_eq!(made(1, (least, least - 1)), needed);
}
