//! Which command a request is: a tree over path segments, so that the cost does not grow with the number of commands.
//!
//! Two commands that could match one request are a conflict, unless one path is strictly more specific: literal before
//! `{id}end` (the longer end first) before `{id}` before `{*rest}`, segment by segment.

use std::collections::{BTreeMap, HashMap};

use crate::commands::mcp::endpoint::EndpointId;
use crate::http::host::HostPattern;
use crate::http::path::{CanonicalPath, Segment, Spellings};
use crate::http::rpc::Forms;

/// A command's place in the policy's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CommandId(pub(crate) u32);

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Literal {
        canonical: Vec<u8>,
        decoded: Vec<u8>,
    },
    /// `{id}:verb`: one segment that ends with this and has more before it.
    End {
        canonical: Vec<u8>,
        decoded: Vec<u8>,
    },
    /// `{id}`: one segment, never empty.
    Capture,
    /// `{*rest}`: the remaining segments, at least one, the first never empty.
    Rest,
}

/// What, besides its path, makes a request a command.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Of an endpoint, the first that is found there.
    pub(crate) command: CommandId,
    pub(crate) form: Form,
    /// Empty for any.
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) permit: Spellings,
}

/// The transport form of a command.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Http {
        methods: Vec<String>,
        upgrade: bool,
        /// What the policy says of a body, if it says anything.
        body: Option<bool>,
    },
    /// A call in one of these forms. The route takes every method of its path, so that none of the others reaches the same method
    /// of the service as some wider HTTP command.
    Grpc(Forms),
    /// The command is in the body. The route takes every method of its path, as that of gRPC does.
    Mcp(EndpointId),
}

impl Route {
    fn takes_method(&self, method: &[u8]) -> bool {
        match &self.form {
            Form::Http { methods, .. } => methods.iter().any(|known| known.as_bytes() == method),
            Form::Grpc(_) | Form::Mcp(_) => true,
        }
    }

    /// How specifically it names this host, the lower the more; `None` when it does not take it.
    fn host_rank(&self, host: &str) -> Option<u8> {
        let ranks = self.hosts.iter().filter(|known| known.matches(host)).map(|known| match known {
            HostPattern::Exact(_) => 0,
            HostPattern::OneLabelBefore(_) => 1,
        });
        if self.hosts.is_empty() { Some(2) } else { ranks.min() }
    }

    /// Of the routes with one path, the one for this method and host. An exact host goes before a wildcard.
    fn select<'r>(routes: &'r [Self], method: &[u8], host: &str) -> Option<&'r Self> {
        let takes = routes.iter().filter(|route| route.takes_method(method));
        takes.filter_map(|route| Some((route.host_rank(host)?, route))).min_by_key(|(rank, _)| *rank).map(|(_, route)| route)
    }

    /// Could one request, its path left aside, be both? With the `same_path`, not where a host decides: an exact one goes
    /// before a wildcard. A route for any host never gives way, as a carve-out by host is left by naming another host.
    fn could_meet(&self, other: &Self, same_path: bool) -> bool {
        let methods = match (&self.form, &other.form) {
            (Form::Http { methods: mine, .. }, Form::Http { methods: theirs, .. }) => {
                mine.iter().any(|method| theirs.contains(method))
            }
            (Form::Grpc(_) | Form::Mcp(_), _) | (Form::Http { .. }, Form::Grpc(_) | Form::Mcp(_)) => true,
        };
        // One command may have a path twice, but not once by its head and once by its body.
        let same = self.command == other.command && self.endpoint() == other.endpoint();
        let meet = |mine: &HostPattern, theirs: &HostPattern| {
            mine == theirs || !same_path && (mine.covers(theirs) || theirs.covers(mine))
        };
        let hosts = self.hosts.is_empty()
            || other.hosts.is_empty()
            || self.hosts.iter().any(|mine| other.hosts.iter().any(|theirs| meet(mine, theirs)));
        methods && hosts && !same
    }

    /// The forms that it takes, where it is one of this command's for a method of a service.
    fn forms_of(&mut self, command: CommandId) -> Option<&mut Forms> {
        match &mut self.form {
            Form::Grpc(forms) if self.command == command => Some(forms),
            Form::Grpc(_) | Form::Http { .. } | Form::Mcp(_) => None,
        }
    }

    /// The endpoint at which its commands are found.
    pub(crate) fn endpoint(&self) -> Option<EndpointId> {
        match self.form {
            Form::Mcp(endpoint) => Some(endpoint),
            Form::Http { .. } | Form::Grpc(_) => None,
        }
    }
}

