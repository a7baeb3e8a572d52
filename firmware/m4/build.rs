//! Puts `memory.x` where the linker looks, and the texts of the log apart.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let memory = fs::read_to_string("memory.x").expect("it is beside this");
    // What keeps a session over a reset has its own place in the flash.
    let reset = env::var_os("CARGO_FEATURE_RESET").is_some();
    let memory = if reset { memory.replace("= 50K", "= 53K") } else { memory };
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR is writable");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
}
