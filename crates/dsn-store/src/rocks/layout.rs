//! Keys and values in RocksDB, to the byte, and nothing else: what the store writes, and what it accepts when it reads.
//! Numbers are big-endian. A value that is not exactly as the table says is damage: its reader gets nothing, never a
//! guess and never a panic.
//!
//! Beside the folder `db` lies the file `FORMAT`: the text `dsn-store 1` and a line feed, written before `db` exists and
//! read before it is opened, so that a folder of a newer version stays as it is.
//!
//! Column family `pieces`; values of 4 KiB and more lie in blob files:
//!
//! | key | value |
//! |---|---|
//! | chunk id 32, piece index 1 | the piece |
//!
//! Column family `meta`; the first byte of a key says what it is:
//!
//! | key | value |
//! |---|---|
//! | `c`, chunk id 32 | class 1 (1 low, 2 normal, 3 high), piece length 4, index set 8 (bit *i*: piece *i* is held) |
//! | `d`, chunk id 32 | the chunk's descriptor, canonical protobuf |
//! | `g` | bytes in blob files that no key names any more 8; absent is 0 |
//! | `k`, name 32 | the newest records of that name, canonical protobuf |
//! | `l`, chunk id 32 | the chunk's locator, canonical protobuf |
//! | `n`, chunk id 32 | empty: a locator of this chunk is kept (so that counting reads no locators) |
//! | `m` | the store's mark: id 8, how often it was opened 8, pieces lost by damage 8 |
//! | `o`, owner 32, root chunk id 32, chunk id 32 | a claim: the chunk belongs to that file. The value says nothing |
//! | `p`, put id 16, owner 32, chunk id 32 | a provisional lease: Unix seconds of its end 8 |
//! | `q`, chunk id 32, put id 16, owner 32 | empty: there is the `p` of the same three |
//! | `r`, chunk id 32, owner 32, root chunk id 32 | empty: there is the `o` of the same three |
//! | `s` | bytes of all pieces 8, pieces 8, locators 8, last receipt number 8 |
//! | `t`, chunk id 32 | the chunk is in the trash: Unix seconds since when 8 |
//! | `v` | what the farmer has seen of others, a protobuf message of its own |
//! | `w`, owner 32, root chunk id 32 | the owner's newest lease of that file, signed, canonical protobuf |
//! | `x` | empty: the store was closed in order, so `s` is true without counting |
//! | `y` | empty: a part of the index may be missing, so nothing is deleted until `doubt` has been through it |
//!
//! A claim without a readable `w` holds its chunk without end. Stores of before `m` have no `q`, `r` and `w`; they get `q`
//! and `r` when they are opened. `o` and `r` with an owner and a root of zeros are nobody's claim: `doubt` makes them.

use dsn_core::{
    cid::Cid,
    hash::{ChunkId, Hash},
    index_set::IndexSet,
    limits::PIECE_MAX_BYTES,
    name::Name,
    node_id::NodeId,
    ports::{Space, StoreMark},
    redundancy::Class,
    rpc::PutId,
};

/// The format this program writes, and the highest it reads.
pub(super) const FORMAT: u32 = 1;

/// Smaller pieces lie beside their keys: a blob record costs about 40 bytes and a read of its own.
pub(super) const BLOB_MIN_BYTES: u64 = 4 * 1024;

/// Column family of the pieces.
pub(super) const PIECES: &str = "pieces";

/// Column family of everything else.
pub(super) const META: &str = "meta";

/// Key of the counters.
pub(super) const COUNTERS_KEY: &[u8] = b"s";

/// Key of what the farmer has seen of others.
pub(super) const NOTES_KEY: &[u8] = b"v";

/// Key that exists while the store is closed in order.
pub(super) const CLEAN_KEY: &[u8] = b"x";

/// Key of the bytes that can be reclaimed; not a part of the counters, so that stores of before it are read as they are.
pub(super) const GARBAGE_KEY: &[u8] = b"g";

/// What the keys of chunk entries start with.
pub(super) const ENTRY_TAG: u8 = b'c';

/// What the keys of descriptors start with.
pub(super) const DESCRIPTOR_TAG: u8 = b'd';

/// What the keys of locators start with.
pub(super) const LOCATOR_TAG: u8 = b'l';

/// What the keys of names start with.
pub(super) const NAME_TAG: u8 = b'k';

/// What the keys that say "there is a locator" start with.
pub(super) const LOCATOR_NAME_TAG: u8 = b'n';

/// Key of the mark.
pub(super) const MARK_KEY: &[u8] = b"m";

/// Key that exists while a part of the index may be missing.
pub(super) const DOUBT_KEY: &[u8] = b"y";

/// What the keys of claims start with.
pub(super) const CLAIM_TAG: u8 = b'o';