/// What a lookup found.
#[derive(Debug)]
pub(crate) enum Lookup<'r> {
    Found(&'r Route),
    /// No route has this method, host and path.
    Missed,
    /// The path has a spelling that the command does not permit where it stands, or differs from a command's literal only
    /// in its escapes.
    Ambiguous,
}

/// Why a route cannot stand beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// One request could be both.
    Meets(CommandId),
    /// Their paths are one but for escapes.
    Spells(CommandId),
}

/// All routes of a policy.
#[derive(Debug, Default)]
pub(crate) struct Router {
    root: Node,
}

/// By decoded form, with the canonical form for the exact comparison.
type Spelled = HashMap<Vec<u8>, (Vec<u8>, Node)>;

#[derive(Debug, Default)]
struct Node {
    literals: Spelled,
    /// By the length of the end, decoded, so that a segment is looked up once a length: at most
    /// [`limits::END_BYTES`](crate::primitives::limits::END_BYTES) times.
    ends: BTreeMap<usize, Spelled>,
    capture: Option<Box<Node>>,
    rest: Vec<Route>,
    here: Vec<Route>,
}

/// The most specific match so far of one walk.
enum Walk<'r> {
    Found { route: &'r Route, captured: usize },
    Missed,
    Ambiguous,
}

impl Router {
    /// Adds a route, or names the command that it conflicts with.
    pub(crate) fn insert(&mut self, parts: &[Part], route: Route) -> Result<(), Conflict> {
        if let Some(other) = self.root.conflict(parts, &route, Specificity::default()) {
            return Err(Conflict::Meets(other));
        }
        let mut node = &mut self.root;
        for part in parts {
            node = match part {
                Part::Literal { canonical, decoded } => spelled(&mut node.literals, canonical, decoded)?,
                Part::End { canonical, decoded } => spelled(node.ends.entry(decoded.len()).or_default(), canonical, decoded)?,
                Part::Capture => node.capture.get_or_insert_default(),
                Part::Rest => {
                    node.rest.push(route);
                    return Ok(());
                }
            };
        }
        // Matchers of one command add up: a second route of the same path would never be asked.
        if let Form::Grpc(more) = route.form
            && let Some(forms) = node.here.iter_mut().find_map(|known| known.forms_of(route.command))
        {
            forms.add(more);
            return Ok(());
        }
        node.here.push(route);
        Ok(())
    }

