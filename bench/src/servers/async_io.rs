//! Echoes over async-io in tasks of smol and of async-std: bytes without framing, as simple
//! programs for that runtime have them, and this project's server.

use std::io;

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use outlast_async_std::{async_std as on_async_std, smol as on_smol};

use super::{announce, listener, outlast};

/// As for the raw echo over tokio.
const ECHO_BUFFER: usize = 4096;

pub(super) fn smol_raw() -> io::Result<()> {
    smol::block_on(smol::spawn(async {
        let listener = smol::net::TcpListener::try_from(listener()?)?;
        announce(listener.local_addr()?.port())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            smol::spawn(echo(stream)).detach();
        }
    }))
}

pub(super) fn async_std_raw() -> io::Result<()> {
    async_std::task::block_on(async_std::task::spawn(async {
        let listener = async_std::net::TcpListener::from(listener()?);
        announce(listener.local_addr()?.port())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            drop(async_std::task::spawn(echo(stream)));
        }
    }))
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; ECHO_BUFFER];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

pub(super) fn over_smol() -> io::Result<()> {
    smol::block_on(async {
        let server = on_smol::Server::builder().config(outlast::config());
        let server = server.limits(outlast::limits()).bind("127.0.0.1:0").await?;
        announce(server.local_addr()?.port())?;
        server.start(|_| outlast::Echo)?.finished().await;
        Ok(())
    })
}

pub(super) fn over_async_std() -> io::Result<()> {
    async_std::task::block_on(async {
        let server = on_async_std::Server::builder().config(outlast::config());
        let server = server.limits(outlast::limits()).bind("127.0.0.1:0").await?;
        announce(server.local_addr()?.port())?;
        server.start(|_| outlast::Echo)?.finished().await;
        Ok(())
    })
}
