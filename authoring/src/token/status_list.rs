//! Status lists for testing (draft-ietf-oauth-status-list).

use super::TestKey;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::{Map, Value, json};

/// The packed array of these entries, the others being valid (0): `bits` is 1, 2, 4 or 8, and the array no longer than it must be.
#[must_use]
pub fn packed(bits: u8, entries: impl IntoIterator<Item = (usize, u8)>) -> Vec<u8> {
    let (bits, mut array) = (usize::from(bits), Vec::new());
    for (index, value) in entries {
        let bit = index * bits;
        if array.len() <= bit / 8 {
            array.resize(bit / 8 + 1, 0);
        }
        if let Some(byte) = array.get_mut(bit / 8) {
            *byte |= value << (bit % 8);
        }
    }
    array
}

/// The list of this URI as a signed token (§5.1), with these claims (`iat` at least) besides.
#[must_use]
pub fn status_list(key: &TestKey, uri: &str, bits: u8, packed: &[u8], mut claims: Map<String, Value>) -> String {
    claims.insert("sub".to_owned(), json!(uri));
    let lst = B64.encode(compress_to_vec_zlib(packed, 9));
    claims.insert("status_list".to_owned(), json!({"bits": bits, "lst": lst}));
    key.sign(json!({"typ": "statuslist+jwt"}), Value::Object(claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first example of §4.1.
    #[test]
    fn entries_are_packed_from_the_lowest_bits() {
        let ones = [0, 3, 4, 5, 7, 8, 9, 13, 15].map(|index| (index, 1));
        assert_eq!(packed(1, ones), [0xb9, 0xa3]);
        assert_eq!(packed(2, [(0, 1), (1, 2), (3, 3)]), [0b1100_1001]);
        assert_eq!(packed(8, [(2, 5)]), [0, 0, 5]);
    }
}