/// What the keys of provisional leases start with.
pub(super) const UPLOAD_TAG: u8 = b'p';

/// What the keys of a chunk in the trash start with.
pub(super) const TRASH_TAG: u8 = b't';

const CLAIM_OF_CHUNK_TAG: u8 = b'r';
const UPLOAD_OF_CHUNK_TAG: u8 = b'q';
const WORD_TAG: u8 = b'w';

/// A file that chunks belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) owner: NodeId,
    pub(super) root: Cid,
}

/// An upload that has not been committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Upload {
    pub(super) put_id: PutId,
    pub(super) owner: NodeId,
}

/// What is held of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkEntry {
    pub(super) class: Class,
    pub(super) piece_len: u32,
    pub(super) indices: IndexSet,
}

/// What changes in the same batch as the pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) space: Space,
    /// The last receipt number given.
    pub(super) seq: u64,
    /// Bytes of pieces in blob files that no key names any more. Under a key of its own.
    pub(super) garbage_bytes: u64,
    /// In which life the store is. Under a key of its own.
    pub(super) mark: StoreMark,
}

/// Key of a piece.
pub(super) fn piece_key(chunk: ChunkId, index: u8) -> [u8; 33] {
    let mut key = [index; 33];
    key[..32].copy_from_slice(chunk.as_bytes());
    key
}

/// Key of what `tag` says of a chunk.
pub(super) fn chunk_key(tag: u8, chunk: ChunkId) -> [u8; 33] {
    let mut key = [tag; 33];
    key[1..].copy_from_slice(chunk.as_bytes());
    key
}

/// Key of what is kept of a name.
pub(super) fn name_key(name: Name) -> [u8; 33] {
    let mut key = [NAME_TAG; 33];
    key[1..].copy_from_slice(name.as_bytes());
    key
}

/// The value of a point in time.
pub(super) fn encode_time(secs: u64) -> [u8; 8] {
    secs.to_be_bytes()
}

/// Reads a point in time; none when it is damaged.
pub(super) fn decode_time(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// The value of a mark. What it says of receipt numbers is of one opening only, and not written.
pub(super) fn encode_mark(mark: StoreMark) -> [u8; 24] {
    let mut value = [0; 24];
    for (field, number) in value.chunks_exact_mut(8).zip([mark.id, mark.opens, mark.losses]) {
        field.copy_from_slice(&number.to_be_bytes());
    }
    value
}

/// Reads a mark; none when it is damaged.
pub(super) fn decode_mark(value: &[u8]) -> Option<StoreMark> {
    let value: &[u8; 24] = value.try_into().ok()?;
    let number = |at: usize| decode_time(&value[at..at + 8]);
    Some(StoreMark { id: number(0)?, opens: number(8)?, losses: number(16)?, ..StoreMark::default() })
}

impl Claim {
    /// Holds a chunk without end: it has no word, and nobody can give one.
    pub(super) const NOBODYS: Self = Self { owner: NodeId([0; 32]), root: Cid(ChunkId(Hash([0; 32]))) };

    /// What the keys of its claims start with; the chunk id follows.
    pub(super) fn prefix(&self) -> Vec<u8> {
        [&[CLAIM_TAG][..], &self.owner.0, self.root.0.as_bytes()].concat()
    }

    /// Key of the claim to a chunk.
    pub(super) fn key(&self, chunk: ChunkId) -> Vec<u8> {
        [&self.prefix()[..], chunk.as_bytes()].concat()
    }

    /// Key of the same, to be found by the chunk.
    pub(super) fn key_of_chunk(&self, chunk: ChunkId) -> Vec<u8> {
        [&Self::prefix_of_chunk(chunk)[..], &self.owner.0, self.root.0.as_bytes()].concat()
    }

    /// What the keys of a chunk's claims start with.
    pub(super) fn prefix_of_chunk(chunk: ChunkId) -> [u8; 33] {
        chunk_key(CLAIM_OF_CHUNK_TAG, chunk)
    }

    /// What the keys of all claims of an owner start with.
    pub(super) fn prefix_of_owner(owner: NodeId) -> [u8; 33] {
        let mut prefix = [CLAIM_TAG; 33];
        prefix[1..].copy_from_slice(&owner.0);
        prefix
    }

    /// Reads the key of a claim.
    pub(super) fn from_key(key: &[u8]) -> Option<(Self, ChunkId)> {
        let (claim, chunk) = key.get(1..)?.split_at_checked(64)?;
        Some((Self::from_slice(claim)?, ChunkId::from_slice(chunk)?))
    }

    /// Key of the owner's newest lease.
    pub(super) fn word_key(&self) -> Vec<u8> {
        [&[WORD_TAG][..], &self.owner.0, self.root.0.as_bytes()].concat()
    }

    /// Reads owner and root.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (owner, root) = bytes.split_at_checked(32)?;
        Some(Self { owner: NodeId::from_slice(owner)?, root: Cid(ChunkId::from_slice(root)?) })
    }
}

