//! An echo server on threads: what a driver of these formats does, in its plainest form.

use core::net::SocketAddr;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use outlast_formats::{AnyFormat, Beat, Cause, End, Failure, Format, Key, Kind, Packet, Step};

/// Serves each connection with a format of its own, for as long as the process lives.
pub(crate) fn start(format: &AnyFormat) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let format = format.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let format = format.clone();
            // What ends one connection ends no other.
            thread::spawn(move || serve(stream, format));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream, mut format: AnyFormat) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (local, remote) = (stream.local_addr()?.to_string(), stream.peer_addr()?.to_string());
    let (mut held, mut out, mut piece) = (Vec::new(), Vec::new(), vec![0; 1 << 16]);
    loop {
        let room = format.max_input() - held.len();
        let limit = room.min(piece.len());
        let count = stream.read(&mut piece[..limit])?;
        if count == 0 {
            // Whatever is left is half a packet; there is nobody to tell.
            let end = format.end(&held);
            assert!(matches!(end, Ok(End::Clean | End::Truncated { .. })), "{end:?}");
            return Ok(());
        }
        held.extend_from_slice(&piece[..count]);
        let mut at = 0;
        let ended = loop {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            match format.decode(&held[at..]) {
                Ok(Step::Need(_)) => break None,
                Ok(Step::Skip(taken)) => at += taken,
                Ok(Step::Bad { error, taken }) => {
                    at += taken;
                    let cause = Cause::Malformed(error);
                    let failure = Failure { cause, text: None, unix };
                    format.encode_failure(&failure, None, &mut out).expect("a short answer");
                }
                Ok(Step::Packet { packet, taken }) => {
                    at += taken;
                    let beat = Beat { local: &local, remote: &remote, unix };
                    answer(&mut format, &packet, &beat, &mut out);
                }
                Err(error) => break Some(error),
            }
        };
        held.drain(..at);
        stream.write_all(&out)?;
        out.clear();
        if ended.is_some() {
            return Ok(());
        }
    }
}

fn answer(format: &mut AnyFormat, packet: &Packet<'_>, beat: &Beat<'_>, out: &mut Vec<u8>) {
    let nobody = match &packet.key {
        Key::Id(id) => packet.kind == Kind::Request && *id == 404,
        Key::Name(name) => name == "nobody",
        Key::None => false,
    };
    if packet.kind == Kind::Heartbeat {
        format.encode_heartbeat(beat, out).expect("a short text");
    } else if nobody {
        let failure = Failure { cause: Cause::NoRoute, text: None, unix: beat.unix };
        format.encode_failure(&failure, Some(packet), out).expect("a short answer");
    } else if packet.kind == Kind::Request {
        let reply = format.reply(packet, packet.payload.clone());
        format.encode(&reply, out).expect("what came can be sent");
    } else {
        format.encode(packet, out).expect("what came can be sent");
    }
}
