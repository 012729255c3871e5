//! The image that a manifest names: by digest, as whoever can move a tag can replace the filter.

use std::{fmt, str::FromStr};

/// `registry/name[:tag]@sha256:…`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Registry and name. A tag beside a digest says nothing more, and not every reader of manifests takes both.
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
        // The colon of a tag comes after the last slash, that of a port before it.
        let tag = name.rfind(':').filter(|colon| name.rfind('/').is_none_or(|slash| *colon > slash));
        let name = tag.and_then(|tag| name.get(..tag)).unwrap_or(name);
        Ok(Self { name: name.to_owned(), sha256: sha256.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_its_digest() {
        let digest = "0123456789abcdef".repeat(4);
        let image = |name: &str| format!("{name}@sha256:{digest}").parse::<Image>().map(|image| image.name);
        assert_eq!(image("registry.example/chaperone:0.1.0").as_deref(), Ok("registry.example/chaperone"));
        assert_eq!(image("oci://registry.example:5000/a/chaperone").as_deref(), Ok("registry.example:5000/a/chaperone"));
        assert_eq!(image("chaperone"), Err(ImageError::Name));
        assert_eq!(image("r.example/a b"), Err(ImageError::Name));
        assert_eq!("r.example/c:latest".parse::<Image>(), Err(ImageError::Unpinned));
        for wrong in ["r.example/c@sha256:12", "r.example/c@sha512:0", &format!("r.example/c@sha256:{}", digest.to_uppercase())] {
            assert_eq!(wrong.parse::<Image>(), Err(ImageError::Digest), "{wrong}");
        }
    }
}
