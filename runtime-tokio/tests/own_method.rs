//! What an application writes itself, with the names of this crate's root alone.

use std::net::SocketAddr;
use std::time::Duration;

use outlast_tokio::{
    AuthContext, AuthStep, Authenticator, Bytes, Client, ConfigError, Credentials, GateConfig,
    Handler, Head, Incoming, Limits, Peer, Prover, Rate, RegistryConfig, Reply, RequestId, Server,
    SessionInfo, Stats, Status, Verdict, Verifier,
};

/// A number of the private range.
const METHOD: u8 = 200;

#[derive(Debug)]
struct Password;

struct Asked;

impl Verifier for Asked {
    fn handle_step(&mut self, _: &AuthContext<'_>, step: AuthStep<'_>, _: &mut [u8]) -> Verdict {
        match (step.method, step.data) {
            (METHOD, b"open") => Verdict::Accept { principal: 7, reply: 0 },
            _ => Verdict::Deny,
        }
    }
}

impl Prover for Asked {
    fn method(&self) -> u8 {
        METHOD
    }

    fn start(&mut self, _: &AuthContext<'_>, out: &mut [u8]) -> Option<usize> {
        out.get_mut(..4)?.copy_from_slice(b"open");
        Some(4)
    }

    fn handle_step(&mut self, _: &AuthContext<'_>, _: &[u8], _: &mut [u8]) -> Reply {
        Reply::Refuse
    }

    fn is_satisfied(&self) -> bool {
        true
    }
}

impl Authenticator for Password {
    fn verifier(&self, _: Option<SocketAddr>) -> Box<dyn Verifier + Send> {
        Box::new(Asked)
    }
}

impl Credentials for Password {
    fn prover(&self) -> Box<dyn Prover + Send> {
        Box::new(Asked)
    }
}

struct Echo {
    last: Option<RequestId>,
}

impl Handler for Echo {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Request { id, payload, .. } => {
                self.last = Some(id);
                let _: Stats = peer.session().stats();
                peer.respond(id, Status::OK, payload).unwrap();
            }
            Incoming::Aborted { head: Head::Message { .. } } => {}
            _ => {}
        }
    }
}

#[tokio::test]
async fn everything_an_application_needs_has_a_name_here() {
    let connections = GateConfig { source_rate: Rate::UNLIMITED, ..GateConfig::default() };
    let sessions = RegistryConfig { max_detached: 10, ..Limits::default().sessions };
    let server = Server::builder()
        .limits(Limits { connections, sessions, ..Limits::default() })
        .authenticator(Password)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let server = server
        .start(|session: &SessionInfo| {
            assert_eq!(session.principal, Some(7));
            Echo { last: None }
        })
        .unwrap();
    let (handle, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .credentials(Password)
        .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})
        .unwrap();
    let client = tokio::spawn(runner);
    let answer: Bytes = handle.request(1u8, b"who?").await.unwrap().payload;
    assert_eq!(answer, b"who?"[..]);
    client.abort();
    server.shutdown(Duration::ZERO).await;
    let out_of_range = outlast_tokio::Config { max_body: 1, ..outlast_tokio::Config::SERVER };
    let _: ConfigError = out_of_range.validate().unwrap_err();
}
