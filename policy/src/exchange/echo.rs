//! The part of an exchange that watches for the credential that it was given, in the response to it.

use super::{Exchange, Stage};
use crate::decide::admission::Cut;
use crate::decide::echo::{Passage, Watch};
use crate::http::head::Headers;
use crate::primitives::reason::Reason;

impl Exchange {
    pub(super) fn watch(&mut self) -> Option<&mut Watch> {
        self.unfollow();
        match &mut self.stage {
            Stage::Judged(judged) => judged.watch.as_mut(),
            Stage::Begun(_) | Stage::Held(_) | Stage::Followed(_) => None,
        }
    }

    /// Says whether the body of the response must be shown to [`Exchange::response_body`].
    #[must_use]
    pub fn reads_response(&self) -> bool {
        matches!(&self.stage, Stage::Judged(judged) if judged.watch.as_ref().is_some_and(Watch::reads_bodies))
    }

    /// Takes the head of a response with a body that has to be read, and says whether it can be. If not, it is to be answered by
    /// [`Exchange::answer_of_cut`] in its stead.
    #[must_use]
    pub fn can_read_response(&mut self, headers: &Headers<'_>) -> bool {
        if !self.reads_response() || !self.watch().is_some_and(|watch| watch.cannot_read(headers)) {
            return true;
        }
        self.cut_for_echo(Some("the response is coded, and cannot be read"));
        false
    }

    /// Takes a piece of a response's body: all bytes that have come and have not gone on. `last`: none follow. A stream that is
    /// to be cut is so by [`Exchange::recheck`] from now on.
    pub fn response_body(&mut self, piece: &[u8], last: bool) -> Passage {
        if !self.reads_response() {
            return Passage::Pass;
        }
        let Some(watch) = self.watch().filter(|watch| watch.reads_bodies()) else { return Passage::Pass };
        let passage = watch.body(piece, last);
        if passage == Passage::Cut {
            self.cut_for_echo(None);
        }
        passage
    }

    fn cut_for_echo(&mut self, because: Option<&str>) {
        if let Stage::Judged(judged) = &mut self.stage {
            let because = because.map(str::to_owned);
            judged.cut.get_or_insert(Cut { because, ..Cut::of(Reason::CredentialEchoed) });
        }
    }

    /// Says whether the credential was in the response's head or trailers, or in a body that is read.
    #[must_use]
    pub fn credential_came_back(&self) -> bool {
        let Stage::Judged(judged) = &self.stage else { return false };
        let named = judged.watch.as_ref().is_some_and(|watch| !watch.names().is_empty());
        named || judged.cut.as_ref().is_some_and(|cut| cut.reason == Reason::CredentialEchoed)
    }
}
