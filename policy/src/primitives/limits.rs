//! Every bound of the core, each with the reason for its number.
//!
//! Where a bound is reached the request is denied or the document refused; nothing is ever cut short and then judged.

use std::time::Duration;

/// Longest token accepted when the policy does not say, in bytes. Envoy's default for all request headers together is 60 KiB; tokens of real
/// issuers, RFC 9396 details included, stay below 4 KiB. Checked before the token is split.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// Longest token that a policy can ask to be accepted: directories write a person's groups into it, 200 of them in 12 KiB. With
/// all other fields it must fit into a proxy's bound for a head.
pub const TOKEN_BYTES_MOST: usize = 16 * 1024;

/// Longest `kid`, in bytes: a SHA-512 thumbprint in hex is 128.
pub const KEY_ID_BYTES: usize = 256;

/// Deepest JSON nesting in a token. An `act` chain of [`AGENT_CHAIN`] hops needs 9.
pub const TOKEN_JSON_DEPTH: usize = 16;

/// Deepest JSON nesting in a policy document; `tokens.issuers[].keys.jwks.keys[].key_ops` is 8.
pub const DOCUMENT_JSON_DEPTH: usize = 32;

/// Longest policy document, in bytes: 100,000 revocations of 80 bytes. While it is taken, the old policy, the text, its JSON
/// and the new policy are in one heap of 1 GiB at most; running out there would end the VM in the middle of an update.
pub const DOCUMENT_BYTES: usize = 8 * 1024 * 1024;

/// Most entries of `revoked`; compiled they take about 750 bytes each. More than that is a status list, not a document.
pub const REVOCATIONS: usize = 120_000;

/// Bytes of documents whose policies one VM keeps at a time. An update leaves the older policy's context alive until its last
/// stream has ended; beyond this the oldest are let go, and what would still begin under one is denied.
pub const RETAINED_DOCUMENT_BYTES: usize = 4 * DOCUMENT_BYTES;

/// Streams that one VM keeps something about, at about 1.5 KiB each; more are denied. An Envoy with its default limits is out
/// of memory of its own long before.
pub const STREAMS: usize = 50_000;

/// How long streams go on that no configuration reaches any more, when the policy does not say. A worker that is late by seconds
/// takes an update within it; longer than that nobody wants to wait for a revocation.
pub const ORPHANED_STREAMS: Duration = Duration::from_secs(10);

/// How often a VM without streams says that its configuration is in force.
pub const BEAT: Duration = Duration::from_secs(1);

/// After so long without a beat it is doubtful whether any configuration is: a proxy's main thread stands still for a second or
/// two while it compiles a filter. Shorter bounds of a policy come to this.
pub const BEAT_LOST: Duration = Duration::from_secs(3);

/// The longest that a policy may give them: five minutes.
pub const ORPHANED_STREAMS_MOST: Duration = Duration::from_secs(300);

/// Errors reported for one document; more would not help its author.
pub const DOCUMENT_ERRORS: usize = 100;

/// Most header fields of one request. Envoy's default (`max_headers_count`) is 100; a wasm host serialises at most 1,024.
pub const HEADERS: usize = 1024;

/// Longest path with query, in bytes: what common servers accept for a request line.
pub const PATH_BYTES: usize = 8 * 1024;

/// Longest name or identifier (session, subject, agent, jti, command, policy), in bytes. Longer ones could not be
/// told apart in the audit headers, which carry 256 bytes.
pub const IDENTIFIER_BYTES: usize = 256;

/// Longest end of a path segment after a capture, decoded.
pub const END_BYTES: usize = 64;

/// Hops of an `act` chain (RFC 8693 §4.1) that are read; a longer chain is refused.
pub const AGENT_CHAIN: usize = 8;

/// Places where one claim may be looked for, one after the other.
pub const CLAIM_CHOICES: usize = 4;

/// Commands a token may list for itself.
pub const TOKEN_COMMANDS: usize = 256;

/// Longest value of an audit header, in bytes, after percent-encoding.
pub const AUDIT_VALUE_BYTES: usize = 256;

