//! A server that runs out of file descriptors, on tokio.
#![cfg(unix)]

#[path = "suite_tokio/subject.rs"]
mod subject;

outlast_conformance::descriptors! { subject::ground() }
