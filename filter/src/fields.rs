//! Header maps as the host serialises them: a count, the sizes of each name and value, then the bytes, each with a NUL.
//! All numbers are 32 bits, little-endian.

use crate::hostcalls::Failed;

/// A name and its value.
pub(crate) type Field<'m> = (&'m [u8], &'m [u8]);

/// Reads a serialised map in place. The host is trusted to be well-formed; if it is not, the call has failed.
pub(crate) fn parse(map: &[u8]) -> Result<Vec<Field<'_>>, Failed> {
    if map.is_empty() {
        return Ok(Vec::new());
    }
    let number = |at: usize| {
        let bytes = map.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let read = || {
        let count = number(0)?;
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        let mut fields = Vec::with_capacity(count.min(map.len() / 8));
        let mut take = |size: usize| {
            let end = at.checked_add(size)?;
            let (text, after) = (map.get(at..end)?, map.get(end)?);
            at = end + 1;
            (*after == 0).then_some(text)
        };
        for index in 0..count {
            let sizes = 4 + index * 8;
            let (name, value) = (take(number(sizes)?)?, take(number(sizes + 4)?)?);
            fields.push((name, value));
        }
        // Bytes left over would be fields that nobody has looked at.
        (at == map.len()).then_some(fields)
    };
    read().ok_or(Failed)
}

/// The status of a response.
pub(crate) fn status(fields: &[Field<'_>]) -> Option<u16> {
    let (_, value) = fields.iter().find(|(name, _)| *name == b":status")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Serialises a map for the host.
pub(crate) fn serialise<'f>(fields: impl ExactSizeIterator<Item = (&'f str, &'f [u8])> + Clone) -> Vec<u8> {
    let size = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = u32::try_from(fields.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for (name, value) in fields.clone() {
        map.extend_from_slice(&size(name.as_bytes()));
        map.extend_from_slice(&size(value));
    }
    for text in fields.flat_map(|(name, value)| [name.as_bytes(), value]) {
        map.extend_from_slice(text);
        map.push(0);
    }
    map
}
