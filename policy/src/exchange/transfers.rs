//! The part of an exchange that counts what it carries, and looks at what its response is.

use super::{Exchange, Stage};
use crate::decide::transfers::Transfer;
use crate::http::head::Headers;

impl Exchange {
    /// Counts bytes of the request's body that have come and have not gone on yet, each once. Whether they may is asked by
    /// [`Exchange::recheck`], or when a request that waits is taken up.
    pub fn request_bytes(&mut self, bytes: u64) {
        if let Some(transfer) = self.transfer() {
            transfer.request_bytes(bytes);
        }
    }

    /// The same of the response's body.
    pub fn response_bytes(&mut self, bytes: u64) {
        if let Some(transfer) = self.transfer() {
            transfer.response_bytes(bytes);
        }
    }

    /// Takes the head of a response that has a body. False: it breaks what the grant lets through, and [`Exchange::recheck`] says
    /// whether it is to be answered in its stead.
    #[must_use]
    pub fn can_carry_response(&mut self, headers: &Headers<'_>) -> bool {
        self.transfer().is_none_or(|transfer| transfer.respond(headers))
    }

    fn transfer(&mut self) -> Option<&mut Transfer> {
        match &mut self.stage {
            Stage::Held(held) => Some(&mut held.findings.transfer),
            Stage::Followed(followed) => Some(&mut followed.transfer),
            Stage::Judged(judged) => Some(judged.admission.as_mut()?.transfer()),
            Stage::Begun(_) => None,
        }
    }
}
