//! Other certificates while a server runs, in files and in memory.

use std::path::PathBuf;

use outlast_service::Transport;
use outlast_tls::{ClientTls, ServerTls, TlsError};

use crate::common::{Authority, Signed, Valid, client_of, server_of};
use crate::ends::{handshake, pair, read_all, shutdown, tls, write_all};
use crate::executor::Sim;
use crate::link::Faults;

/// How a handshake goes, and which certificate the client is shown.
fn meet(client: &ClientTls, server: &ServerTls) -> (Result<(), TlsError>, Option<[u8; 32]>) {
    let sim = Sim::new(1);
    let faults = (Faults::default(), Faults::default());
    let (_link, mut near, mut far) = pair(&sim, (client, server), faults, 1);
    let world = sim.clone();
    sim.run(async move {
        let far_world = world.clone();
        far_world.aside(async move {
            // Whatever comes: an echo, and the end behind it.
            let (all, _) = read_all(&mut far, 100).await;
            let _ = write_all(&mut far, &all).await;
            shutdown(&mut far).await
        });
        let met = async {
            handshake(&mut near).await?;
            write_all(&mut near, b"x").await?;
            shutdown(&mut near).await?;
            // What the server thinks of this end's certificate comes behind the handshake.
            read_all(&mut near, 100).await.1
        };
        let met = met.await.map_err(|error| tls(&error));
        // The other end hears what there is to hear.
        world.sleep(1_000).await;
        (met, near.peer_identity().map(|identity| identity.fingerprint))
    })
}

/// Files that are gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outlast-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn another_certificate_is_for_connections_that_come_and_errors_change_nothing() {
    let folder = Folder::new("reload");
    let authority = Authority::new("authority");
    let (first, second) = (authority.server(), authority.server());
    let (chain, key) = (folder.put("chain.pem", &first.chain), folder.put("key.pem", &first.key));
    let server = ServerTls::files(&chain, &key).build().unwrap();
    // A client without tickets is shown a certificate each time.
    let client = client_of(&authority).resumption(false).build().unwrap();
    let shown = || {
        let (met, shown) = meet(&client, &server);
        met.map(|()| shown.unwrap()).unwrap()
    };
    let at_first = shown();

    // The new certificate, and the old key.
    folder.put("chain.pem", &second.chain);
    let error = server.reload().unwrap_err();
    assert!(error.what.contains("chain.pem") && error.what.contains("key.pem"), "{error}");
    assert!(error.why.contains("KeyMismatch"), "{error}");
    assert_eq!(shown(), at_first);

    // Files of no use, one after the other.
    let whole = second.key.clone();
    let half = &whole[..whole.len() / 2];
    for (name, text, why) in [
        ("chain.pem", "", "holds no certificate"),
        ("chain.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "not PEM"),
        ("key.pem", half, "not PEM"),
        ("key.pem", &second.chain, "holds no private key"),
        ("chain.pem", &authority.sign("", &["localhost"], Valid::NotAnyMore).chain, "has expired"),
        ("chain.pem", &authority.sign("", &["localhost"], Valid::NotYet).chain, "not valid yet"),
    ] {
        folder.put("chain.pem", &second.chain);
        folder.put("key.pem", &second.key);
        folder.put(name, text);
        let error = server.reload().unwrap_err();
        assert!(error.what.ends_with(name) && error.why.contains(why), "{name}, {why}: {error}");
        assert_eq!(shown(), at_first);
    }
    folder.put("chain.pem", &second.chain);
    std::fs::remove_file(&key).unwrap();
    assert!(server.reload().unwrap_err().what.ends_with("key.pem"));
    assert_eq!(shown(), at_first);

    // Both.
    folder.put("chain.pem", &second.chain);
    folder.put("key.pem", &second.key);
    server.reload().unwrap();
    assert_ne!(shown(), at_first);

    // And from memory.
    let Signed { chain, key } = &first;
    server.replace(chain, &second.key).unwrap_err();
    assert_ne!(shown(), at_first);
    server.replace(chain, key).unwrap();
    assert_eq!(shown(), at_first);
}

