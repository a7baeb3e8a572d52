//! Bytes without framing, a thread for each connection that blocks: what threads alone cost.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::{announce, listener};

/// A buffer per connection, as simple programs have it.
const ECHO_BUFFER: usize = 4096;

pub(super) fn serve() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(false)?;
    announce(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        drop(thread.spawn(move || connection(stream))?);
    }
}

fn connection(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; ECHO_BUFFER];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}