/// Longest path in the audit record, in bytes; the rest is left out and marked.
pub const RECORD_PATH_BYTES: usize = 1024;

/// Shortest text of a credential that is looked for within other texts, in bytes. Shorter ones stand in an answer by accident:
/// one of seven digits is in one of a thousand timestamps. What is shorter is looked for with what the policy writes around it,
/// and if that is no longer, as the whole value of a field.
pub const ECHO_LEAST: usize = 8;

/// From so many bytes on that can be the beginning of the credential, the end of a piece of a body is held until the next piece.
/// Fewer are at many ends by accident, and an answer must not wait for what follows them; three bytes of a credential are of no
/// use to anybody.
pub const ECHO_SHOWN: usize = 4;

/// Names of fields with the credential in them that the audit record lists, and how many bytes of each: a target that sends back
/// all that it got does so in fewer fields, and names of fields are shorter.
pub const ECHO_NAMES: usize = 16;
/// See [`ECHO_NAMES`].
pub const ECHO_NAME_BYTES: usize = 64;

/// Verified tokens kept by one worker. At about 2 KiB each this is 8 MiB; when it is full those go that are not used, and are
/// verified once more should they come again.
pub const VERIFIED_TOKENS: usize = 4096;

/// Bytes of token text kept by one worker; [`VERIFIED_TOKENS`] of the longest tokens would be 64 MiB.
pub const VERIFIED_TOKEN_BYTES: usize = 8 * 1024 * 1024;

/// Verified tokens kept of one session: it has one, and the next one for the moment in which both are about; a few more where it
/// has a token for each audience. Whoever has thousands pushes out his own.
pub const TOKENS_OF_A_SESSION: usize = 8;

/// Sessions counted as live by one worker; at 100 bytes each this is 10 MiB. The count is a metric and decides nothing.
pub const LIVE_SESSIONS: usize = 100_000;

/// Signature checks a second of one worker when the policy does not say. Pure-Rust ES256 in wasm takes about 1.3 ms,
/// so that 200 hold a worker's core busy for a quarter of a second at most.
pub const VERIFICATIONS_PER_SECOND: u32 = 200;

/// The highest pace that a policy can ask for: ten times what a worker can check with the proxy's own cryptography, so that this
/// one means no bound, and is not shared out among callers.
pub const VERIFICATIONS_MOST: u32 = 100_000;

/// Signature checks that one address can always have in a second, while there are any at all, however small the allowance.
pub const CHECKS_OF_AN_ADDRESS: u32 = 8;

/// Addresses that one worker knows as those of callers whose signatures hold, at about 40 bytes each. When it is full new ones
/// stay among the strangers; none that is known is pushed out.
pub const KNOWN_ADDRESSES: usize = 16_384;

/// How long an address is known after a signature from it held, in seconds: a token's usual lifetime, after which the next one
/// comes.
pub const KNOWN_ADDRESS_SECONDS: u64 = 900;

/// Exchanges of one session under way in one worker when the policy does not say: as many as an HTTP/2 connection has streams by
/// RFC 9113 §6.5.2's advice. A cluster takes 1,024 requests at once by Envoy's default, from all callers together.
pub const STREAMS_PER_SESSION: u32 = 100;

/// Exchanges without a session under way in one worker when the policy does not say: health checks take milliseconds each.
pub const UNMEDIATED_STREAMS: u32 = 100;

/// Most that a policy can ask for of either: more than [`STREAMS`] is no bound.
pub const STREAMS_MOST: u32 = 100_000;

/// Bytes of one of the 256 shards in which the workers of a proxy keep what they know of sessions, 4 MiB in all. A request reads
/// one shard, so that its size is what the request pays for. Without room a session that is not known is denied.
///
/// Some 300 sessions of 50 bytes each, with what `idle_timeout` and `context_changes` keep of every session: 75,000 in all. Which
/// shard a session has is decided by a hash with a random key, so that ids which somebody has chosen fill no shard sooner than
/// others. One subject can have half of that, and two can have two thirds; a dozen together leave no room for others, eight do.
pub const SHARD_BYTES: usize = 16 * 1024;

