//! Bytes without a session: tokio, with rustls or without TLS.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use outlast_tls::rustls::pki_types::pem::PemObject;
use outlast_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use outlast_tls::rustls::{self, crypto::ring};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Begin, CHUNK, CONNECTIONS, PING, Run, Signed, measure};

/// What moves bytes.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

type Stream = Box<dyn Bytes>;

/// One end, with TLS or without.
#[derive(Clone)]
struct Ends(Option<(TlsAcceptor, TlsConnector)>);

impl Ends {
    fn new(signed: Option<&Signed>) -> io::Result<Self> {
        let Some(signed) = signed else {
            return Ok(Self(None));
        };
        let chain = vec![CertificateDer::from_pem_slice(signed.chain.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("PEM");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(chain[0].clone()).map_err(io::Error::other)?;
        let provider = Arc::new(ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(io::Error::other)?;
        Ok(Self(Some((Arc::new(server).into(), Arc::new(client).into()))))
    }

    async fn accept(&self, tcp: TcpStream) -> io::Result<Stream> {
        tcp.set_nodelay(true)?;
        Ok(match &self.0 {
            Some((server, _)) => Box::new(server.accept(tcp).await?),
            None => Box::new(tcp),
        })
    }

    async fn connect(&self, tcp: TcpStream) -> io::Result<Stream> {
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        Ok(match &self.0 {
            Some((_, client)) => Box::new(client.connect(name, tcp).await?),
            None => Box::new(tcp),
        })
    }
}

/// Chunks, as fast as they are taken.
pub(super) fn one_way(signed: Option<&Signed>, time: Duration) -> io::Result<Run> {
    let ends = Ends::new(signed)?;
    let server = ends.clone();
    measure(
        move |tell| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            tell.send(listener.local_addr()?).map_err(io::Error::other)?;
            let mut stream = server.accept(listener.accept().await?.0).await?;
            let mut buf = vec![0; CHUNK];
            while stream.read(&mut buf).await? > 0 {}
            stream.write_all(b"!").await?;
            stream.shutdown().await
        },
        |address| async move {
            let mut stream = ends.connect(TcpStream::connect(address).await?).await?;
            let (chunk, begin, mut bytes) = (vec![7; CHUNK], Begin::now()?, 0);
            while begin.at.elapsed() < time {
                stream.write_all(&chunk).await?;
                bytes += chunk.len() as u64;
            }
            stream.shutdown().await?;
            // The server has taken everything once it answers.
            stream.read_u8().await?;
            Ok(begin.done(bytes))
        },
    )
}

/// Bytes that come back.
pub(super) fn echo(signed: Option<&Signed>, time: Duration) -> io::Result<Run> {
    let ends = Ends::new(signed)?;
    let server = ends.clone();
    measure(
        move |tell| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            tell.send(listener.local_addr()?).map_err(io::Error::other)?;
            let mut all = Vec::new();
            for _ in 0..CONNECTIONS {
                let (ends, tcp) = (server.clone(), listener.accept().await?.0);
                all.push(tokio::spawn(async move {
                    let mut stream = ends.accept(tcp).await?;
                    let mut buf = [0; PING];
                    while stream.read_exact(&mut buf).await.is_ok() {
                        stream.write_all(&buf).await?;
                    }
                    io::Result::Ok(())
                }));
            }
            for one in all {
                one.await??;
            }
            Ok(())
        },
        |address| async move {
            let mut streams = Vec::new();
            for _ in 0..CONNECTIONS {
                streams.push(ends.connect(TcpStream::connect(address).await?).await?);
            }
            let (begin, mut all) = (Begin::now()?, Vec::new());
            let start = begin.at;
            for mut stream in streams {
                all.push(tokio::spawn(async move {
                    let (mut buf, mut count) = ([7; PING], 0);
                    while start.elapsed() < time {
                        stream.write_all(&buf).await?;
                        stream.read_exact(&mut buf).await?;
                        count += 1;
                    }
                    stream.shutdown().await?;
                    io::Result::Ok(count)
                }));
            }
            let mut count = 0;
            for one in all {
                count += one.await??;
            }
            Ok(begin.done(count))
        },
    )
}
