//! Certificates that are made on the spot, and configurations with them.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod far;

use outlast_tls::{ClientTls, ClientTlsBuilder, ServerTls, ServerTlsBuilder};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// Somebody who signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// When a certificate is valid.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Valid {
    Now,
    NotAnyMore,
    NotYet,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self { issuer: issuer.unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn sign(&self, common_name: &str, names: &[&str], valid: Valid) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        match valid {
            Valid::Now => {}
            Valid::NotAnyMore => params.not_after = date_time_ymd(2020, 2, 29),
            Valid::NotYet => params.not_before = date_time_ymd(2999, 1, 1),
        }
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Signed { chain: signed.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn server(&self) -> Signed {
        self.sign("server", &["localhost", "127.0.0.1"], Valid::Now)
    }
}

/// A server with a certificate of this authority.
pub(crate) fn server_of(authority: &Authority) -> ServerTlsBuilder {
    let Signed { chain, key } = authority.server();
    ServerTls::pem(chain, key)
}

/// A client that trusts this authority.
pub(crate) fn client_of(authority: &Authority) -> ClientTlsBuilder {
    ClientTls::builder().roots_pem(authority.pem()).server_name("localhost")
}

/// Both ends, as they are without further ado.
pub(crate) fn both() -> (ClientTls, ServerTls) {
    let authority = Authority::new("authority");
    (client_of(&authority).build().unwrap(), server_of(&authority).build().unwrap())
}
