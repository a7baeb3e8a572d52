//! What broke in real systems, over every foreign format, on tokio.

#[path = "suite_tokio/subject.rs"]
mod subject;

use outlast_conformance::plain::Ground;
use outlast_tokio::Tokio;

fn ground() -> Ground<Tokio> {
    let (net, spawn) = subject::tokio();
    Ground::with(net, spawn)
}

outlast_conformance::plain_suite! { ground() }
