//! zlib and zstd, as far as they are built in, with a limit to what comes out.

use alloc::vec::Vec;

use crate::error::FormatError;
use crate::packet::Compression;

/// Whether zlib is built in.
pub(super) const ZLIB: bool = cfg!(feature = "zlib");
/// Whether zstd is built in.
pub(super) const ZSTD: bool = cfg!(feature = "zstd");

/// What is unpacked, of at most `limit` bytes. All of `packed` is one stream.
#[cfg(feature = "zlib")]
pub(super) fn zlib_unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, FormatError> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
        | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let bad = FormatError::BadCompressed(Compression::Zlib);
    let mut state = alloc::boxed::Box::<DecompressorOxide>::default();
    // Memory follows what came out. One byte more than allowed tells what is too long.
    let most = limit + 1;
    let mut out = alloc::vec![0; packed.len().saturating_mul(2).clamp(64, most.max(64))];
    let (mut read, mut written) = (0, 0);
    loop {
        let rest = packed.get(read..).unwrap_or_default();
        let (status, took, gave) = decompress(&mut state, rest, &mut out, written, flags);
        read += took;
        written += gave;
        if written > limit {
            return Err(FormatError::Bomb { limit });
        }
        if status == TINFLStatus::Done {
            // Bytes behind the stream would be read differently by different peers.
            if read != packed.len() {
                return Err(bad);
            }
            out.truncate(written);
            return Ok(out);
        }
        if status != TINFLStatus::HasMoreOutput || out.len() >= most {
            return Err(bad);
        }
        let longer = out.len().saturating_mul(2).min(most);
        out.resize(longer, 0);
    }
}

#[cfg(feature = "zlib")]
pub(super) fn zlib_pack(payload: &[u8]) -> Result<Vec<u8>, FormatError> {
    Ok(miniz_oxide::deflate::compress_to_vec_zlib(payload, 6))
}

/// What is unpacked, of at most `limit` bytes. All of `packed` is one frame.
#[cfg(feature = "zstd")]
pub(super) fn zstd_unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, FormatError> {
    use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

    let bad = FormatError::BadCompressed(Compression::Zstd);
    let bomb = FormatError::Bomb { limit };
    let mut rest = packed;
    let mut decoder = FrameDecoder::new();
    // A window is as much memory as output is; 1 KiB is the least there is.
    decoder.set_max_window_size((limit as u64).max(WINDOW_MIN));
    decoder.init(&mut rest).map_err(|_| bad)?;
    if decoder.content_size() > limit as u64 {
        return Err(bomb);
    }
    let mut out = Vec::new();
    while !decoder.is_finished() {
        // A block unpacks to 128 KiB at most.
        let strategy = BlockDecodingStrategy::UptoBlocks(1);
        decoder.decode_blocks(&mut rest, strategy).map_err(|_| bad)?;
        if out.len().saturating_add(decoder.can_collect()) > limit {
            return Err(bomb);
        }
        out.append(&mut decoder.collect().unwrap_or_default());
    }
    out.append(&mut decoder.collect().unwrap_or_default());
    if out.len() > limit {
        return Err(bomb);
    }
    let is_whole = rest.is_empty();
    let right = decoder.get_checksum_from_data();
    let is_same = right.is_none() || right == decoder.get_calculated_checksum();
    if is_whole && is_same { Ok(out) } else { Err(bad) }
}

/// Encoders write windows of up to 8 MiB whatever the size of the content is, so that a limit of
/// the output would refuse honest peers if it were the window's as well.
#[cfg(feature = "zstd")]
const WINDOW_MIN: u64 = 8 << 20;

#[cfg(feature = "zstd")]
pub(super) fn zstd_pack(payload: &[u8]) -> Result<Vec<u8>, FormatError> {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    Ok(compress_to_vec(payload, CompressionLevel::Fastest))
}

#[cfg(not(feature = "zlib"))]
pub(super) const fn zlib_unpack(_: &[u8], _: usize) -> Result<Vec<u8>, FormatError> {
    Err(FormatError::NoCodec(Compression::Zlib))
}

#[cfg(not(feature = "zlib"))]
pub(super) const fn zlib_pack(_: &[u8]) -> Result<Vec<u8>, FormatError> {
    Err(FormatError::Unrepresentable("zlib, which is not built in"))
}

#[cfg(not(feature = "zstd"))]
pub(super) const fn zstd_unpack(_: &[u8], _: usize) -> Result<Vec<u8>, FormatError> {
    Err(FormatError::NoCodec(Compression::Zstd))
}

#[cfg(not(feature = "zstd"))]
pub(super) const fn zstd_pack(_: &[u8]) -> Result<Vec<u8>, FormatError> {
    Err(FormatError::Unrepresentable("zstd, which is not built in"))
}