    /// The command's route for a request; `host` in lower case, without port.
    pub(crate) fn find(&self, method: &[u8], host: &str, path: &CanonicalPath<'_>) -> Lookup<'_> {
        match self.root.walk(&path.segments, method, host) {
            Walk::Ambiguous => Lookup::Ambiguous,
            Walk::Missed if path.spellings().is_empty() => Lookup::Missed,
            Walk::Missed => Lookup::Ambiguous,
            Walk::Found { route, captured } => {
                // Literals and segments with an end have no doubtful spelling, so what is not in the rest is a whole capture.
                let (front, rest) = path.segments.split_at(path.segments.len().saturating_sub(captured));
                let permitted = front.iter().all(|segment| segment.spellings.within(route.permit));
                if permitted && rest.iter().all(|segment| segment.spellings.is_empty()) {
                    Lookup::Found(route)
                } else {
                    Lookup::Ambiguous
                }
            }
        }
    }
}

impl Node {
    /// Depth first, the more specific branch first: since routes that meet are comparable, the first hit is the most
    /// specific. `captured` counts the segments that a `{*rest}` took.
    fn walk(&self, segments: &[Segment<'_>], method: &[u8], host: &str) -> Walk<'_> {
        let Some((segment, after)) = segments.split_first() else {
            return Route::select(&self.here, method, host).map_or(Walk::Missed, |route| Walk::Found { route, captured: 0 });
        };
        if let Some((canonical, node)) = self.literals.get(&*segment.decoded) {
            let deeper = node.walk(after, method, host);
            match deeper {
                Walk::Missed => {}
                // `%2B` where a command says `+`: equal to some servers, not to others.
                Walk::Found { .. } if **canonical != *segment.canonical => return Walk::Ambiguous,
                Walk::Found { .. } | Walk::Ambiguous => return deeper,
            }
        }
        if segment.canonical.is_empty() {
            return Walk::Missed;
        }
        for (canonical, node) in self.ends_of(&segment.decoded) {
            let deeper = node.walk(after, method, host);
            match deeper {
                Walk::Missed => {}
                Walk::Found { .. } if !is_plain_end(segment, canonical) => return Walk::Ambiguous,
                Walk::Found { .. } | Walk::Ambiguous => return deeper,
            }
        }
        if let Some(node) = &self.capture {
            match node.walk(after, method, host) {
                Walk::Missed => {}
                deeper @ (Walk::Found { .. } | Walk::Ambiguous) => return deeper,
            }
        }
        Route::select(&self.rest, method, host).map_or(Walk::Missed, |route| Walk::Found { route, captured: segments.len() })
    }

    /// The ends of this decoded segment, the longest first; something stands before each.
    fn ends_of(&self, decoded: &[u8]) -> impl Iterator<Item = &(Vec<u8>, Self)> {
        self.ends.range(..decoded.len()).rev().filter_map(move |(length, ends)| ends.get(decoded.get(decoded.len() - length..)?))
    }

    fn all_ends(&self) -> impl Iterator<Item = (&[u8], &Self)> {
        self.ends.values().flatten().map(|(decoded, (_, node))| (decoded.as_slice(), node))
    }

    /// A route in this subtree that could match a request of the new one, with neither path strictly more specific.
    fn conflict(&self, parts: &[Part], new: &Route, so_far: Specificity) -> Option<CommandId> {
        let among = |routes: &[Route], specificity: Specificity| {
            let found = routes.iter().find(|route| route.could_meet(new, specificity.same()));
            found.filter(|_| !specificity.strict()).map(|route| route.command)
        };
        let Some((part, after)) = parts.split_first() else {
            return among(&self.here, so_far);
        };
        match part {
            Part::Literal { decoded, .. } => {
                if let Some(found) = self.literals.get(decoded).and_then(|(_, node)| node.conflict(after, new, so_far)) {
                    return Some(found);
                }
                if decoded.is_empty() {
                    return None;
                }
                let mut ends = self.ends_of(decoded);
                let found = ends.find_map(|(_, node)| node.conflict(after, new, so_far.new_is_narrower()));
                let found = found.or_else(|| self.capture.as_ref()?.conflict(after, new, so_far.new_is_narrower()));
                found.or_else(|| among(&self.rest, so_far.new_is_narrower()))
            }
            Part::End { decoded: end, .. } => {
                let mut literals = self.literals.iter().filter(|(decoded, _)| ends_with_more_before(decoded, end));
                let found = literals.find_map(|(_, (_, node))| node.conflict(after, new, so_far.old_is_narrower()));
                let found = found.or_else(|| {
                    self.all_ends().find_map(|(other, node)| {
                        let narrower = match (other.ends_with(end), end.ends_with(other)) {
                            (true, true) => so_far,
                            (true, false) => so_far.old_is_narrower(),
                            (false, true) => so_far.new_is_narrower(),
                            (false, false) => return None,
                        };
                        node.conflict(after, new, narrower)
                    })
                });
                let found = found.or_else(|| self.capture.as_ref()?.conflict(after, new, so_far.new_is_narrower()));
                found.or_else(|| among(&self.rest, so_far.new_is_narrower()))
            }
            Part::Capture => {
                let mut literals = self.literals.iter().filter(|(decoded, _)| !decoded.is_empty());
                let found = literals.find_map(|(_, (_, node))| node.conflict(after, new, so_far.old_is_narrower()));
                let mut ends = self.all_ends();
                let found = found.or_else(|| ends.find_map(|(_, node)| node.conflict(after, new, so_far.old_is_narrower())));
                let found = found.or_else(|| self.capture.as_ref().and_then(|node| node.conflict(after, new, so_far)));
                found.or_else(|| among(&self.rest, so_far.new_is_narrower()))
            }
            Part::Rest => {
                if let Some(found) = among(&self.rest, so_far) {
                    return Some(found);
                }
                let mut literals = self.literals.iter().filter(|(decoded, _)| !decoded.is_empty());
                let found = literals.find_map(|(_, (_, node))| node.any(&among, so_far.old_is_narrower()));
                let mut ends = self.all_ends();
                let found = found.or_else(|| ends.find_map(|(_, node)| node.any(&among, so_far.old_is_narrower())));
                found.or_else(|| self.capture.as_ref().and_then(|node| node.any(&among, so_far.old_is_narrower())))
            }
        }
    }

    fn any_command(&self) -> Option<CommandId> {
        let among = |routes: &[Route], _: Specificity| routes.first().map(|route| route.command);
        self.any(&among, Specificity::default())
    }

    fn any(&self, among: &impl Fn(&[Route], Specificity) -> Option<CommandId>, specificity: Specificity) -> Option<CommandId> {
        let found = among(&self.here, specificity).or_else(|| among(&self.rest, specificity));
        let found = found.or_else(|| self.literals.values().find_map(|(_, node)| node.any(among, specificity)));
        let found = found.or_else(|| self.all_ends().find_map(|(_, node)| node.any(among, specificity)));
        found.or_else(|| self.capture.as_ref().and_then(|node| node.any(among, specificity)))
    }
}

/// The node of a literal or an end, or a command beneath another spelling of it: `a+b` and `a%2Bb`, or `{id}:x` and `{id}%3Ax`.
/// Each would be a doubtful spelling of the other, whatever the methods and hosts.
fn spelled<'s>(known: &'s mut Spelled, canonical: &[u8], decoded: &[u8]) -> Result<&'s mut Node, Conflict> {
    let (spelling, node) = known.entry(decoded.to_vec()).or_insert_with(|| (canonical.to_vec(), Node::default()));
    match node.any_command().filter(|_| spelling != canonical) {
        Some(other) => Err(Conflict::Spells(other)),
        None => Ok(node),
    }
}

/// Does the text end so, with something before it?
pub(crate) fn ends_with_more_before(text: &[u8], end: &[u8]) -> bool {
    text.len() > end.len() && text.ends_with(end)
}

/// Has the segment one reading, in which it is a name and this end? Not with `%3A` for the end's `:`, nor with any spelling
/// that a reader could cut (`x;y:verb` and `x%3Fy:verb` are `x` to some) or decode into the end. A name of `.` or `..`
/// would be a dot segment to whoever takes the end off first.
fn is_plain_end(segment: &Segment<'_>, end: &[u8]) -> bool {
    let name = segment.canonical.strip_suffix(end);
    segment.spellings.is_empty() && name.is_some_and(|name| !matches!(name, b"" | b"." | b".."))
}

/// Which of two overlapping paths was narrower at some segment.
#[derive(Clone, Copy, Debug, Default)]
struct Specificity {
    new: bool,
    old: bool,
}

impl Specificity {
    fn new_is_narrower(self) -> Self {
        Self { new: true, ..self }
    }

    fn old_is_narrower(self) -> Self {
        Self { old: true, ..self }
    }

    fn same(self) -> bool {
        !self.new && !self.old
    }

    /// Is exactly one of them narrower?
    fn strict(self) -> bool {
        self.new != self.old
    }
}
