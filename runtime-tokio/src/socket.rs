//! Socket options, and what they do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Options of TCP sockets, listening ones and connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// Send small segments at once (`TCP_NODELAY`). The session gathers by itself, so this is on.
    pub nodelay: bool,
    /// Probe an idle connection after this time (`SO_KEEPALIVE`). The session's heartbeat finds a
    /// dead peer sooner; `None` leaves it to that.
    pub keepalive: Option<Duration>,
    /// Let a restarted server bind its port at once (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Bytes of the kernel's send buffer; `None` is the system's choice.
    pub send_buffer: Option<usize>,
    /// Bytes of the kernel's receive buffer; `None` is the system's choice.
    pub receive_buffer: Option<usize>,
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
            reuse_address: true,
            send_buffer: None,
            receive_buffer: None,
            backlog: 4096,
            dual_stack: true,
        }
    }
}

impl SocketOptions {
    /// A listening socket.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Self::socket(address)?;
        if address.is_ipv6() {
            socket.set_only_v6(!self.dual_stack)?;
        }
        socket.set_reuse_address(self.reuse_address)?;
        self.buffers(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(self.backlog)?;
        TcpListener::from_std(socket.into())
    }

    /// A connection that is made now. It is abandoned when the future is dropped.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Self::socket(address)?;
        self.buffers(&socket)?;
        let stream = tokio::net::TcpSocket::from_std_stream(socket.into()).connect(address).await?;
        self.apply(&stream)?;
        Ok(stream)
    }

    /// Sets the options of a connection.
    pub(crate) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(self.nodelay)?;
        if let Some(time) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(time);
            socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
        }
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
