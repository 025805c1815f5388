//! Every bound of the formats and of the messages, in one place, so that a reader can judge what a hostile peer can make
//! us do. Not here: bounds that one crate alone decides (a pool's size, a time-out), which sit beside their use.

/// Plaintext bytes of a full chunk. 16 pieces of 1 MiB: large enough that a locator costs under 1 % of it, small enough
/// that a client holds a few of them in memory.
pub const CHUNK_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Pieces any of which rebuild a chunk: `k` of the `rs16/48` code.
pub const DATA_PIECES: usize = 16;

/// Pieces a descriptor commits to: `n` of the `rs16/48` code. Three times the data, the most any class places.
pub const TOTAL_PIECES: usize = 48;

/// Bytes of the largest piece. The largest message body too: measured, 1 MiB messages cost the least CPU per byte.
pub const PIECE_MAX_BYTES: usize = CHUNK_MAX_BYTES / DATA_PIECES;

/// A piece's length is a multiple of this, the width of the widest vector register the erasure code uses.
pub const PIECE_ALIGN_BYTES: usize = 64;

/// Bytes the erasure code handles of each piece at a time: 48 such slices stay in the cache, 1 MiB pieces do not.
pub const CODING_SLICE_BYTES: usize = 64 * 1024;

/// Bytes of an encoded descriptor: 48 hashes of 32 bytes and a few numbers.
pub const DESCRIPTOR_MAX_BYTES: usize = 2 * 1024;

/// Plaintext of this many bytes or fewer sits in the manifest itself, so that a small file is one chunk.
pub const INLINE_MAX_BYTES: usize = 64 * 1024;

/// Bytes of an encoded manifest: an inline file and its frame, or 2,175 chunk ids.
pub const MANIFEST_MAX_BYTES: usize = 68 * 1024;

/// Highest level of a chunk list: level 1 covers 2,175 x 8 TiB, more than any disk.
pub const LIST_MAX_LEVEL: u32 = 1;

/// Fewest bytes of a chunk that is cut by content, but the last of a file; more than the cutter takes is refused by it.
pub const CDC_MIN_BYTES: usize = 1024 * 1024;

/// Bytes from which on a cut by content is looked for less strictly; the most that the cutter takes. Each chunk costs its
/// network about 260 KiB beside its pieces, so smaller ones would cost much more than they save: see
/// `dsn-core/benches/cutting.rs` and its figures in `benches/README.md`.
pub const CDC_AVERAGE_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of a chunk that is cut by content: as many as can be sealed.
pub const CDC_MAX_BYTES: usize = SEALED_CHUNK_BYTES;

/// Rows of a chunk id and a length in a manifest: what fits it, about 6 GiB of a file.
pub const ROWS_MAX: u64 = 1_740;

/// Rows in a chunk that holds nothing else: 640 KiB of them name about 60 GiB of a file, so a read of a small part of it
/// costs that little besides.
pub const ROWS_PER_CHUNK: u64 = 16_384;

/// Bytes of plaintext in one frame of a sealed chunk: with its tag it has 16 KiB, as much as a group of a piece, so that a part
/// of a sealed file moves hardly more groups than the same part of a public one.
pub const SEALED_FRAME_BYTES: usize = AUDIT_GROUP_BYTES - SEAL_TAG_BYTES;

/// Bytes that sealing adds to a frame.
pub const SEAL_TAG_BYTES: usize = 16;

/// Bytes of plaintext in a full sealed chunk.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_MAX_BYTES / (SEALED_FRAME_BYTES + SEAL_TAG_BYTES) * SEALED_FRAME_BYTES;

/// Bytes of names and sealed body together that stay in the manifest.
pub const SEALED_INLINE_MAX_BYTES: usize = 65 * 1024;

/// Bytes of the path of an entry of a folder; no system takes longer ones.
pub const PATH_MAX_BYTES: usize = 4096;

/// Bytes of one name in it.
pub const NAME_MAX_BYTES: usize = 255;

/// Bytes of what a link says.
pub const LINK_MAX_BYTES: usize = 4096;

/// Bytes of an encoded node of a folder's tree that is a chunk.
pub const FOLDER_NODE_MAX_BYTES: usize = 1024 * 1024;

/// All paths of a node together take at most so many times the bytes of the longest node.
pub const FOLDER_PATHS_FACTOR: usize = 8;

/// Levels of nodes below a folder's manifest: more entries than any disk has.
pub const FOLDER_MAX_LEVEL: u32 = 4;

/// Receipts in a locator: twice the pieces, so that a chunk can move house without losing sight of the old one.
pub const LOCATOR_MAX_RECEIPTS: usize = 96;

/// Bytes of a receipt's body. Its fields take under 200; the rest leaves room for versions to come.
pub const SIGNED_BODY_MAX_BYTES: usize = 1024;

