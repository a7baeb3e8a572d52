//! A server that runs out of file descriptors, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outlast_core::Config;
use outlast_core::wire::Status;
use outlast_service::net::Net;
use outlast_service::{Handle, Incoming, Peer, SessionInfo};

use super::tools::{a_client, a_server, dial, within};
use crate::net::Ground;

/// Set in the process that is the server.
const ROLE: &str = "OUTLAST_SERVER_WITH_FEW_DESCRIPTORS";
const HERE: &str = "listening at ";

/// Makes the test of a server without descriptors over this [`Ground`], in a test binary that has
/// nothing else.
#[macro_export]
macro_rules! descriptors {
    ($ground:expr) => {
        /// What the other process runs; without being asked to it does nothing.
        #[test]
        fn the_server() {
            if $crate::sockets::is_the_server() {
                $crate::sockets::the_server(&$ground);
            }
        }

        #[test]
        fn out_of_descriptors_it_serves_on_and_recovers() {
            $crate::sockets::out_of_descriptors_it_serves_on_and_recovers(&$ground);
        }
    };
}

/// Whether this process is to be the server.
pub fn is_the_server() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// The server, until the test is done with it.
pub fn the_server<N: Net>(ground: &Ground<N>) {
    let net = ground.net();
    let config = Config { handshake_timeout_ms: 60_000, ..Config::SERVER };
    let server = ground.run(async move {
        let server = a_server(&net).config(config).bind("127.0.0.1:0").await.unwrap();
        let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Request { id, payload, .. } = event {
                peer.respond(id, Status::OK, payload).unwrap();
            }
        };
        server.start(move |_: &SessionInfo| echo).unwrap()
    });
    println!("\n{HERE}{}", server.local_addr());
    // It ends when nobody holds the other end.
    let _ = std::io::stdin().read(&mut [0]);
}

/// The server's process; it ends with this.
struct Other {
    process: Child,
    address: SocketAddr,
}

impl Other {
    fn start() -> Self {
        let own = std::env::current_exe().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact the_server --nocapture"])
            .arg(own)
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.unwrap().strip_prefix(HERE).map(str::to_owned));
        let address = said.expect("the server's address").parse().unwrap();
        Self { process, address }
    }

    /// Processor time in hundredths of a second, where the system tells it in a file.
    fn worked(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(user + system)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client whose connection must not end.
fn calm<N: Net>(net: &N, address: SocketAddr) -> Handle {
    dial(net, a_client(net, address), |_: &mut Peer<'_>, event: Incoming<'_>| {
        assert!(!matches!(event, Incoming::Disconnected { .. }), "{event:?}");
    })
}

async fn ask(handle: &Handle) {
    let asking = handle.request_timeout(1u8, b"still there?", Duration::from_secs(30));
    assert_eq!(asking.await.unwrap().payload, b"still there?"[..]);
}

/// Who is connected is served as before, the server does not spin, and once there are descriptors
/// again whoever comes is served. Threads that have none left to be woken by look from time to
/// time, and no oftener.
pub fn out_of_descriptors_it_serves_on_and_recovers<N: Net>(ground: &Ground<N>) {
    let (other, net) = (Other::start(), ground.net());
    ground.run(async move {
        let bystander = calm(&net, other.address);
        ask(&bystander).await;
        let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(other.address).unwrap()).collect();
        let (start, before) = (Instant::now(), other.worked());
        while start.elapsed() < Duration::from_secs(2) {
            let pause = within(&net, Duration::from_millis(10), std::future::pending::<()>());
            assert!(pause.await.is_none());
            ask(&bystander).await;
        }
        if let (Some(before), Some(after)) = (before, other.worked()) {
            // Whoever looks later has seen it work for longer.
            let (spent, passed) = (after - before, start.elapsed().as_millis());
            assert!(
                u128::from(spent) < passed / 20,
                "{spent} hundredths of a second in {passed} ms"
            );
        }
        drop(crowd);
        ask(&calm(&net, other.address)).await;
        ask(&bystander).await;
    });
}