/// Shards that one session may be kept in. A later one is looked at only where those before are full.
pub const SHARD_CHOICES: usize = 4;

/// Bytes of a shard that sessions of one subject may always have together, some 20 sessions; more than that while as much is left
/// for all others.
pub const SUBJECT_BYTES: usize = 1024;

/// Bytes of a shard that are left to the sessions in it, for the denials that are yet to be counted: some 170.
pub const GROWTH_BYTES: usize = 1024;

/// Subjects of which a shard notes that a denial of theirs found no room. It has room for fifteen that hold [`SUBJECT_BYTES`].
pub const SHUT_SUBJECTS: usize = 16;

/// Kinds of rules by which a session's context is kept side by side; one more is denied. Each change of `source_prefix` is
/// another kind, and a session rarely lives to see two.
pub const CONTEXTS: usize = 8;

/// How much longer a full shard says so than anything is kept that did not fit, in milliseconds: longer than a worker that has
/// read the time takes to act on it.
pub const OVERFLOW_MILLISECONDS: u64 = 60_000;

/// Sessions of which one worker remembers denials that it could not note, at some 100 bytes each. Beyond it every session is
/// denied until those count no more: the proxy has failed for longer than a moment.
pub const OWED_DENIALS: usize = 1024;

/// Heads that were let through and are known again, in one worker; and the largest of them, in bytes of names and values.
pub const PRECEDENTS: usize = 1024;
/// See [`PRECEDENTS`].
pub const PRECEDENT_BYTES: usize = 4096;

/// How often a worker tries to change a shard that others change at the same time, before it denies.
pub const SHARED_RETRIES: usize = 16;

/// How long the ending of a session is kept at the least, in seconds: a later policy may let tokens live longer than the one that
/// ended it, and a day is more than any sensible one.
pub const ENDING_SECONDS: u64 = 24 * 3600;

/// Most denials that `end_session_when` counts: each is 6 bytes of a shard.
pub const DENIALS_COUNTED: u8 = 32;

/// Rules on calls, and rules on their order, that one grant may have of each: one a minute, one an hour, for two groups of commands.
pub const CALL_RULES: usize = 4;

/// Most calls that a rule counts. Beyond it the rule is no bound but a rate, and what a request costs is the proxy's to limit.
pub const CALLS_COUNTED: u16 = 10_000;

/// Longest window in which calls are counted, or may follow another, in seconds: a day. Sessions are shorter.
pub const CALLS_SECONDS: u64 = 86_400;

/// Parts of a window in which calls are counted, so that a count is 32 bytes and not one time for each call. A call counts until
/// the part in which it was is older than the window: an eighth of the window too long at the most, and never too short.
pub const CALL_PARTS: usize = 8;

/// Counts of calls kept of one session, at 32 bytes each: those of two grants with [`CALL_RULES`]. One more is denied.
pub const SESSION_COUNTS: usize = 8;

/// Commands of which is kept that a session has called them, at 14 bytes each. One more is denied.
pub const SESSION_MARKS: usize = 8;

/// Grants by which the bytes of one session are counted, at 20 bytes each. One more is denied.
pub const SESSION_TOTALS: usize = 4;

/// The largest total of a session's bytes that a grant can set: it is kept in six bytes.
pub const SESSION_BYTES: u64 = (1 << 48) - 1;

/// What one stream takes of its session's bytes at a time, where it does not say how long it is: a write of what is shared for each
/// 64 KiB, and not for each piece. What it has not used it gives back at its end; until then others find less than there is, but no
/// less than [`SESSION_BYTES_SHARE`] says.
pub const SESSION_BYTES_STEP: u64 = 64 * 1024;

/// Of what is left one stream takes no more ahead than one part in so many: a few that stay open keep nobody from what little there
/// is.
pub const SESSION_BYTES_SHARE: u64 = 8;

/// Longest DPoP proof, in bytes: one by an RSA key of 4096 bits, whose modulus and signature are 683 characters each.
pub const DPOP_PROOF_BYTES: usize = 4 * 1024;