/// Bytes of a farmer record's body: all its addresses at their longest and a few fields, and room as above.
pub const RECORD_BODY_MAX_BYTES: usize = 4 * 1024;

/// Custodians of a chunk: as many as a Kademlia bucket holds, so that one look-up finds them all.
pub const CUSTODIANS: usize = 20;

/// Bytes of a network's name.
pub const NETWORK_NAME_MAX_BYTES: usize = 64;

/// Addresses in a farmer record.
pub const RECORD_MAX_ADDRESSES: usize = 8;

/// Bytes of one address in a farmer record.
pub const ADDRESS_MAX_BYTES: usize = 256;

/// Bytes of a failure-domain tag.
pub const DOMAIN_MAX_BYTES: usize = 32;

/// Chunk ids in one request; a locator of 40 receipts is about 10 KiB, so the answer fits one control message.
pub const IDS_MAX_PER_REQUEST: usize = 256;

/// Chunks in one offer.
pub const OFFER_MAX_CHUNKS: usize = 256;

/// Locators in one publish request.
pub const PUBLISH_MAX_LOCATORS: usize = 32;

/// Slices in one audit: three audits of 32 find a farmer that dropped one piece in twenty with 99 %.
pub const AUDIT_MAX_ITEMS: usize = 64;

/// Bytes of a slice of an audit; a piece is hashed in groups of this many, so that a slice needs 64 bytes of proof for
/// each halving of the piece and no stored tree.
pub const AUDIT_GROUP_BYTES: usize = 16 * 1024;

/// Groups of a piece in one slice: half a piece, so that a slice with its proof fits a message, and so that the 17 slices
/// of a lost stretch, which are held at once, are under 9 MiB.
pub const SLICE_MAX_GROUPS: u32 = 32;

/// Slices in one request. Each costs its farmer the reading and hashing of a whole piece, so these are 16 MiB at most; a
/// holder of all the pieces that a degraded read wants is asked twice.
pub const SLICES_MAX_PER_REQUEST: usize = 16;

/// Leases of one chunk that are told in one answer. One that holds keeps the chunk, so more would only be politeness.
pub const LEASES_MAX_PER_CHUNK: usize = 16;

/// Leases in one request.
pub const LEASES_MAX_PER_REQUEST: usize = 64;

/// Seconds from the signing of a name's record to its end, at most. Long enough that a name outlives a holiday of its
/// owner, and no longer than needed: for as long, records that have ended are kept.
pub const NAME_TTL_MAX_SECS: u64 = 90 * 24 * 3600;

/// Seconds for which a name's record is kept after its end. Whoever signed an older one signed it before, so that one has
/// ended by then too and cannot come back.
pub const NAME_KEPT_SECS: u64 = NAME_TTL_MAX_SECS;

/// Records of one name that are kept: two show that its writers disagree, and more would show no more.
pub const NAME_RECORDS_MAX: usize = 2;

/// Names in one request.
pub const NAMES_MAX_PER_REQUEST: usize = 64;
const _: () = assert!(NAMES_MAX_PER_REQUEST * NAME_RECORDS_MAX * (SIGNED_BODY_MAX_BYTES + 128) <= HEADER_MAX_BYTES);

/// Other runs of its node that a greeting names: a farmer that starts again every second is never its own twin, so the
/// latest few suffice.
pub const GREETING_MAX_HEARD: usize = 8;

/// Greetings of one node that another shows.
pub const GREETINGS_MAX_PER_NODE: usize = 4;

/// Seconds for which a node that no look-up finds is known where it has registered.
pub const REGISTERED_SECS: u32 = 3600;

/// Records in one answer: at 4 KiB each a quarter of a message, and asked for page by page.
pub const RECORDS_MAX_PER_ANSWER: usize = 64;
const _: () = assert!(RECORDS_MAX_PER_ANSWER * (RECORD_BODY_MAX_BYTES + 128) <= HEADER_MAX_BYTES);

/// Pieces in one store or fetch message.
pub const PARTS_MAX_PER_MESSAGE: usize = 256;

/// Bytes of a message's header: the whole of a control message.
pub const HEADER_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of all bodies of a message together.
pub const BODIES_MAX_BYTES: usize = PIECE_MAX_BYTES;

/// Seconds a farmer keeps space for an accepted offer.
pub const TOKEN_VALID_SECS: u64 = 600;

/// Seconds a piece is kept for a put that was never committed.
pub const PROVISIONAL_LEASE_SECS: u64 = 24 * 3600;

/// Seconds a receipt may be dated ahead of the reader's clock.
pub const CLOCK_SKEW_SECS: u64 = 3600;

/// Servers in a network that a node crawls as a whole; larger ones are searched by look-ups.
pub const SNAPSHOT_MAX_NODES: usize = 2000;

/// Seconds for which a crawled picture of the network is believed.
pub const SNAPSHOT_VALID_SECS: u64 = 600;

