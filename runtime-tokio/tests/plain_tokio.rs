//! What broke in real systems, over every foreign format, on tokio.

#[path = "suite_tokio/subject.rs"]
mod subject;

outlast_conformance::plain_suite! { subject::ground() }