impl Upload {
    /// What the keys of its provisional leases start with; the chunk id follows.
    pub(super) fn prefix(&self) -> Vec<u8> {
        [&[UPLOAD_TAG][..], &self.put_id.0, &self.owner.0].concat()
    }

    /// Key of the provisional lease of a chunk.
    pub(super) fn key(&self, chunk: ChunkId) -> Vec<u8> {
        [&self.prefix()[..], chunk.as_bytes()].concat()
    }

    /// Key of the same, to be found by the chunk.
    pub(super) fn key_of_chunk(&self, chunk: ChunkId) -> Vec<u8> {
        [&Self::prefix_of_chunk(chunk)[..], &self.put_id.0, &self.owner.0].concat()
    }

    /// What the keys of a chunk's provisional leases start with.
    pub(super) fn prefix_of_chunk(chunk: ChunkId) -> [u8; 33] {
        chunk_key(UPLOAD_OF_CHUNK_TAG, chunk)
    }

    /// Reads the key of a provisional lease.
    pub(super) fn from_key(key: &[u8]) -> Option<(Self, ChunkId)> {
        let (upload, chunk) = key.get(1..)?.split_at_checked(48)?;
        Some((Self::from_slice(upload)?, ChunkId::from_slice(chunk)?))
    }

    /// Reads put id and owner.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (put_id, owner) = bytes.split_first_chunk()?;
        Some(Self { put_id: PutId(*put_id), owner: NodeId::from_slice(owner)? })
    }
}

impl ChunkEntry {
    /// Bytes of the pieces held.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.piece_len) * self.pieces()
    }

    /// Pieces held.
    pub(super) fn pieces(&self) -> u64 {
        u64::from(self.indices.bits().count_ones())
    }

    /// The value.
    pub(super) fn encode(&self) -> [u8; 13] {
        let class = match self.class {
            Class::Low => 1,
            Class::Normal => 2,
            Class::High => 3,
        };
        let mut value = [class; 13];
        value[1..5].copy_from_slice(&self.piece_len.to_be_bytes());
        value[5..].copy_from_slice(&self.indices.bits().to_be_bytes());
        value
    }

    /// Reads a value; none when it is damaged.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (class, rest) = value.split_first()?;
        let class = match class {
            1 => Class::Low,
            2 => Class::Normal,
            3 => Class::High,
            _ => return None,
        };
        let (piece_len, indices) = rest.split_first_chunk()?;
        let piece_len = u32::from_be_bytes(*piece_len);
        let indices = IndexSet::from_bits(u64::from_be_bytes(indices.try_into().ok()?))?;
        let possible = usize::try_from(piece_len).is_ok_and(|len| (1..=PIECE_MAX_BYTES).contains(&len));
        possible.then_some(Self { class, piece_len, indices })
    }
}

impl Counters {
    /// Counts a piece that came.
    pub(super) fn add_piece(&mut self, piece_len: u32) {
        self.space.pieces += 1;
        self.space.used_bytes += u64::from(piece_len);
    }

    /// Counts a piece that went. Saturating, since the counters of a damaged store may be too low.
    pub(super) fn remove_piece(&mut self, piece_len: u32) {
        self.space.pieces = self.space.pieces.saturating_sub(1);
        self.space.used_bytes = self.space.used_bytes.saturating_sub(u64::from(piece_len));
    }

    /// Counts a piece whose bytes stay in a blob file without a key. Smaller ones lie in tables, which compactions clean.
    pub(super) fn add_garbage(&mut self, piece_len: u32) {
        if u64::from(piece_len) >= BLOB_MIN_BYTES {
            self.garbage_bytes += u64::from(piece_len);
        }
    }

    /// The value, without garbage and mark.
    pub(super) fn encode(&self) -> [u8; 32] {
        let Space { used_bytes, pieces, locators } = self.space;
        let mut value = [0; 32];
        for (field, number) in value.chunks_exact_mut(8).zip([used_bytes, pieces, locators, self.seq]) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        value
    }

