//! Two sessions of the core in the memory of a microcontroller, and a wire between them.
#![no_std]
#![forbid(unsafe_code)]

pub mod pair;