/// How long a DPoP proof may be shown after its `iat`, in seconds, besides the policy's clock skew. RFC 9449 §11.1 wants it
/// brief; a minute is more than any network needs, and what a thief of a proof has for the workers that have not seen it.
pub const DPOP_PROOF_SECONDS: u64 = 60;

/// DPoP proofs that one worker remembers, at some 50 bytes each. Those of a minute at 2,000 a second, more than a worker
/// verifies; when it is full more are denied, and none that could still be shown is forgotten.
pub const DPOP_PROOFS: usize = 120_000;

/// Longest clock skew that a policy may allow, in seconds. A larger difference is a broken clock.
pub const CLOCK_SKEW_SECONDS: u64 = 300;

/// Latest instant accepted in a token, in Unix seconds: the end of the year 9999, where RFC 3339 ends.
pub const LATEST_SECONDS: u64 = 253_402_300_799;

/// Longest key set that is fetched, in bytes: [`KEY_SET_KEYS`] RSA keys of 4096 bits, each with a certificate beside it, are 200
/// KiB, and no issuer has as many; sets of real issuers stay below 16 KiB.
pub const KEY_SET_BYTES: usize = 128 * 1024;

/// Keys that are taken of one set: issuers that rotate keep two or three.
pub const KEY_SET_KEYS: usize = 64;

/// Keys that one token's signature is tried with, where no `kid` says which: an issuer that rotates has two or three. Each is a
/// check of [`VERIFICATIONS_PER_SECOND`].
pub const KEY_TRIALS: usize = 4;

/// Deepest JSON nesting in a key of a fetched set: `key_ops` is 2; members that we do not know may go somewhat deeper.
pub const KEY_JSON_DEPTH: usize = 6;

/// Longest status list when the policy does not say, inflated, in bytes: eight million sessions of one bit.
pub const STATUS_LIST_BYTES: usize = 1024 * 1024;

/// Longest status list that a policy can ask for. While it is read, its text, the text within and the array are in memory.
pub const STATUS_LIST_BYTES_MOST: usize = 16 * 1024 * 1024;

/// Bytes that all status lists of one policy may have together: a VM has 1 GiB at most, and an older policy's lists beside these.
pub const STATUS_LISTS_BYTES: usize = 64 * 1024 * 1024;

/// A status list's `iat` may be as far ahead of our clock, in seconds: as the largest `clock_skew`.
pub const STATUS_LIST_AHEAD: u64 = 300;

/// Shortest `ttl` that is believed, in seconds: a smaller one would have every worker ask all the time.
pub const STATUS_LIST_SHORTEST: u64 = 10;

/// Longest time that a copy of a status list says anything, in seconds, whatever `ttl` and `exp` it has: a day.
pub const STATUS_LIST_LONGEST: u64 = 86_400;

/// The same for a list that says neither: an hour.
pub const STATUS_LIST_UNSAID: u64 = 3600;

/// How often a status list is fetched that has no `ttl`.
pub const STATUS_REFRESH: Duration = Duration::from_secs(60);

/// Shortest and longest time between two fetches of a status list, whatever its `ttl`. A revoked session is over within the
/// longest.
pub const STATUS_REFRESH_LEAST: Duration = Duration::from_secs(5);
/// See [`STATUS_REFRESH_LEAST`].
pub const STATUS_REFRESH_MOST: Duration = Duration::from_secs(300);

/// How long the fetch of a status list may take: a megabyte, from a server that is not near.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Places that one policy has something fetched from. Each is asked by every worker of every proxy.
pub const SOURCES: usize = 64;

/// How often a key set is fetched when the policy does not say: the time within which a removed key is gone everywhere.
pub const KEYS_REFRESH: Duration = Duration::from_secs(300);

/// How long a fetch may take when the policy does not say.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// How much longer than its timeout a fetch is waited for, before it counts as lost: the proxy tells of a timeout itself.
pub const FETCH_GRACE: Duration = Duration::from_secs(1);

