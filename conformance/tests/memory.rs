//! Every case over two cores in memory, in virtual time.

outlast_conformance::suite! {
    outlast_conformance::memory::Memory::default(),
    // A client in memory dials at once; what it is told to wait is judged where it waits.
    not_run: [f25_hint_of_the_server_is_kept],
}
