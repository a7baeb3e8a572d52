//! Every public call of the core as a function of its own, with arguments that the optimiser knows
//! nothing about: `link` proves of them that none can panic or allocate, and the program `stack` of
//! the firmware bounds the stack of each. `cargo xtask tidy` compares this list with the core.
//!
//! Nothing here is ever run. A session, a table or a frame is whatever may lie in its memory, so
//! what is proved holds in every state, also in those that no history leads to.
#![no_std]

use core::hint::black_box;

/// Functions that the linker keeps under their names, and `all`, which calls each of them.
macro_rules! entries {
    ($(
        fn $name:ident $(<$life:lifetime>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? {
            $body:expr
        }
    )*) => {
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            fn $name $(<$life>)? ($($arg: $type),*) $(-> $ret)? {
                $body
            }
        )*

        /// Calls everything here.
        pub(crate) fn all() {
            $(crate::keep($name($(crate::any(stringify!($arg))),*));)*
        }
    };
}

#[cfg(feature = "stateful")]
mod auth;
#[cfg(feature = "stateful")]
mod client;
#[cfg(feature = "stateful")]
mod server;
#[cfg(feature = "stateful")]
mod session;
mod wire;

/// Calls everything. Whoever links this must keep it, and never run it.
#[inline(never)]
pub fn all() {
    wire::all();
    #[cfg(feature = "stateful")]
    {
        auth::all();
        client::all();
        server::all();
        session::all();
    }
}

/// A value that exists nowhere, for the argument of that name.
fn any<T>(_: &str) -> T {
    // SAFETY: nothing runs this.
    unsafe { black_box(core::ptr::null::<T>()).read() }
}

/// Makes a result count, so that what led to it cannot be left out.
fn keep<T>(value: T) {
    black_box(&value);
}
