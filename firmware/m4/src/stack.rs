//! How much stack was ever used: it is painted first, and looked at behind.

const PAINT: u32 = 0xAAAA_5555;
/// Bytes below the painter's own frame that it leaves alone.
const MARGIN: usize = 64;

unsafe extern "C" {
    static mut __sheap: u8;
    static mut _stack_start: u8;
}

fn bottom() -> usize {
    (&raw const __sheap as usize).next_multiple_of(4)
}

/// Paints everything between the statics and the stack pointer.
#[inline(never)]
pub(crate) fn paint() {
    let here = 0_u32;
    let end = core::ptr::from_ref(&here) as usize - MARGIN;
    for at in (bottom()..end).step_by(4) {
        // SAFETY: RAM above the statics and below the stack, which nobody uses.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
    }
}

/// Bytes from the deepest place that was ever written to the end of RAM.
#[inline(never)]
pub(crate) fn used() -> usize {
    let (bottom, top) = (bottom(), &raw const _stack_start as usize);
    // SAFETY: RAM, read only.
    let is_painted = |at: &usize| unsafe { (*at as *const u32).read_volatile() } == PAINT;
    let clean = (bottom..top).step_by(4).take_while(is_painted).count() * 4;
    top - bottom - clean
}
