//! The image that a manifest names: by digest, as whoever can move a tag can replace the filter.

use std::{fmt, str::FromStr};

/// `registry/name[:tag]@sha256:…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Without the digest.
    pub name: String,
    /// 64 hex digits.
    pub sha256: String,
}

/// Why a text names no image that can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageError {
    /// There is no digest.
    Unpinned,
    /// The digest is not SHA-256 in lower-case hex.
    Digest,
    /// The name is none.
    Name,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpinned => "name the image by digest, NAME@sha256:DIGEST: a tag can be moved to another filter",
            Self::Digest => "the digest is 64 hex digits in lower case after `@sha256:`",
            Self::Name => "an image is written registry.example/chaperone:0.1.0@sha256:DIGEST",
        })
    }
}

impl std::error::Error for ImageError {}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let text = text.strip_prefix("oci://").unwrap_or(text);
        let (name, digest) = text.split_once('@').ok_or(ImageError::Unpinned)?;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b':');
        if name.is_empty() || !name.contains('/') || !name.bytes().all(good) {
            return Err(ImageError::Name);
        }
        let sha256 = digest.strip_prefix("sha256:").ok_or(ImageError::Digest)?;
        if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ImageError::Digest);
        }
        Ok(Self { name: name.to_owned(), sha256: sha256.to_owned() })
    }
}
