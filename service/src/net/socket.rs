//! Socket options, and what they do.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Options of TCP sockets, listening ones and connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// Send small segments at once (`TCP_NODELAY`). The session gathers by itself, so this is on.
    pub nodelay: bool,
    /// Probe an idle connection after this time (`SO_KEEPALIVE`). The session's heartbeat finds a
    /// dead peer sooner; `None` leaves it to that.
    pub keepalive: Option<Duration>,
    /// Time between such probes (`TCP_KEEPINTVL`); `None` is the system's choice. Without
    /// [`keepalive`](Self::keepalive) it has no meaning and is not set.
    pub keepalive_interval: Option<Duration>,
    /// Probes without an answer after which the connection is broken (`TCP_KEEPCNT`), at least 1;
    /// `None` is the system's choice. Set with [`keepalive`](Self::keepalive) alone.
    pub keepalive_probes: Option<u32>,
    /// Let a restarted server bind its port at once (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Bytes of the kernel's send buffer; `None` is the system's choice.
    pub send_buffer: Option<usize>,
    /// Bytes of the kernel's receive buffer; `None` is the system's choice.
    pub receive_buffer: Option<usize>,
    /// Bytes that the kernel takes beyond what it has sent (`TCP_NOTSENT_LOWAT`, on Linux): a
    /// heartbeat or an acknowledgement never waits behind more than these. `None` is the system's
    /// choice. Connections over loopback, where no wire is waited for, always have that.
    pub unsent: Option<u32>,
    /// Connections the kernel holds until they are accepted.
    pub backlog: i32,
    /// Whether an IPv6 listener takes IPv4 connections as well.
    pub dual_stack: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            keepalive_interval: None,
            keepalive_probes: None,
            reuse_address: true,
            send_buffer: None,
            receive_buffer: None,
            unsent: Some(128 << 10),
            backlog: 4096,
            dual_stack: true,
        }
    }
}

impl SocketOptions {
    /// A listening socket that does not block.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Self::socket(address)?;
        if address.is_ipv6() {
            socket.set_only_v6(!self.dual_stack)?;
        }
        socket.set_reuse_address(self.reuse_address)?;
        self.buffers(&socket)?;
        // Accepted connections inherit this on Linux: no system calls for each of them.
        self.connection(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(self.backlog)?;
        Ok(socket.into())
    }

    /// A socket that does not block, for a connection to `address`.
    pub(crate) fn dialing(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Self::socket(address)?;
        self.buffers(&socket)?;
        self.connection(&socket)?;
        self.limit_unsent(&socket, address)?;
        Ok(socket)
    }

    /// Sets the options of a connection that was accepted.
    pub(crate) fn accepted(&self, socket: &SockRef<'_>, remote: SocketAddr) -> io::Result<()> {
        if !cfg!(target_os = "linux") {
            self.connection(socket)?;
        }
        self.limit_unsent(socket, remote)
    }