#[test]
fn a_ticket_does_without_certificates_until_they_are_others() {
    let authority = Authority::new("authority");
    let server = server_of(&authority).build().unwrap();
    let client = client_of(&authority).build().unwrap();
    for resumed in 0..3 {
        meet(&client, &server).0.unwrap();
        assert_eq!((server.stats().handshakes, server.stats().resumed), (resumed + 1, resumed));
    }
    server.reload().unwrap();
    meet(&client, &server).0.unwrap();
    assert_eq!(server.stats().resumed, 2, "a ticket from before the reload");
    meet(&client, &server).0.unwrap();
    assert_eq!(server.stats().resumed, 3);
}

/// Each case of a certificate that is refused has its own error, at both ends.
#[test]
fn refusals_say_why() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let of = |valid| {
        let Signed { chain, key } = right.sign("server", &["localhost"], valid);
        ServerTls::pem(chain, key).build().unwrap()
    };
    let good = of(Valid::Now);
    let trusting = |roots: &Authority, name: &str| {
        ClientTls::builder().roots_pem(roots.pem()).server_name(name).build().unwrap()
    };
    let met = |client: &ClientTls, server: &ServerTls| meet(client, server).0.unwrap_err();
    let client = trusting(&right, "localhost");
    assert_eq!(meet(&client, &good).0, Ok(()));
    let other = trusting(&right, "other.example");
    let expected = "other.example".to_owned();
    assert_eq!(met(&other, &good), TlsError::WrongHost { expected });
    assert_eq!(met(&trusting(&wrong, "localhost"), &good), TlsError::UnknownIssuer);
    // One of the same name, with another key.
    let same = trusting(&Authority::new("right"), "localhost");
    assert_eq!(met(&same, &good), TlsError::UnknownIssuer);
    assert_eq!(met(&client, &of(Valid::NotAnyMore)), TlsError::Expired);
    assert_eq!(met(&client, &of(Valid::NotYet)), TlsError::NotYetValid);
    assert_eq!(good.stats().refused_by_peer, 3);

    let asking = server_of(&right).client_roots_pem(right.pem()).build().unwrap();
    assert_eq!(met(&client, &asking), TlsError::CertificateRequired);
    assert_eq!(asking.stats().no_certificate, 1);
    let showing = |authority: &Authority, valid| {
        let Signed { chain, key } = authority.sign("client", &[], valid);
        client_of(&right).identity_pem(chain, key).build().unwrap()
    };
    assert_eq!(meet(&showing(&right, Valid::Now), &asking).0, Ok(()));
    for bad in [showing(&wrong, Valid::Now), showing(&right, Valid::NotAnyMore)] {
        let error = met(&bad, &asking);
        assert!(matches!(error, TlsError::CertificateRefused(_)), "{error:?}");
        assert!(!error.is_retryable());
    }
    assert_eq!(asking.stats().bad_certificate, 2);
}

#[test]
fn what_is_missing_is_said_when_it_is_built() {
    let authority = Authority::new("authority");
    let none = ClientTls::builder().build().unwrap_err();
    assert_eq!(none.what, "roots");
    let nowhere = ClientTls::builder().roots_file("/nowhere/ca.pem").build().unwrap_err();
    assert_eq!(nowhere.what, "/nowhere/ca.pem");
    let named = client_of(&authority).server_name("not a name").build().unwrap_err();
    assert_eq!(named.what, "server name");
    let Signed { chain, .. } = authority.server();
    let mismatch = ServerTls::pem(chain, authority.server().key).build().unwrap_err();
    assert!(mismatch.why.contains("KeyMismatch"), "{mismatch}");
    let nobody = server_of(&authority).client_roots_pem("").build().unwrap_err();
    assert_eq!(nobody.what, "client roots");
}
