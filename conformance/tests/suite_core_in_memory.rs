//! Every case over two cores in memory, in virtual time.

outlast_conformance::suite! { outlast_conformance::memory::Memory::default() }
