//! The `Content-Encoding` of a request with events (RFC 9110, section 8.4): gzip (RFC 1952) and zstd (RFC 8878).
//!
//! A few bytes can expand to gigabytes. So the decoded data has the same limit as a request without encoding, at each
//! step if several encodings were applied.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use flate2::bufread::GzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};

use super::IngestError;

/// For the header `Accept-Encoding` of a refusal (RFC 9110, section 12.5.3).
pub const ACCEPTED: &str = "gzip, zstd";

/// Encodings of one body at most. More than one is rare, and each takes a buffer of its own.
const MAX_ENCODINGS: usize = 2;
/// Parts of which gzip data may consist. Each costs a new decoder, however little is in it.
const MAX_MEMBERS: usize = 1000;
/// Log2 of the bytes that zstd data may look back on: 8 MiB, which RFC 9659 asks of every decoder.
const MAX_WINDOW_LOG: u32 = 23;

/// An encoding that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Zstd,
}

/// The body as it was before it was encoded, of at most `limit` bytes. An empty body is empty in any encoding.
///
/// # Errors
/// [`IngestError::UnsupportedEncoding`], [`IngestError::TooLarge`] as soon as it is, and
/// [`IngestError::Malformed`] if the body does not have the encoding that the header names.
pub(super) fn decode<'b>(
    headers: &HeaderMap,
    body: &'b [u8],
    limit: usize,
) -> Result<Cow<'b, [u8]>, IngestError> {
    let encodings = encodings(headers)?;
    let mut decoded = Cow::Borrowed(body);
    if body.is_empty() {
        return Ok(decoded);
    }
    // The last one was applied last.
    for encoding in encodings.into_iter().rev() {
        let plain = match encoding {
            Encoding::Gzip => gunzip(&decoded, limit),
            Encoding::Zstd => unzstd(&decoded, limit),
        };
        decoded = plain?.into();
    }
    Ok(decoded)
}

/// In the order in which they were applied.
fn encodings(headers: &HeaderMap) -> Result<Vec<Encoding>, IngestError> {
    let mut found = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| {
            IngestError::Malformed("the header content-encoding must be ASCII text".to_owned())
        })?;
        for name in value.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                // RFC 9110, section 8.4.1.3: the two are the same.
                "gzip" | "x-gzip" => found.push(Encoding::Gzip),
                "zstd" => found.push(Encoding::Zstd),
                _ => {
                    let name = name.chars().take(50).collect();
                    return Err(IngestError::UnsupportedEncoding(name));
                }
            }
            if found.len() > MAX_ENCODINGS {
                let name = value.chars().take(50).collect();
                return Err(IngestError::UnsupportedEncoding(name));
            }
        }
    }
    Ok(found)
}

fn gunzip(mut body: &[u8], limit: usize) -> Result<Vec<u8>, IngestError> {
    let mut plain = Vec::new();
    for _ in 0..MAX_MEMBERS {
        let mut member = GzDecoder::new(body);
        read_within(&mut member, &mut plain, limit).map_err(|e| e.told("gzip"))?;
        body = member.into_inner();
        if body.is_empty() {
            return Ok(plain);
        }
    }
    Err(IngestError::Malformed(format!(
        "the gzip body consists of more than {MAX_MEMBERS} parts"
    )))
}

fn unzstd(body: &[u8], limit: usize) -> Result<Vec<u8>, IngestError> {
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        Ok(decoder)
    });
    let mut decoder = decoder.map_err(|e| Fault::Read(e).told("zstd"))?;
    read_within(&mut decoder, &mut plain, limit).map_err(|e| e.told("zstd"))?;
    Ok(plain)
}

enum Fault {
    Read(io::Error),
    TooLarge(usize),
}

impl Fault {
    fn told(self, encoding: &str) -> IngestError {
        match self {
            Self::Read(e) => {
                IngestError::Malformed(format!("the body is not valid {encoding} data: {e}"))
            }
            Self::TooLarge(limit) => IngestError::TooLarge {
                what: format!("the request, decoded from {encoding},"),
                limit,
            },
        }
    }
}