/// Rules of the firewall. More than anybody reads; a list of peers or ranges to block is rarely longer.
pub const FIREWALL_RULES_MAX: usize = 1024;

/// Questions that wait for the operator: more than a person answers within the minute they stay.
pub const FIREWALL_ASKS_MAX: usize = 256;

/// Of those, about one node: a few kinds of request, so that one node does not fill the list.
pub const FIREWALL_ASKS_MAX_PER_NODE: usize = 4;

/// Seconds an operator's word on a question holds: a put that was let in has time to end, as with a token.
pub const FIREWALL_WORD_SECS: u64 = TOKEN_VALID_SECS;

/// Words remembered, given or come of silence; the one that ends first makes room.
pub const FIREWALL_WORDS_MAX: usize = 1024;

/// Characters at the end of a closed network's name that say whose it is: 16 bytes in base32, too many to meet twice.
pub const CLOSED_ID_CHARS: usize = 26;

/// Bytes of what a founder calls a closed network: what its name has room for beside a dot and these characters.
pub const CLOSED_LABEL_MAX_BYTES: usize = NETWORK_NAME_MAX_BYTES - CLOSED_ID_CHARS - 1;

/// Bytes of what a founder calls a member: a name and a machine.
pub const MEMBER_LABEL_MAX_BYTES: usize = 64;

/// Seconds for which a member's word for a node counts. It is asked for when a connection begins and signed anew each
/// time, so an hour outlasts every handshake and bounds what a stolen node key is worth.
pub const DELEGATION_SECS: u64 = 3600;

/// Seconds by which clocks of members may differ: more than any machine that has ever met a time server is off.
pub const MEMBER_SKEW_SECS: u64 = 300;

/// Members that a network has revoked and whose certificates would still count. Those that have ended need no entry.
pub const REVOCATIONS_MAX: usize = 1024;

/// Bytes of a list of revocations: all its members and a few fields.
pub const REVOCATIONS_MAX_BYTES: usize = REVOCATIONS_MAX * 32 + SIGNED_BODY_MAX_BYTES;

/// Seconds after it was signed for which a record of a name is news to everybody; who asks the custodians learns of it at
/// any time. As long as clocks may differ.
pub const NAME_NEWS_SECS: u64 = CLOCK_SKEW_SECS;

/// Bytes of an announcement: the largest is a full list of revocations.
pub const ANNOUNCEMENT_MAX_BYTES: usize = REVOCATIONS_MAX_BYTES + SIGNED_BODY_MAX_BYTES;

/// Seconds for which a departure is news; who stays away for longer asks the farmer itself.
pub const DEPARTURE_NEWS_SECS: u64 = 3600;

/// Seconds by which a departure may be of the future: what clocks are off by.
pub const DEPARTURE_SKEW_SECS: u64 = 300;

/// Bytes of one step of an admission: certificate, delegation, and a full list of revocations.
pub const ADMISSION_MAX_BYTES: usize = REVOCATIONS_MAX_BYTES + 3 * SIGNED_BODY_MAX_BYTES;

/// Bytes of an invitation: a certificate, addresses at their longest, a key.
pub const INVITATION_MAX_BYTES: usize = RECORD_BODY_MAX_BYTES + SIGNED_BODY_MAX_BYTES;

/// Bytes of a file with a pre-shared key; its three lines take under 100.
pub const PSK_FILE_MAX_BYTES: usize = 1024;

const _: () = assert!(INVITATION_MAX_BYTES <= 65_535, "its length is two bytes");
const _: () = assert!(TOTAL_PIECES <= 64, "an IndexSet is one u64");
const _: () = assert!(TOTAL_PIECES * 32 + 64 <= DESCRIPTOR_MAX_BYTES);
const _: () = assert!(RECORD_MAX_ADDRESSES * (ADDRESS_MAX_BYTES + 3) + SIGNED_BODY_MAX_BYTES <= RECORD_BODY_MAX_BYTES);
const _: () = assert!(INLINE_MAX_BYTES < MANIFEST_MAX_BYTES);
const _: () = assert!(CDC_MAX_BYTES <= SEALED_CHUNK_BYTES, "a chunk that is cut by content can be sealed");
const _: () = assert!(CHUNK_MAX_BYTES.is_multiple_of(DATA_PIECES * PIECE_ALIGN_BYTES));
const _: () = assert!(PIECE_MAX_BYTES.is_multiple_of(CODING_SLICE_BYTES));
const _: () = assert!(MANIFEST_MAX_BYTES <= PIECE_MAX_BYTES, "a root chunk's copy fits one message");
const _: () = assert!(PUBLISH_MAX_LOCATORS * 32 * 1024 <= HEADER_MAX_BYTES, "a full locator is under 32 KiB");
const _: () = assert!(FIREWALL_ASKS_MAX_PER_NODE <= FIREWALL_ASKS_MAX / 8, "one node leaves room for others");
