//! What an application writes itself, with the names of this crate's root alone.

#[path = "suite_tokio/subject.rs"]
mod subject;

outlast_conformance::own_method! { outlast_tokio, subject::ground() }