/// Appends the data of the reader to `plain`, which may have `limit` bytes in all.
fn read_within(reader: impl Read, plain: &mut Vec<u8>, limit: usize) -> Result<(), Fault> {
    // One byte more tells a body that is too large from one that just fits.
    let room = limit.saturating_sub(plain.len()).saturating_add(1);
    reader
        .take(room as u64)
        .read_to_end(plain)
        .map_err(Fault::Read)?;
    if plain.len() > limit {
        return Err(Fault::TooLarge(limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 3).unwrap()
    }

    fn decode_as(values: &[&str], body: &[u8], limit: usize) -> Result<Vec<u8>, IngestError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().unwrap());
        }
        decode(&headers, body, limit).map(Cow::into_owned)
    }

    #[test]
    fn encodings_are_undone_from_the_last() {
        for (values, body) in [
            (vec![], b"text".to_vec()),
            (vec!["identity"], b"text".to_vec()),
            (vec!["gzip"], gzip(b"text")),
            (vec!["X-GZIP"], gzip(b"text")),
            (vec!["zstd"], zstd(b"text")),
            (vec!["zstd, gzip"], gzip(&zstd(b"text"))),
            (vec!["gzip", "identity, ,zstd"], zstd(&gzip(b"text"))),
            (vec!["gzip"], [gzip(b"te"), gzip(b"xt")].concat()),
            (vec!["zstd"], [zstd(b"te"), zstd(b"xt")].concat()),
            // A frame that readers skip.
            (
                vec!["zstd"],
                [&b"\x50\x2A\x4D\x18\x02\0\0\0??"[..], &zstd(b"text")].concat(),
            ),
        ] {
            assert_eq!(
                decode_as(&values, &body, 64).as_deref(),
                Ok(&b"text"[..]),
                "{values:?}"
            );
        }
        assert_eq!(decode_as(&["gzip"], b"", 4), Ok(Vec::new()));
    }

    #[test]
    fn an_encoding_that_is_not_understood_is_told() {
        for value in ["br", "deflate", "gzip, compress", "*", "gzip, gzip, gzip"] {
            let error = decode_as(&[value], &gzip(b"text"), 4).unwrap_err();
            assert!(
                matches!(error, IngestError::UnsupportedEncoding(_)),
                "{error}"
            );
            assert!(error.to_string().contains(ACCEPTED), "{error}");
        }
    }

    #[test]
    fn the_limit_is_for_what_is_decoded_and_is_exact() {
        let plain = vec![b' '; 1 << 20];
        for (value, body) in [("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
            assert!(body.len() < 4096);
            assert_eq!(
                decode_as(&[value], &body, 1 << 20).map(|b| b.len()),
                Ok(1 << 20)
            );
            let error = decode_as(&[value], &body, (1 << 20) - 1).unwrap_err();
            assert!(matches!(error, IngestError::TooLarge { .. }), "{error}");
            assert!(error.to_string().contains("1048575 bytes"), "{error}");
        }
        // In several parts together.
        let parts = gzip(&plain).repeat(3);
        let error = decode_as(&["gzip"], &parts, 2 << 20).unwrap_err();
        assert!(matches!(error, IngestError::TooLarge { .. }), "{error}");
        // The data between two encodings has one too.
        let bomb = gzip(&gzip(&plain).repeat(100));
        let error = decode_as(&["gzip, gzip"], &bomb, 4096).unwrap_err();
        assert!(matches!(error, IngestError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn what_is_not_what_the_header_says_is_malformed() {
        let long: Vec<u8> = (0..1000u32).flat_map(u32::to_be_bytes).collect();
        for (value, whole) in [("gzip", gzip(&long)), ("zstd", zstd(&long))] {
            let half = &whole[..whole.len() / 2];
            let mut broken = whole.clone();
            broken[whole.len() / 2] ^= 0xFF;
            let more = [&whole[..], b"more"].concat();
            for body in [half, &broken, &more, b"{}"] {
                match decode_as(&[value], body, 1 << 20) {
                    Err(error) => assert!(matches!(error, IngestError::Malformed(_)), "{error}"),
                    // zstd data has a checksum only if its writer wanted one.
                    Ok(plain) => assert!(value == "zstd" && plain != long, "{value}"),
                }
            }
        }
    }

    #[test]
    fn parts_and_windows_are_bounded() {
        let error = decode_as(&["gzip"], &gzip(b"").repeat(MAX_MEMBERS + 1), 10).unwrap_err();
        assert!(error.to_string().contains("1000 parts"), "{error}");
        // A frame whose header asks for a window of 16 MiB, with one empty last block.
        let frame = b"\x28\xB5\x2F\xFD\0\x70\x01\0\0";
        let error = decode_as(&["zstd"], frame, 1 << 20).unwrap_err();
        assert!(matches!(error, IngestError::Malformed(_)), "{error}");
        let frame = b"\x28\xB5\x2F\xFD\0\x68\x01\0\0";
        assert_eq!(decode_as(&["zstd"], frame, 1 << 20), Ok(Vec::new()));
    }
}
