//! Ways to connections: TCP in real time, and a subject of the suite.

#[cfg(feature = "net")]
use std::time::{Duration, Instant};

use super::Reach;
use crate::driver::{Driver, Stream, Subject};

#[cfg(feature = "net")]
pub use sockets::{Dial, Listen};

/// A subject of the suite, in its driver's time. Without a command nothing is sent, unless `echo`.
pub struct Within<'d> {
    driver: &'d mut dyn Driver,
    subject: Box<dyn Subject>,
    echo: bool,
    waiting: Vec<(u64, crate::driver::Cmd)>,
}

impl std::fmt::Debug for Within<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Within").field("echo", &self.echo).finish_non_exhaustive()
    }
}

impl<'d> Within<'d> {
    /// This subject, whose application gives back what it gets if `echo`.
    pub fn new(driver: &'d mut dyn Driver, subject: Box<dyn Subject>, echo: bool) -> Self {
        Self { driver, subject, echo, waiting: Vec::new() }
    }

    /// Answers what was observed; what finds no room waits.
    fn attend(&mut self) {
        use crate::driver::{Cmd, Obs};
        while let Some(seen) = self.subject.poll() {
            let command = match seen.what {
                Obs::Message { route, payload } => Cmd::Send { route, payload },
                Obs::Request { id, payload, .. } => Cmd::Respond { id, status: 0, payload },
                Obs::Finished => Cmd::Finish,
                _ => continue,
            };
            if self.echo {
                self.waiting.push((seen.session, command));
            }
        }
        let subject = &mut self.subject;
        let mut is_full = false;
        self.waiting.retain(|(session, command)| {
            is_full = is_full || subject.command(*session, command.clone()).is_err();
            is_full
        });
        // What cannot be said in a session that is over is said nowhere.
        if self.waiting.len() > 10_000 {
            self.waiting.clear();
        }
    }
}

impl Reach for Within<'_> {
    fn connect(&mut self) -> Result<Box<dyn Stream>, String> {
        for _ in 0..60_000 {
            if let Some(stream) = self.subject.plug() {
                return Ok(stream);
            }
            self.pause(1_000);
        }
        Err("it does not dial".into())
    }

    fn waiting(&mut self) -> Option<Box<dyn Stream>> {
        self.subject.plug()
    }

    fn now(&self) -> u64 {
        self.driver.now()
    }

    fn pause(&mut self, micros: u64) {
        self.driver.pause(micros);
        self.attend();
    }
}

/// A clock and short naps.
#[cfg(feature = "net")]
#[derive(Debug)]
struct Clock(Instant);

#[cfg(feature = "net")]
impl Clock {
    fn now(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    fn pause(micros: u64) {
        std::thread::park_timeout(Duration::from_micros(micros.min(500)));
    }
}

#[cfg(feature = "net")]
mod sockets {
    use std::io;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::super::Reach;
    use super::Clock;
    use crate::driver::Stream;
    use crate::net::Socket;

    /// A server, which is dialled.
    #[derive(Debug)]
    pub struct Dial {
        address: SocketAddr,
        clock: Clock,
    }

    impl Dial {
        /// The server at this address.
        #[must_use]
        pub fn new(address: SocketAddr) -> Self {
            Self { address, clock: Clock(Instant::now()) }
        }
    }

    impl Reach for Dial {
        fn connect(&mut self) -> Result<Box<dyn Stream>, String> {
            let connected = TcpStream::connect_timeout(&self.address, Duration::from_secs(10));
            let stream = connected.and_then(Socket::new);
            let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
            Ok(Box::new(stream))
        }

        fn now(&self) -> u64 {
            self.clock.now()
        }

        fn pause(&mut self, micros: u64) {
            Clock::pause(micros);
        }
    }

    /// Clients, which are waited for.
    #[derive(Debug)]
    pub struct Listen {
        listener: TcpListener,
        patience: Duration,
        clock: Clock,
    }

    impl Listen {
        /// Clients of this listener, each of which dials again within this time.
        ///
        /// # Errors
        ///
        /// Those of the listener.
        pub fn new(listener: TcpListener, patience: Duration) -> io::Result<Self> {
            listener.set_nonblocking(true)?;
            Ok(Self { listener, patience, clock: Clock(Instant::now()) })
        }
    }

    impl Reach for Listen {
        fn connect(&mut self) -> Result<Box<dyn Stream>, String> {
            let start = Instant::now();
            loop {
                if let Some(stream) = self.waiting() {
                    return Ok(stream);
                }
                if start.elapsed() > self.patience {
                    return Err("no client dials".into());
                }
                Clock::pause(500);
            }
        }

        fn waiting(&mut self) -> Option<Box<dyn Stream>> {
            let (stream, _) = self.listener.accept().ok()?;
            Some(Box::new(Socket::new(stream).ok()?))
        }

        fn now(&self) -> u64 {
            self.clock.now()
        }

        fn pause(&mut self, micros: u64) {
            Clock::pause(micros);
        }
    }
}
