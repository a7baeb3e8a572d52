//! An address that refuses connections, for tests of what clients do then.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// An address of loopback where nobody listens, and nobody else can as long as this is kept. The
/// port of a listener that is gone may be another one's a moment later.
#[derive(Debug)]
pub struct Unserved {
    _bound: Socket,
    address: SocketAddr,
}

impl Unserved {
    /// One with a port of its own.
    ///
    /// # Panics
    ///
    /// If there is no port left.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it takes a port of the machine")]
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        let address = socket.local_addr().expect("it is bound").as_socket().expect("of IPv4");
        Self { _bound: socket, address }
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::Unserved;

    #[test]
    fn connections_are_refused_and_the_port_is_taken() {
        let unserved = Unserved::new();
        let refused = TcpStream::connect(unserved.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let taken = TcpListener::bind(unserved.address()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    }
}
