//! Whom grants name, compared: of thousands each with those that could name the same, not with each.

use super::{
    beginnings,
    grants::{Condition, Grant},
};
use std::collections::HashMap;

/// Grants by whom they name.
pub(super) struct Naming<'g, 'p> {
    everybody: Vec<(usize, &'g Grant<'p>)>,
    /// By the condition that the fewest have: what it is about, and the text before a `*`.
    others: HashMap<(&'g str, &'g str), Vec<(usize, &'g Grant<'p>)>>,
}

impl<'g, 'p> Naming<'g, 'p> {
    pub(super) fn of(grants: &'g [Grant<'p>]) -> Self {
        let mut uses: HashMap<(&str, &str), usize> = HashMap::new();
        for key in grants.iter().flat_map(|grant| &grant.conditions).filter_map(Condition::key) {
            *uses.entry(key).or_default() += 1;
        }
        let mut naming = Self { everybody: Vec::new(), others: HashMap::new() };
        for named in grants.iter().enumerate() {
            let conditions = &named.1.conditions;
            // A condition that cannot be read names nobody.
            let keys: Option<Vec<_>> = conditions.iter().map(Condition::key).collect();
            match keys.map(|keys| keys.into_iter().min_by_key(|key| uses.get(key))) {
                Some(Some(rarest)) => naming.others.entry(rarest).or_default().push(named),
                Some(None) => naming.everybody.push(named),
                None => {}
            }
        }
        naming
    }

    /// The grants that name all whom this one names, itself among them, each with its place and in their order.
    pub(super) fn all_of(&self, grant: &Grant<'_>) -> Vec<(usize, &'g Grant<'p>)> {
        let keys = grant.conditions.iter().filter_map(Condition::key);
        let wider = keys.flat_map(|(about, text)| beginnings(text).map(move |beginning| (about, beginning)));
        let wider = wider.filter_map(|key| self.others.get(&key)).flatten();
        let mut found: Vec<_> = wider.chain(&self.everybody).copied().filter(|(_, other)| other.is_for_all_of(grant)).collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        found.dedup_by_key(|(place, _)| *place);
        found
    }
}
