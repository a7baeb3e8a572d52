//! What a service manager is told of the process, as systemd has it: a line of `KEY=VALUE` each, in
//! one datagram to the socket whose name the environment has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    #[cfg(unix)]
    socket: Option<socket::Socket>,
    /// It was said that nobody can be told.
    failed: AtomicBool,
    /// How often it wants to hear that the process is alive, at least.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment of the process has it. Without a name in it nobody is told anything; what
    /// cannot be used of it is said on standard error, and does not keep a server from serving.
    pub(crate) fn of_environment() -> Self {
        let watchdog = watchdog(&|name| std::env::var(name).ok(), std::process::id());
        #[cfg(unix)]
        {
            let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
            let socket = name.and_then(|name| {
                let opened = socket::Socket::open(&name);
                let said = |error| eprintln!("outlast: NOTIFY_SOCKET is {name:?}: {error}");
                opened.map_err(said).ok()
            });
            let watchdog = watchdog.filter(|_| socket.is_some());
            Self { socket, failed: AtomicBool::new(false), watchdog }
        }
        #[cfg(not(unix))]
        Self { failed: AtomicBool::new(false), watchdog: watchdog.filter(|_| false) }
    }

    /// Whether anybody is told anything.
    pub(crate) const fn is_heard(&self) -> bool {
        #[cfg(unix)]
        return self.socket.is_some();
        #[cfg(not(unix))]
        false
    }

    /// It serves, or has read its settings again.
    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its settings again; [`ready`](Self::ready) follows, whatever came of it.
    pub(crate) fn reloading(&self) {
        #[cfg(unix)]
        if self.is_heard() {
            self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", socket::monotonic_micros()));
        }
    }

    /// It ends, and may take so long.
    pub(crate) fn stopping(&self, at_most: Duration, status: &str) {
        let micros = at_most.as_micros();
        self.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}\nSTATUS={status}"));
    }

    /// Says that the process is alive, twice as often as is wanted, as long as it is polled.
    pub(crate) async fn stay_alive(&self) -> std::convert::Infallible {
        let Some(every) = self.watchdog else {
            return std::future::pending().await;
        };
        loop {
            self.say("WATCHDOG=1");
            tokio::time::sleep(every / 2).await;
        }
    }

    fn say(&self, text: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            eprintln!("outlast: the service manager was not told: {error}");
        }
        #[cfg(not(unix))]
        let _ = text;
    }
}

/// How often the service manager wants to hear of the process with the number `own`.
fn watchdog(variable: &dyn Fn(&str) -> Option<String>, own: u32) -> Option<Duration> {
    let micros: u64 = variable("WATCHDOG_USEC")?.trim().parse().ok()?;
    // It may be meant for whoever started this one.
    let meant = variable("WATCHDOG_PID").and_then(|pid| pid.trim().parse::<u32>().ok());
    (micros > 0 && meant.is_none_or(|pid| pid == own)).then(|| Duration::from_micros(micros))
}

#[cfg(unix)]
mod socket {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    /// How long it may take to be rid of a datagram: whoever should read it may be busy.
    const PATIENCE: Duration = Duration::from_secs(2);

    #[derive(Debug)]
    pub(super) struct Socket {
        socket: UnixDatagram,
        to: SocketAddr,
    }

    impl Socket {
        /// A name with `@` in front is one that no file has, as Linux knows them.
        pub(super) fn open(name: &OsStr) -> io::Result<Self> {
            let to = match name.as_bytes() {
                [b'/', ..] => SocketAddr::from_pathname(name)?,
                #[cfg(target_os = "linux")]
                [b'@', rest @ ..] => {
                    use std::os::linux::net::SocketAddrExt;
                    SocketAddr::from_abstract_name(rest)?
                }
                _ => return Err(io::Error::other("neither a path nor an abstract name")),
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Self { socket, to })
        }

        pub(super) fn send(&self, text: &str) -> io::Result<()> {
            self.socket.send_to_addr(text.as_bytes(), &self.to).map(|_| ())
        }
    }

    /// The clock by which systemd orders a reload and the signal that asked for it.
    pub(super) fn monotonic_micros() -> u128 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::try_from(now).map_or(0, |since_start| since_start.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_for_the_process_that_is_meant() {
        let told = |usec: &'static str, pid: Option<&'static str>| {
            watchdog(
                &|name| match name {
                    "WATCHDOG_USEC" => Some(usec.to_owned()),
                    "WATCHDOG_PID" => pid.map(str::to_owned),
                    _ => None,
                },
                7,
            )
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(told("1000000", None), second);
        assert_eq!(told("1000000", Some("7")), second);
        assert_eq!(told("1000000", Some("8")), None);
        assert_eq!(told("0", None), None);
        assert_eq!(told("soon", None), None);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_sockets_are_refused() {
        for name in ["relative", "vsock:2:1234"] {
            let error = socket::Socket::open(std::ffi::OsStr::new(name)).unwrap_err();
            assert!(error.to_string().contains("neither a path nor"), "{error}");
        }
    }
}
