//! Puts `memory.x` where the linker looks, and turns the golden vectors into Rust.

#[path = "build/vectors.rs"]
mod vectors;

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-search={}", out.display());
    let memory = fs::read_to_string(here.join("memory.x")).expect("it is beside this");
    // Every call of the core at once is inspected and never run.
    let stack = env::var_os("CARGO_FEATURE_STACK").is_some();
    let memory = if stack { memory.replace("= 49K", "= 256K") } else { memory };
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR is writable");
    let folder = here.join("../../conformance/vectors");
    println!("cargo:rerun-if-changed={}", folder.display());
    fs::write(out.join("vectors.rs"), vectors::table(&folder)).expect("OUT_DIR is writable");
}
