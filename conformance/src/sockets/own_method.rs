//! Authentication that an application has written itself.

use std::time::Duration;

use outlast_core::CloseCode;
use outlast_service::net::Net;
use outlast_service::{Authenticator, Credentials, Handler, SessionInfo, Token};

use super::tools::{Listening, a_client, a_server, deaf, dial, visit};

/// A server with this method lets in clients with this method as principal 7, and nobody else.
pub async fn a_method_of_ones_own_lets_in<N: Net, H: Handler>(
    net: N,
    authenticator: impl Authenticator,
    credentials: impl Credentials,
    echo: impl Fn() -> H + Send + Sync + 'static,
) {
    let builder = a_server(&net).authenticator(authenticator);
    let factory = move |session: &SessionInfo| {
        assert_eq!(session.principal, Some(7));
        echo()
    };
    let server = Listening::start(&net, builder, factory).await;
    let at = server.local_addr();
    let client = dial(&net, a_client(&net, at).credentials(credentials), deaf);
    let asked = client.request_timeout(1u8, b"who?", Duration::from_secs(60));
    assert_eq!(asked.await.unwrap().payload, b"who?"[..]);
    let other = visit(&net, at, Some(Token::new(*b"open").allow_plaintext())).await;
    assert_eq!(other.code, CloseCode::AUTH_FAILED);
}

/// Makes a test of an authentication method over this [`Ground`](crate::net::Ground), written with
/// the names of the root of a runtime crate alone.
#[macro_export]
macro_rules! own_method {
    ($root:ident, $ground:expr) => {
        use std::net::SocketAddr;

        use $root::{
            AuthContext, AuthStep, Authenticator, Bytes, Client, Config, ConfigError, Credentials,
            GateConfig, Handler, Head, Incoming, Limits, Peer, Prover, Rate, RegistryConfig, Reply,
            RequestId, Server, SessionInfo, Stats, Status, Verdict, Verifier,
        };

        /// A number of the private range.
        const METHOD: u8 = 200;

        #[derive(Debug)]
        struct Password;

        struct Asked;

        impl Verifier for Asked {
            fn handle_step(
                &mut self,
                _: &AuthContext<'_>,
                step: AuthStep<'_>,
                _: &mut [u8],
            ) -> Verdict {
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

        #[test]
        fn everything_an_application_needs_has_a_name_here() {
            let source_rate = Rate::UNLIMITED;
            let connections = GateConfig { source_rate, ..GateConfig::default() };
            let sessions = RegistryConfig { max_detached: 10, ..Limits::default().sessions };
            let limits = Limits { connections, sessions, ..Limits::default() };
            let _ = Server::builder().limits(limits).authenticator(Password);
            let _ = Client::builder().credentials(Password);
            let _: fn(&SessionInfo) -> Bytes = |_| Bytes::new();
            let out_of_range = Config { max_body: 1, ..Config::SERVER };
            let _: ConfigError = out_of_range.validate().unwrap_err();
            let ground = $ground;
            ground.run($crate::sockets::a_method_of_ones_own_lets_in(
                ground.net(),
                Password,
                Password,
                || Echo { last: None },
            ));
        }
    };
}
