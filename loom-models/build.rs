//! Switches the included files to loom's primitives, without `RUSTFLAGS`: dependencies are
//! built as always.

fn main() {
    println!("cargo:rustc-cfg=spargio_loom");
    println!("cargo:rerun-if-changed=build.rs");
}