    /// Reads a value, without garbage and mark; none when it is damaged.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let value: &[u8; 32] = value.try_into().ok()?;
        let mut numbers = value.chunks_exact(8).filter_map(|field| Some(u64::from_be_bytes(field.try_into().ok()?)));
        let space = Space { used_bytes: numbers.next()?, pieces: numbers.next()?, locators: numbers.next()? };
        Some(Self { space, seq: numbers.next()?, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: ChunkId = ChunkId(Hash([7; 32]));

    #[test]
    fn values_round_trip_and_have_the_bytes_of_the_table() {
        let entry = ChunkEntry { class: Class::High, piece_len: 0x0010_0000, indices: IndexSet::one(8) };
        assert_eq!(entry.encode(), [3, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(ChunkEntry::decode(&entry.encode()), Some(entry));
        let space = Space { used_bytes: 1, pieces: 2, locators: 3 };
        let counters = Counters { space, seq: 0x0102, ..Counters::default() };
        let value = counters.encode();
        assert_eq!((value[7], value[15], value[23], &value[30..]), (1, 2, 3, &[1, 2][..]));
        assert_eq!(Counters::decode(&value), Some(counters));
        let mark = StoreMark { id: 1, opens: 2, losses: 0x0304, ..StoreMark::default() };
        let value = encode_mark(mark);
        assert_eq!((value[7], value[15], &value[22..]), (1, 2, &[3, 4][..]));
        assert_eq!(decode_mark(&value), Some(mark));
        assert_eq!(decode_time(&encode_time(0x0506)), Some(0x0506));
    }

    #[test]
    fn damaged_values_are_nothing() {
        let entry = ChunkEntry { class: Class::Low, piece_len: 64, indices: IndexSet::below(48) }.encode();
        for len in (0..13).chain([14]) {
            let mut value = entry.to_vec();
            value.resize(len, 0);
            assert_eq!(ChunkEntry::decode(&value), None, "{len} bytes");
        }
        for (at, byte) in [(0, 0), (0, 4), (1, 1), (5, 1), (6, 1)] {
            let mut value = entry;
            value[at] = byte;
            assert_eq!(ChunkEntry::decode(&value), None, "byte {at} = {byte}");
        }
        for len in [0, 8, 31, 33] {
            assert_eq!(Counters::decode(&vec![0; len]), None, "{len} bytes");
        }
        for len in [0, 7, 9, 23, 25] {
            let value = vec![0; len];
            assert_eq!((decode_mark(&value), decode_time(&value)), (None, None), "{len} bytes");
        }
        for len in [0, 15, 16, 47, 49, 63, 65] {
            let value = vec![0; len];
            assert_eq!((Claim::from_slice(&value), Upload::from_slice(&value)), (None, None), "{len} bytes");
        }
    }

    /// Half of them with what a value needs to be read: a class, a length that is possible, no index that is none.
    #[test]
    fn arbitrary_values_are_what_they_encode_to_or_nothing() {
        let mut read = 0;
        for seed in 0..20_000_u32 {
            let mut value = [Hash::of(&seed.to_be_bytes()).0, Hash::of(&seed.to_le_bytes()).0].concat();
            let len = if seed % 2 == 0 { 13 } else { usize::from(value[63]) % 41 };
            if seed % 2 == 0 {
                value[0] %= 4;
                value[1..3].fill(0);
                value[5..7].fill(0);
            }
            let value = &value[..len];
            if let Some(entry) = ChunkEntry::decode(value) {
                assert_eq!(entry.encode(), value);
                read += entry.bytes().min(1);
            }
            assert!(Counters::decode(value).is_none_or(|counters| counters.encode() == value));
        }
        assert!(read > 5_000, "of 10,000, three quarters have a class: {read}");
    }

    #[test]
    fn keys_have_the_bytes_of_the_table() {
        assert_eq!(piece_key(CHUNK, 47), [&[7; 32][..], &[47]].concat()[..]);
        assert_eq!(chunk_key(ENTRY_TAG, CHUNK), [&b"c"[..], &[7; 32]].concat()[..]);
        assert_eq!(name_key(Name(NodeId([2; 32]))), [&b"k"[..], &[2; 32]].concat()[..]);
        let upload = Upload { put_id: PutId([1; 16]), owner: NodeId([2; 32]) };
        assert_eq!(upload.key(CHUNK), [&b"p"[..], &[1; 16], &[2; 32], &[7; 32]].concat());
        assert_eq!(upload.key_of_chunk(CHUNK), [&b"q"[..], &[7; 32], &[1; 16], &[2; 32]].concat());
        assert_eq!(Upload::from_slice(&upload.key_of_chunk(CHUNK)[33..]), Some(upload));
        let claim = Claim { owner: NodeId([2; 32]), root: Cid(ChunkId(Hash([3; 32]))) };
        assert_eq!(claim.key(CHUNK), [&b"o"[..], &[2; 32], &[3; 32], &[7; 32]].concat());
        assert_eq!(claim.key_of_chunk(CHUNK), [&b"r"[..], &[7; 32], &[2; 32], &[3; 32]].concat());
        assert_eq!(claim.word_key(), [&b"w"[..], &[2; 32], &[3; 32]].concat());
        assert_eq!(Claim::from_slice(&claim.key_of_chunk(CHUNK)[33..]), Some(claim));
    }
}
