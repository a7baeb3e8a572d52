//! Puts `memory.x` where the linker looks, and turns the golden vectors into Rust.

#[path = "build/vectors.rs"]
mod vectors;

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", here.display());
    let folder = here.join("../../conformance/vectors");
    println!("cargo:rerun-if-changed={}", folder.display());
    fs::write(out.join("vectors.rs"), vectors::table(&folder)).expect("OUT_DIR is writable");
}
