//! What was secret is not left behind in memory that is given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use outlast_core::auth::{Secret, SharedKey};
use outlast_service::{Credentials, KeyedClient, Password, SharedKeys, StoredPassword, Token};

/// Looks for [`NEEDLE`] in every block that is given back.
struct Searching;

static FOUND: AtomicUsize = AtomicUsize::new(0);

/// No other bytes of this program are like these, but with the bits of each turned around: so that
/// they are in no block by accident.
const TURNED: [u8; 16] = *b"\x9cb-\x99x\x17\xe3JX\x85\x0f\xb4\xc9!m\xd0";

fn needle() -> [u8; 16] {
    TURNED.map(|byte| !byte)
}

/// How often it was found while `f` ran.
fn found(f: impl FnOnce()) -> usize {
    let before = FOUND.load(Ordering::SeqCst);
    f();
    FOUND.load(Ordering::SeqCst) - before
}

// SAFETY: every call is passed on unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on. Zeroed, so that all of it may be read later.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the block is whole and was initialised when it was allocated; nobody else has it.
        let bytes = unsafe { std::slice::from_raw_parts(pointer, layout.size()) };
        if bytes.windows(16).any(|window| window.iter().zip(&TURNED).all(|(l, r)| *l == !*r)) {
            FOUND.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Searching = Searching;

//= test AUT-14
#[test]
fn secrets_are_cleared_before_their_memory_is_given_back() {
    assert_eq!(found(|| drop(needle().to_vec())), 1, "it would be found");
    let token = found(|| {
        let token = Token::new(needle().to_vec());
        drop((token.prover(), token.clone(), token));
    });
    let password = found(|| {
        let password = Password::new("ada", needle().to_vec()).unwrap();
        drop((password.prover(), password.clone(), password));
    });
    let stored = found(|| drop(StoredPassword::with_iterations(needle(), 4_096).unwrap()));
    let key = found(|| {
        let key = || Secret::new(&needle()).unwrap();
        let known = SharedKeys::new((0..3).map(|whose| SharedKey::new(b"ada", key(), whose)));
        let client = KeyedClient::new(*b"ada", key());
        drop((client.prover(), Box::new(key()), known, client));
    });
    assert_eq!([token, password, stored, key], [0; 4]);
}
