//! Bytes without framing over tokio: what the runtime alone costs.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Mode, READ_BUFFER, announce, tokio_listener};

/// A buffer per connection, as simple programs have it; small where there are many of them.
const ECHO_BUFFER: usize = 4096;

pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    let listener = tokio_listener()?;
    announce(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, mode));
    }
}

async fn connection(mut stream: TcpStream, mode: Mode) -> io::Result<()> {
    let echo = mode == Mode::Echo;
    let mut buffer = vec![0; if echo { ECHO_BUFFER } else { READ_BUFFER }];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        if echo {
            stream.write_all(&buffer[..n]).await?;
        }
    }
}
