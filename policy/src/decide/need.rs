//! What a decision waits for.

use crate::state::fetch::Ticket;

/// What is not there yet, and without which a request cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The whole of its body.
    Body {
        /// A longer one need not be kept: the answer is [`Given::TooLarge`].
        most_bytes: usize,
    },
    /// The credential for the upstream: what comes of this fetch.
    Credential(Ticket),
}

/// A whole body: evidence that nothing is decided on the beginning of one.
#[derive(Clone, Copy, Debug)]
pub struct WholeBody<'b>(&'b [u8]);

impl<'b> WholeBody<'b> {
    /// Takes all bytes of a body that has ended, with its trailers or without.
    #[must_use]
    pub fn of_ended(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> &'b [u8] {
        self.0
    }
}

/// What has become of a [`Need`].
#[derive(Clone, Copy, Debug)]
pub enum Given<'g> {
    /// Nothing has come but time, or something that may have been it: a held request is to be asked about again and again, as an
    /// open stream is.
    Nothing,
    /// The body.
    Body(WholeBody<'g>),
    /// A body that is longer than the need's bound.
    TooLarge,
    /// Whatever it was, it will not come: the client has gone.
    Gone,
}
