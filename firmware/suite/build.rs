//! Puts `memory.x` where the linker looks.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={here}");
}
