//! A thin hand-written length-prefix client: one shared output buffer, one writer and one reader
//! task, and one yield before each flush so that every ready caller has added its message.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn};

use super::{CALL_SIZE, SEND_SIZE, SENDS_PER_LOOK, Work};

/// Bytes that may wait before `send` has to.
const OUTPUT_LIMIT: usize = 64 * 1024;
const READ_BUFFER: usize = 64 * 1024;

/// A handle that any task may clone, as client libraries offer it.
#[derive(Clone)]
struct Client(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or the client ends.
    work: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Default)]
struct State {
    output: Vec<u8>,
    /// Answers come in the order of the requests.
    callers: VecDeque<oneshot::Sender<Vec<u8>>>,
    ending: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<(Self, [JoinHandle<io::Result<()>>; 2])> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let shared =
            Arc::new(Shared { state: Mutex::default(), work: Notify::new(), room: Notify::new() });
        let tasks =
            [spawn(write(Arc::clone(&shared), writer)), spawn(read(Arc::clone(&shared), reader))];
        Ok((Self(shared), tasks))
    }

    async fn call(&self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut state = self.0.state();
            state.callers.push_back(sender);
            append(&mut state.output, payload)
        };
        if first {
            self.0.work.notify_one();
        }
        receiver.await.map_err(io::Error::other)
    }

    async fn send(&self, payload: &[u8]) {
        loop {
            let room = self.0.room.notified();
            {
                let mut state = self.0.state();
                if state.output.len() < OUTPUT_LIMIT {
                    if append(&mut state.output, payload) {
                        self.0.work.notify_one();
                    }
                    return;
                }
            }
            room.await;
        }
    }

    fn end(&self) {
        self.0.state().ending = true;
        self.0.work.notify_one();
    }
}

/// Adds one message and tells whether it is the first to wait.
fn append(output: &mut Vec<u8>, payload: &[u8]) -> bool {
    let first = output.is_empty();
    output.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    output.extend_from_slice(payload);
    first
}

async fn write(shared: Arc<Shared>, mut socket: OwnedWriteHalf) -> io::Result<()> {
    let mut writing = Vec::new();
    loop {
        shared.work.notified().await;
        tokio::task::yield_now().await;
        let ending = {
            let mut state = shared.state();
            core::mem::swap(&mut writing, &mut state.output);
            state.ending
        };
        shared.room.notify_waiters();
        socket.write_all(&writing).await?;
        writing.clear();
        if ending {
            return socket.shutdown().await;
        }
    }
}

async fn read(shared: Arc<Shared>, mut socket: OwnedReadHalf) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    let mut filled = 0;
    loop {
        let n = socket.read(&mut buffer[filled..]).await?;
        if n == 0 {
            return Ok(());
        }
        filled += n;
        let mut at = 0;
        let mut state = shared.state();
        while let Some(message) = message(&buffer[at..filled]) {
            at += 4 + message.len();
            if let Some(caller) = state.callers.pop_front() {
                let _ = caller.send(message.to_vec());
            }
        }
        drop(state);
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

fn message(bytes: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*prefix) as usize)
}

pub(super) async fn run(address: SocketAddr, work: Work, duration: Duration) -> io::Result<u64> {
    let (client, [writer, reader]) = Client::connect(address).await?;
    let begin = Instant::now();
    let mut count = 0;
    match work {
        Work::Calls(callers) => {
            let tasks = (0..callers).map(|_| {
                let client = client.clone();
                spawn(async move {
                    let payload = [b'c'; CALL_SIZE];
                    let mut done = 0u64;
                    while begin.elapsed() < duration {
                        client.call(&payload).await?;
                        done += 1;
                    }
                    io::Result::Ok(done)
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                count += task.await??;
            }
        }
        Work::Send => {
            let payload = [b's'; SEND_SIZE];
            while begin.elapsed() < duration {
                for _ in 0..SENDS_PER_LOOK {
                    client.send(&payload).await;
                }
                count += SENDS_PER_LOOK;
            }
        }
    }
    client.end();
    writer.await??;
    reader.await??;
    Ok(count)
}