/// Longest pause between attempts while they fail; it begins with a second and doubles. An issuer that is down for an hour gets a
/// request a minute from each worker, and is back in use a minute after it is back.
pub const FETCH_BACKOFF: Duration = Duration::from_secs(60);

/// Shortest time between a fetch and one that an unknown `kid` asks for. Whoever makes up tokens can have an issuer asked six
/// times a minute by each worker, and not more often.
pub const FETCH_EARLY: Duration = Duration::from_secs(10);

/// How long a request waits for what its decision needs: longer than a slow upload of a few kilobytes or a fetch takes, and short
/// enough that whoever keeps requests waiting does not fill the seats of his session for long.
pub const HELD: Duration = Duration::from_secs(10);

/// Longest body in which a command is looked for, when the policy does not say, in bytes: arguments of tools are a few KiB, and the
/// proxy's own buffer for a request (64 KiB as shipped) must be the larger one, or the proxy answers in our stead.
pub const BODY_BYTES: usize = 32 * 1024;

/// Longest body that a policy can ask for: the proxy's buffers must be raised for it, and each request that waits has one.
pub const BODY_BYTES_MOST: usize = 4 * 1024 * 1024;

/// Values in a body: one of 32 KiB has 16,000 at the most.
pub const BODY_VALUES: usize = 65_536;

/// Deepest JSON nesting in a body: arguments of tools that edit documents go about ten deep.
pub const BODY_JSON_DEPTH: usize = 32;

/// Messages of one body, where the protocol lets there be several.
pub const BATCH: usize = 32;

/// Longest name of a tool, prompt or resource in a body, in bytes: URIs are longer than other names.
pub const RESOURCE_BYTES: usize = 2048;

/// Bytes of an answer that are kept while it is read: a list of a few hundred tools, each with its schema. What is longer and has to
/// be read is refused.
pub const ANSWER_BYTES: usize = 1024 * 1024;

/// Names of what a list withheld from a session that the audit record has, beside their number.
pub const WITHHELD_NAMES: usize = 16;

/// Schemas within the schema of a command's arguments, each a rule that every call pays for.
pub const SCHEMA_NODES: usize = 512;

/// How deep they may go: a document itself goes no deeper.
pub const SCHEMA_DEPTH: usize = 12;

/// Longest regular expression in one.
pub const PATTERN_BYTES: usize = 512;

/// What one may be compiled to, in bytes: each position of a text is looked at once for each of its some 700 states, and a short
/// expression with nested repetitions would have a million.
pub const PATTERN_PROGRAM_BYTES: usize = 16 * 1024;

/// Longest text that one is held against, in bytes; a longer one breaks the rule. With the bound above that is some ten
/// milliseconds.
pub const PATTERN_TEXT_BYTES: usize = 4096;

/// Deepest JSON nesting in an answer that is read: the schemas of tools lie within it.
pub const ANSWER_JSON_DEPTH: usize = 64;

/// How often a provider's events are polled when the policy does not say: by one worker of the proxy, and more often while there are
/// any.
pub const EVENTS_EVERY: Duration = Duration::from_secs(5);

/// How long a poll may take. It asks for what there is, and waits for nothing.
pub const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer to a poll, in bytes: [`EVENTS_A_POLL`] tokens of 2 KiB twice over.
pub const EVENTS_ANSWER_BYTES: usize = 256 * 1024;

/// Longest security event token, in bytes: those of real transmitters stay below 2 KiB.
pub const EVENT_TOKEN_BYTES: usize = 8 * 1024;

/// Deepest JSON nesting in an answer to a poll: `sets` is 2; members that we do not know may go somewhat deeper.
pub const EVENTS_JSON_DEPTH: usize = 6;

/// Events asked for at once, and checks of signatures that one answer may cost: at 1.3 ms each for the slowest the worker that polls
/// stands still for 65 ms at the most. What is beyond it comes with the next poll.
pub const EVENTS_A_POLL: usize = 50;

/// An event may be of a time so far ahead of our clock, in seconds: as far as the largest `clock_skew`.
pub const EVENT_AHEAD: u64 = 300;