    /// Refuses a connection that was made to itself. A system may give a socket that dials a port
    /// of this machine the very port it dials; if nobody listens there, the two ends are then one
    /// socket (RFC 9293, 3.5, simultaneous open), which hears what it says for ever.
    pub(crate) fn dialled(socket: &SockRef<'_>) -> io::Result<()> {
        // A connection that is broken already has no addresses, and says so when it is read from.
        match (socket.local_addr(), socket.peer_addr()) {
            (Ok(local), Ok(remote)) if local.as_socket() == remote.as_socket() => {
                let alone = "nobody listens there: the connection was made to itself";
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, alone))
            }
            _ => Ok(()),
        }
    }

    fn connection(&self, socket: &Socket) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        let Some(time) = self.keepalive else {
            return Ok(());
        };
        let mut probing = TcpKeepalive::new().with_time(time);
        if let Some(interval) = self.keepalive_interval {
            probing = probing.with_interval(interval);
        }
        if let Some(probes) = self.keepalive_probes {
            probing = probing.with_retries(probes);
        }
        socket.set_tcp_keepalive(&probing)
    }

    //= DRV-14
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn limit_unsent(&self, socket: &Socket, remote: SocketAddr) -> io::Result<()> {
        match self.unsent {
            Some(bytes) if !remote.ip().to_canonical().is_loopback() => {
                socket.set_tcp_notsent_lowat(bytes)
            }
            Some(_) | None => Ok(()),
        }
    }

    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "Linux alone has this")]
    fn limit_unsent(&self, _: &Socket, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    fn socket(address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Buffers are set before connecting or listening, so that the window can be scaled to them.
    fn buffers(&self, socket: &Socket) -> io::Result<()> {
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// Both ends of a connection with these options.
    fn pair(options: &SocketOptions, address: &str) -> (TcpStream, TcpStream) {
        let listener = options.listen(address.parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = options.dialing(address).unwrap();
        socket.set_nonblocking(false).unwrap();
        // The kernel connects: nobody has to accept first.
        socket.connect(&address.into()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (server, remote) = listener.accept().unwrap();
        options.accepted(&SockRef::from(&server), remote).unwrap();
        (socket.into(), server)
    }

    //= test DRV-14
    #[test]
    fn what_is_not_sent_is_limited_except_over_loopback() {
        let options = SocketOptions::default();
        for (remote, limited) in [
            ("192.0.2.1:7", true),
            ("[2001:db8::1]:7", true),
            ("127.0.0.1:7", false),
            ("[::1]:7", false),
            ("[::ffff:127.0.0.1]:7", false),
        ] {
            let remote: SocketAddr = remote.parse().unwrap();
            let socket = SocketOptions::socket(remote).unwrap();
            let before = socket.tcp_notsent_lowat().unwrap();
            options.limit_unsent(&socket, remote).unwrap();
            let expected = if limited { 128 << 10 } else { before };
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), expected, "{remote}");
        }
    }

    #[test]
    fn options_take_effect_at_both_ends() {
        let set = SocketOptions {
            nodelay: false,
            keepalive: Some(Duration::from_secs(77)),
            keepalive_interval: Some(Duration::from_secs(15)),
            keepalive_probes: Some(3),
            send_buffer: Some(32 << 10),
            receive_buffer: Some(48 << 10),
            ..SocketOptions::default()
        };
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (client, server) = pair(&set, address);
            for stream in [&client, &server] {
                let socket = SockRef::from(stream);
                assert!(!socket.tcp_nodelay().unwrap());
                assert!(socket.keepalive().unwrap());
                assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
                assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
                assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
                // Linux accounts for its own overhead in twice of what is asked for.
                assert_eq!(socket.send_buffer_size().unwrap(), 64 << 10);
                assert_eq!(socket.recv_buffer_size().unwrap(), 96 << 10);
            }
            let (client, server) = pair(&SocketOptions::default(), address);
            for stream in [&client, &server] {
                let socket = SockRef::from(stream);
                assert!(socket.tcp_nodelay().unwrap());
                assert!(!socket.keepalive().unwrap());
            }
        }
    }

    #[test]
    fn a_connection_to_itself_is_none() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = SocketOptions::socket(address.parse().unwrap()).unwrap();
            socket.set_nonblocking(false).unwrap();
            socket.bind(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
            // Dialling takes any port that is free, and so the one that it dials now and then.
            socket.connect(&socket.local_addr().unwrap()).unwrap();
            let refused = SocketOptions::dialled(&SockRef::from(&socket)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let (client, server) = pair(&SocketOptions::default(), address);
            for stream in [&client, &server] {
                SocketOptions::dialled(&SockRef::from(stream)).unwrap();
            }
        }
        let broken = SocketOptions::socket("127.0.0.1:0".parse().unwrap()).unwrap();
        SocketOptions::dialled(&SockRef::from(&broken)).unwrap();
    }

    #[test]
    fn listeners_are_told_apart() {
        let reuses = |reuse_address| {
            let options = SocketOptions { reuse_address, ..SocketOptions::default() };
            let listener = options.listen("127.0.0.1:0".parse().unwrap()).unwrap();
            SockRef::from(&listener).reuse_address().unwrap()
        };
        assert!(reuses(true) && !reuses(false));
        for dual_stack in [true, false] {
            let options = SocketOptions { dual_stack, ..SocketOptions::default() };
            let listener = options.listen("[::]:0".parse().unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            let over_v4 = TcpStream::connect(("127.0.0.1", port));
            assert_eq!(over_v4.is_ok(), dual_stack);
        }
        // A full backlog leaves further connections without an answer: on Linux one more than
        // the number is taken.
        let options = SocketOptions { backlog: 1, ..SocketOptions::default() };
        let listener = options.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut taken = Vec::new();
        let limit = Duration::from_millis(300);
        while let Ok(stream) = TcpStream::connect_timeout(&address, limit) {
            taken.push(stream);
            assert!(taken.len() <= 2, "the backlog has no effect");
        }
        assert!(!taken.is_empty());
    }
}
