//! `tokio_util::codec::LengthDelimitedCodec`, used well: feed all that is there, flush once.

use core::hint::black_box;
use std::io;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{Mode, announce, tokio_listener};

/// Messages that a slow member may lag behind before it loses some.
const BROADCAST_CAPACITY: usize = 1024;

pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    let listener = tokio_listener()?;
    announce(listener.local_addr()?.port())?;
    let (sender, _) = broadcast::channel(BROADCAST_CAPACITY);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let framed = Framed::new(stream, LengthDelimitedCodec::new());
        match mode {
            Mode::Sink | Mode::Chunks => drop(tokio::spawn(sink(framed))),
            Mode::Echo => drop(tokio::spawn(echo(framed))),
            Mode::FanOut => drop(tokio::spawn(member(framed, sender.clone()))),
        }
    }
}

type Stream = Framed<TcpStream, LengthDelimitedCodec>;

async fn sink(mut framed: Stream) -> io::Result<()> {
    while let Some(message) = framed.next().await {
        black_box(&message?[..]);
    }
    Ok(())
}

async fn echo(mut framed: Stream) -> io::Result<()> {
    while let Some(message) = framed.next().await {
        framed.feed(message?.freeze()).await?;
        while let Some(Some(message)) = framed.next().now_or_never() {
            framed.feed(message?.freeze()).await?;
        }
        SinkExt::<Bytes>::flush(&mut framed).await?;
    }
    Ok(())
}

async fn member(mut framed: Stream, sender: broadcast::Sender<Bytes>) -> io::Result<()> {
    let mut inbox = sender.subscribe();
    loop {
        tokio::select! {
            message = framed.next() => {
                let Some(message) = message else { return Ok(()) };
                let _ = sender.send(message?.freeze());
            }
            message = inbox.recv() => {
                framed.feed(message.map_err(io::Error::other)?).await?;
                while let Ok(message) = inbox.try_recv() {
                    framed.feed(message).await?;
                }
                SinkExt::<Bytes>::flush(&mut framed).await?;
            }
        }
    }
}
