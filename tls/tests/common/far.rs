//! The far ends of a suite's connections: TLS by rustls alone, which judges this crate's.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use outlast_conformance::driver::Stream;
use outlast_conformance::net::{FarEnds, Loopback, Of, Over};
use outlast_service::net::{Net, socket2};
use outlast_tls::rustls::crypto::ring;
use outlast_tls::rustls::pki_types::pem::PemObject;
use outlast_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use outlast_tls::rustls::{ClientConfig, Connection, RootCertStore, ServerConfig};
use outlast_tls::rustls::{ClientConnection, ServerConnection};
use outlast_tls::{ALPN, Tls};

use super::{Authority, Signed, client_of, server_of};

/// The suite's driver for `net` under TLS. Proofs of ownership are not bound to connections: the
/// peers made of bytes, and what carries bytes between two subjects, know none.
pub(crate) fn over<N: Net>(
    net: N,
    make: impl FnOnce(Tls<N>) -> Over<Tls<N>>,
) -> Loopback<Over<Tls<N>>> {
    let authority = Authority::new("authority");
    let client = client_of(&authority).channel_binding(false).build().unwrap();
    let server = server_of(&authority).channel_binding(false).build().unwrap();
    Loopback::new(make(Tls::both(net, client, server)).far_ends(far_ends(&authority)))
}

fn far_ends(authority: &Authority) -> FarEnds {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let client = client.with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    let Signed { chain, key } = authority.server();
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(provider);
    let server = server.with_safe_default_protocol_versions().unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
    server.alpn_protocols = vec![ALPN.to_vec()];
    let (client, server) = (Arc::new(client), Arc::new(server));
    Arc::new(move |stream, of| {
        let conn: Connection = match of {
            Of::Server => {
                let name = ServerName::try_from("localhost").unwrap();
                ClientConnection::new(Arc::clone(&client), name).unwrap().into()
            }
            Of::Client => ServerConnection::new(Arc::clone(&server)).unwrap().into(),
        };
        Ok(Box::new(Far::new(stream, conn)?))
    })
}

struct Far {
    /// `None` once it was broken.
    stream: Option<TcpStream>,
    conn: Connection,
    /// The stream is to end once everything is written.
    shutting: bool,
    ended: bool,
}

impl Far {
    fn new(stream: TcpStream, conn: Connection) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream: Some(stream), conn, shutting: false, ended: false })
    }

    /// Writes what there is; false if the other end takes nothing any more.
    fn flush(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        while self.conn.wants_write() {
            match self.conn.write_tls(stream) {
                Ok(_) => {}
                Err(error) if is_transient(error.kind()) => return true,
                Err(_) => return false,
            }
        }
        if self.shutting && !self.conn.is_handshaking() {
            self.conn.send_close_notify();
            self.shutting = false;
            // What does not fit now is lost, as to a peer that does not read.
            let _ = self.conn.write_tls(stream);
            // A stream that is gone needs no end.
            let _ = stream.shutdown(Shutdown::Write);
        }
        true
    }

    /// Takes in what has come, once.
    fn pull(&mut self) {
        let Some(stream) = &mut self.stream else {
            self.ended = true;
            return;
        };
        match self.conn.read_tls(stream) {
            Ok(0) => self.ended = true,
            Ok(_) => self.ended |= self.conn.process_new_packets().is_err(),
            Err(error) if is_transient(error.kind()) => {}
            Err(_) => self.ended = true,
        }
    }
}

impl Stream for Far {
    fn write(&mut self, bytes: &[u8]) -> usize {
        if self.conn.is_handshaking() {
            self.pull();
        }
        if !self.flush() || self.ended && self.conn.is_handshaking() {
            // What nobody reads any more is taken by nobody.
            return bytes.len();
        }
        // What is written before the handshake is over waits for it.
        if self.conn.wants_write() && !self.conn.is_handshaking() {
            return 0;
        }
        let taken = self.conn.writer().write(bytes).unwrap_or(bytes.len());
        if self.flush() { taken } else { bytes.len() }
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        let mut bytes = [0; 16 << 10];
        if let Ok(read @ 1..) = self.conn.reader().read(&mut bytes) {
            out.extend_from_slice(&bytes[..read]);
            return true;
        }
        self.pull();
        self.flush();
        match self.conn.reader().read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                out.extend_from_slice(&bytes[..read]);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock && !self.ended,
        }
    }

    fn shut(&mut self) {
        self.shutting = true;
        self.flush();
    }

    fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Closing is then a reset, and takes along what is under way.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