/// How long what the workers share has said of an event before the provider is told that it was taken: two ticks of a worker's, so
/// that each has cut what it ends.
pub const EVENTS_SETTLE: Duration = Duration::from_millis(500);

/// How old what a worker has read of the events may be when a piece of an open stream goes on: a tick, were the worker not so busy
/// that its ticks are late.
pub const EVENTS_FRESH: Duration = Duration::from_millis(250);

/// For how long the worker that polls has that to itself. It says so again long before; when it is gone another follows after that.
pub const EVENTS_LEASE: Duration = Duration::from_secs(5);

/// Bytes of what the workers of a proxy share of one issuer's events: some 10,000 at about 100 bytes, twelve a second for a quarter
/// of an hour. Beyond it all sessions of the issuer from before end in the place of those that are named.
pub const EVENT_BYTES: usize = 1024 * 1024;

/// How long an event is kept at the least, in seconds: a later policy may let tokens live longer than the ones that there were.
pub const EVENT_SECONDS: u64 = 3600;
/// Longest `audience`, `resource`, `scope`, client id and the like of an exchange, in bytes: URIs of resources are the longest.
pub const EXCHANGE_TEXT_BYTES: usize = 1024;

/// Longest answer of a token endpoint, in bytes: a token of [`EXCHANGED_TOKEN_BYTES`], another beside it, and what is said of them.
pub const EXCHANGE_ANSWER_BYTES: usize = 64 * 1024;

/// Longest token that an exchange may give, in bytes: it becomes a header's value, and targets take heads of 8 to 16 KiB.
pub const EXCHANGED_TOKEN_BYTES: usize = 8 * 1024;

/// Exchanged tokens that one worker holds, with those that are on their way: of 2 KiB usually, 16 MiB if all were of the longest.
/// When it is full the one that ends the soonest goes, and is had anew should it be asked for.
pub const EXCHANGED_TOKENS: usize = 2048;

/// Of these, one session's: as many as its kept tokens and two targets make. Beyond it its own that ends the soonest goes; where all of
/// them are on their way, the next waits for none.
pub const EXCHANGED_A_SESSION: u32 = 16;

/// Exchanges that one worker has under way. An endpoint that answers in 50 ms gives 2,500 sessions a second theirs.
pub const EXCHANGES_UNDER_WAY: usize = 128;

/// Requests that wait for one exchange: a page of a browser sends six at once, a busy agent a few dozen. More are denied, for what is
/// let go when the answer comes is let go at once.
pub const EXCHANGE_WAITING: u32 = 64;

/// How long a failed exchange is not tried again: each request of its session would ask an endpoint that is down anyway.
pub const EXCHANGE_FAILED: Duration = Duration::from_secs(1);

/// So many seconds before its end an exchanged token is given no request any more, but a tenth of its life at the most: it has to be
/// good when it reaches the target, whose clock may be ahead.
pub const EXCHANGED_MARGIN: u64 = 30;

/// How long an assertion of the proxy's own is good, in seconds (RFC 7523 §3): as long as a request may wait, and clocks may differ.
pub const ASSERTION_SECONDS: u64 = 60;

/// Longest text of SQL statements, in bytes. One of 500 bytes is judged in some microseconds; PostgreSQL itself takes a gigabyte.
pub const STATEMENT_BYTES: usize = 65_536;

/// Most operators, keywords and signs in it, but for commas, parentheses and values: chains of them are as deep in a parser's tree as
/// they are long, and the stack of a VM is 1 MiB.
pub const STATEMENT_OPERATORS: usize = 1_000;

/// Deepest nesting of expressions and queries in a statement; a query in a query takes three. At 48 a parser needs 1.3 MiB of stack, as
/// measured on the laptop, and a VM has one.
pub const STATEMENT_DEPTH: usize = 24;

/// Longest name of a table or another thing, in bytes: PostgreSQL cuts off what is longer (`NAMEDATALEN` less one).
pub const NAME_BYTES: usize = 63;
