//! Answers that come as server-sent events (HTML Living Standard §9.2): each is read when it is whole, and goes on at once.

use super::{Answers, MaySee, Unreadable};
use crate::primitives::limits;
use crate::token::claims::Claims;

impl Answers {
    pub(super) fn events(&mut self, piece: &[u8], last: bool, claims: &Claims, may_see: MaySee<'_>) -> Vec<u8> {
        self.kept.extend_from_slice(piece);
        let mut out = Vec::with_capacity(piece.len());
        let kept = std::mem::take(&mut self.kept);
        let mut rest = kept.as_slice();
        while let Some((event, after)) = first_event(rest, last) {
            rest = after;
            match self.event(event, claims, may_see) {
                Ok(Some(changed)) => out.extend_from_slice(changed.as_bytes()),
                Ok(None) => out.extend_from_slice(event),
                Err(Unreadable) if self.must_read() => {
                    out.extend(self.fail());
                    return out;
                }
                Err(Unreadable) => out.extend_from_slice(event),
            }
        }
        if rest.len() > limits::ANSWER_BYTES {
            // It could hold a list: nobody knows before its end.
            out.extend(self.fail());
            return out;
        }
        // What is not whole at the end is no event.
        self.kept = if last { Vec::new() } else { rest.to_vec() };
        out
    }

    /// An event as it goes on; `None` where it goes as it came.
    fn event(&mut self, event: &[u8], claims: &Claims, may_see: MaySee<'_>) -> Result<Option<String>, Unreadable> {
        let text = std::str::from_utf8(event).map_err(|_| Unreadable)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = || text.split(['\n', '\r']).filter(|line| !line.is_empty());
        let data: Vec<&str> = lines().filter_map(data_of).collect();
        if data.iter().all(|line| line.is_empty()) {
            return Ok(None);
        }
        let Some(changed) = self.message(data.join("\n").as_bytes(), claims, may_see)? else { return Ok(None) };
        let mut out = String::with_capacity(text.len());
        for line in lines().filter(|line| data_of(line).is_none()) {
            out.push_str(line);
            out.push('\n');
        }
        out.push_str("data: ");
        out.push_str(&changed);
        out.push_str("\n\n");
        Ok(Some(out))
    }
}

/// The value of a field `data`.
fn data_of(line: &str) -> Option<&str> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name == "data").then(|| value.strip_prefix(' ').unwrap_or(value))
}

/// The first event, with the empty line that ends it, and what comes after.
fn first_event(bytes: &[u8], last: bool) -> Option<(&[u8], &[u8])> {
    let mut place = 0;
    let mut empty = true;
    while let Some(byte) = bytes.get(place) {
        let end = match (byte, bytes.get(place + 1)) {
            (b'\r', Some(b'\n')) => place + 2,
            // What follows may be the other half of this line's end.
            (b'\r', None) if !last => return None,
            (b'\r' | b'\n', _) => place + 1,
            _ => {
                empty = false;
                place += 1;
                continue;
            }
        };
        if empty {
            return bytes.split_at_checked(end);
        }
        empty = true;
        place = end;
    }
    None
}
