//! Limits, deadlines and policies over real sockets, on tokio.

#[path = "suite_tokio/subject.rs"]
mod subject;

outlast_conformance::socket_suite! { subject::ground() }
