//! Every case of the suite over real sockets on loopback, in real time, in tasks of async-std and
//! of smol.

mod subject;

#[cfg(feature = "async-std")]
mod async_std {
    outlast_conformance::suite! {
        outlast_conformance::net::Loopback::new(crate::subject::over_async_std()),
        // What is held is looked at in a process of its own: see the tests named `bounded`.
        not_run: [a02_announced_body_costs_nothing],
    }
}

#[cfg(feature = "smol")]
mod smol {
    outlast_conformance::suite! {
        outlast_conformance::net::Loopback::new(crate::subject::over_smol()),
        // What is held is looked at in a process of its own: see the tests named `bounded`.
        not_run: [a02_announced_body_costs_nothing],
    }
}
