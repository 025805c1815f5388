//! Ranges of files on virtual time: what travels for them, and what holders that are gone, silent, old or lying, and a
//! hostile uploader, do to them.

use std::{ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};
use dsn_client::{
    Certainty, Client, ClientOptions, GetError, GetReport, NoProgress, PutOptions, input::MemoryInput,
    output::MemoryOutput,
};
use dsn_core::{
    chunk::Layout,
    cid::Cid,
    descriptor::Code,
    erasure::{DecodeError, EncodedChunk, encode},
    hash::ChunkId,
    manifest::{ChunkList, Manifest},
    node_id::NodeId,
};
use dsn_sim::{Crook, Fault, Lie, Link, World, put_chunks, put_crooked, run};
use tokio::time::Instant;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What the issue allows for 64 KiB while all is well, and while the holder of the piece is gone.
const HEALTHY_MAX: u64 = 256 * KIB;
const DEGRADED_MAX: u64 = 2 * MIB;

fn content(len: u64) -> Bytes {
    let mut bytes = vec![0; usize::try_from(len).expect("fits memory")];
    blake3::Hasher::new().update(b"ranges").finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn within(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |at: u64| usize::try_from(at).expect("fits memory");
    bytes.slice(at(range.start)..at(range.end))
}

async fn put(world: &World, bytes: &Bytes) -> Cid {
    let client = world.client(ClientOptions::default());
    let mut input = MemoryInput::new(bytes.clone());
    client.put(&mut input, PutOptions::default(), &NoProgress).await.expect("nothing fails here").cid
}

async fn read(client: &Client, cid: Cid, range: &Range<u64>) -> Result<(GetReport, Vec<u8>), GetError> {
    let mut output = MemoryOutput::default();
    let length = Some(range.end - range.start);
    let report = client.get_range(cid, range.start, length, &mut output, &NoProgress).await?;
    assert!(output.finished && report.bytes == range.end - range.start);
    Ok((report, output.bytes))
}

/// Reads what must be readable, and the same as was put.
async fn read_same(world: &World, cid: Cid, bytes: &Bytes, range: &Range<u64>) -> GetReport {
    let (report, read) = read(&world.client(ClientOptions::default()), cid, range).await.expect("readable");
    assert!(read == within(bytes, range), "{range:?} is something else");
    report
}

fn chunk_of(bytes: &Bytes, index: u64) -> ChunkId {
    let layout = Layout::even(bytes.len() as u64);
    let chunk = within(bytes, &(layout.offset(index)..layout.offset(index + 1)));
    encode(Code::Rs16Of48, BytesMut::from(&chunk[..])).descriptor.id()
}

fn holders(world: &World, chunk: ChunkId, index: u8) -> Vec<NodeId> {
    let holds = |node: &NodeId| world.on_disk(*node).iter().any(|(id, set)| *id == chunk && set.contains(index));
    world.farmers().into_iter().filter(holds).collect()
}

fn world(seed: u64, farmers: usize) -> World {
    World::new(seed, farmers, 1 << 32, Link::default())
}

#[test]
fn only_the_groups_needed_travel() {
    run(async {
        let (world, bytes) = (world(1, 12), content(40 * MIB + 12_345));
        let cid = put(&world, &bytes).await;
        let len = bytes.len() as u64;
        for (start, len, most) in [
            (0, 64 * KIB, HEALTHY_MAX),
            (5 * MIB + 77, 64 * KIB, HEALTHY_MAX),
            (MIB - 1000, 64 * KIB, HEALTHY_MAX),
            (16 * MIB - 30 * KIB, 64 * KIB, HEALTHY_MAX),
            (len - 64 * KIB, 64 * KIB, HEALTHY_MAX),
            (32 * MIB - 1, 2, HEALTHY_MAX),
            (len - 1, 1, HEALTHY_MAX),
            (len, 0, HEALTHY_MAX),
            (100, 20 * MIB, 21 * MIB),
            (15 * MIB, 17 * MIB, 18 * MIB),
            (0, len, len + MIB),
        ] {
            let report = read_same(&world, cid, &bytes, &(start..start + len)).await;
            assert!(report.wire_bytes <= most, "{start} {len}: {} bytes", report.wire_bytes);
            assert_eq!((report.decoded_chunks, report.pieces_bad), (0, 0));
        }
    });
}

#[test]
fn a_file_within_its_manifest_has_ranges_too() {
    run(async {
        let (world, bytes) = (world(2, 5), content(64 * KIB));
        let cid = put(&world, &bytes).await;
        for range in [0..64 * KIB, 1..2, 64 * KIB - 1..64 * KIB, 100..100] {
            assert!(read_same(&world, cid, &bytes, &range).await.wire_bytes <= HEALTHY_MAX);
        }
    });
}

#[test]
fn a_range_beyond_the_end_is_an_error_that_names_the_length_and_writes_nothing() {
    run(async {
        let world = world(3, 5);
        for len in [1000, 3 * MIB] {
            let cid = put(&world, &content(len)).await;
            for (offset, length) in [(len + 1, None), (0, Some(len + 1)), (len, Some(1)), (u64::MAX, Some(u64::MAX))] {
                let mut output = MemoryOutput { bytes: b"untouched".to_vec(), finished: false };
                let client = world.client(ClientOptions::default());
                let error = client.get_range(cid, offset, length, &mut output, &NoProgress).await.expect_err("beyond");
                assert!(matches!(error, GetError::BeyondEnd { total } if total == len), "{error}");
                assert_eq!(output.bytes, b"untouched");
            }
        }
    });
}

#[test]
fn when_the_holder_of_a_piece_is_gone_the_range_is_computed_from_others() {
    for silent in [false, true] {
        run(async {
            let (mut world, bytes) = (world(4, 20), content(33 * MIB));
            let cid = put(&world, &bytes).await;
            // In two pieces of the second chunk, of which the first is lost.
            let range = 16 * MIB + 4 * MIB - 40 * KIB..16 * MIB + 4 * MIB + 24 * KIB;
            for node in holders(&world, chunk_of(&bytes, 1), 3) {
                if silent { world.hang(node) } else { world.crash(node) }
            }
            let began = Instant::now();
            let report = read_same(&world, cid, &bytes, &range).await;
            assert!(report.wire_bytes <= DEGRADED_MAX, "{} bytes", report.wire_bytes);
            assert_eq!(report.decoded_chunks, 1);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        });
    }
}

#[test]
fn the_worst_place_of_a_piece_that_is_lost_stays_within_the_bound() {
    run(async {
        let (mut world, bytes) = (world(5, 20), content(16 * MIB));
        let cid = put(&world, &bytes).await;
        let chunk = chunk_of(&bytes, 0);
        // Both pieces are lost, and the range is at other places in each.
        for index in [7, 8] {
            holders(&world, chunk, index).into_iter().for_each(|node| world.crash(node));
        }
        let report = read_same(&world, cid, &bytes, &(8 * MIB - 17 * KIB..8 * MIB + 47 * KIB)).await;
        assert!(report.wire_bytes <= DEGRADED_MAX, "{} bytes", report.wire_bytes);
        assert!(report.wire_bytes > MIB, "{} bytes: it was not computed", report.wire_bytes);
    });
}

#[test]
fn wrong_slices_are_found_and_the_range_is_read_all_the_same() {
    run(async {
        let (mut world, bytes) = (world(6, 20), content(8 * MIB));
        let cid = put(&world, &bytes).await;
        // A third of the farmers lie, and all who hold the first piece.
        let liars: Vec<NodeId> =
            holders(&world, chunk_of(&bytes, 0), 0).into_iter().chain(world.farmers().into_iter().step_by(4)).collect();
        liars.iter().for_each(|node| world.lie(*node, Some(Lie::WrongBytes)));
        let report = read_same(&world, cid, &bytes, &(1000..66_536)).await;
        assert!(report.pieces_bad > 0 && world.faults().of(Fault::Lied(Lie::WrongBytes)) > 0);
        assert_eq!(report.decoded_chunks, 1);
    });
}

#[test]
fn holders_that_know_no_slices_give_whole_pieces() {
    for every in [1, 2] {
        run(async {
            let (mut world, bytes) = (world(7, 12), content(17 * MIB));
            let cid = put(&world, &bytes).await;
            world.farmers().into_iter().step_by(every).for_each(|node| world.lie(node, Some(Lie::NoSlices)));
            for range in [0..64 * KIB, 5 * MIB..7 * MIB, 16 * MIB - 1..16 * MIB + 1] {
                read_same(&world, cid, &bytes, &range).await;
            }
            assert!(world.faults().of(Fault::Lied(Lie::NoSlices)) > 0);
        });
    }
}

#[test]
fn with_sixteen_pieces_left_there_is_no_witness_and_the_whole_chunk_is_compared() {
    run(async {
        let (mut world, bytes) = (world(8, 48), content(2 * MIB));
        let cid = put(&world, &bytes).await;
        let chunk = chunk_of(&bytes, 0);
        let left = |world: &World| {
            let held = (0..48).filter(|index| holders(world, chunk, *index).iter().any(|node| world.is_up(*node)));
            held.collect::<Vec<u8>>()
        };
        for index in 0.. {
            if left(&world).len() == 16 {
                break;
            }
            holders(&world, chunk, index).into_iter().for_each(|node| world.crash(node));
        }
        assert!(!left(&world).contains(&0));
        let report = read_same(&world, cid, &bytes, &(0..64 * KIB)).await;
        assert!(report.wire_bytes >= 2 * MIB, "{} bytes", report.wire_bytes);
    });
}

/// A crooked file of which piece 3 is lost, read in that piece.
async fn read_crooked(crook: Crook, certainty: Certainty) -> (Bytes, Result<Vec<u8>, GetError>, GetError) {
    let (mut world, bytes) = (world(9, 20), content(3 * MIB));
    let cid = put_crooked(&world, &bytes, crook).await.expect("farmers take it");
    let piece = u64::try_from(Code::Rs16Of48.piece_len(bytes.len())).expect("small");
    let range = 3 * piece + 100..3 * piece + 100 + 64 * KIB;
    read_same(&world, cid, &bytes, &range).await;
    let locators = world.locators_of(world.farmers()[0]);
    let chunk = locators.iter().map(|locator| locator.chunk()).find(|chunk| *chunk != cid.0).expect("all keep it");
    for node in holders(&world, chunk, 3) {
        world.crash(node);
    }
    let client = world.client(ClientOptions { certainty, ..ClientOptions::default() });
    let seen = read(&client, cid, &range).await.map(|(_, read)| read);
    let mut output = MemoryOutput::default();
    let whole = client.get(cid, &mut output, &NoProgress).await.expect_err("its parity is no code word");
    (within(&bytes, &range), seen, whole)
}

#[test]
fn parity_that_is_no_code_word_is_an_error_and_never_other_bytes() {
    run(async {
        for certainty in [Certainty::Agreed, Certainty::Hashed] {
            let (_, seen, whole) = read_crooked(Crook::All, certainty).await;
            for error in [seen.expect_err("no bytes"), whole] {
                assert!(matches!(error, GetError::Decode(DecodeError::Inconsistent { .. })), "{error}");
            }
        }
    });
}

/// What `Certainty` says: only the hash of the whole piece shows parity that was aimed at it.
#[test]
fn parity_aimed_at_the_lost_piece_is_an_error_when_its_hash_is_asked_for() {
    run(async {
        let (_, seen, whole) = read_crooked(Crook::Piece(3), Certainty::Hashed).await;
        for error in [seen.expect_err("no bytes"), whole] {
            assert!(matches!(error, GetError::Decode(DecodeError::Inconsistent { .. })), "{error}");
        }
        let (bytes, seen, _) = read_crooked(Crook::Piece(3), Certainty::Agreed).await;
        let uploaders_other: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        assert!(seen.expect("all others agree") == uploaders_other, "the limit told at Certainty::Agreed");
    });
}

#[test]
fn of_a_list_of_lists_only_the_ids_needed_are_read() {
    run(async {
        const CHUNKS: u64 = 3000;
        let world = world(10, 12);
        let usual = encode(Code::Rs16Of48, BytesMut::from(&content(16 * MIB)[..]));
        let last = encode(Code::Rs16Of48, BytesMut::from(&vec![9; 100_000][..]));
        let id = |chunk: &EncodedChunk| chunk.descriptor.id();
        let ids: Vec<ChunkId> = (1..CHUNKS).map(|_| id(&usual)).chain([id(&last)]).collect();
        let raw: BytesMut = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        let level_0 = encode(Code::Rs16Of48, raw);
        let total = (CHUNKS - 1) * 16 * MIB + 100_000;
        let list = ChunkList::new(1, total, Bytes::copy_from_slice(id(&level_0).as_bytes()));
        let cid = put_chunks(&world, vec![usual, last, level_0], Manifest::List(list)).await.expect("farmers take it");
        let client = world.client(ClientOptions::default());
        let bytes = content(16 * MIB);
        let border = 1234 * 16 * MIB;
        let (report, read_here) = read(&client, cid, &(border - 1000..border + 1000)).await.expect("readable");
        let both = [within(&bytes, &(16 * MIB - 1000..16 * MIB)), within(&bytes, &(0..1000))].concat();
        assert!(read_here == both && report.wire_bytes <= HEALTHY_MAX, "{} bytes", report.wire_bytes);
        let (_, end) = read(&client, cid, &(total - 100_001..total)).await.expect("readable");
        assert!(end[1..] == [9; 100_000] && end[0] == bytes[bytes.len() - 1]);
    });
}

#[test]
fn a_range_that_nobody_answers_ends_and_may_be_dropped_before() {
    run(async {
        let (mut world, bytes) = (world(11, 5), content(3 * MIB));
        let cid = put(&world, &bytes).await;
        let client = world.client(ClientOptions::default());
        // Dropped at many places of its way.
        for millis in 0..80 {
            let _cut = tokio::time::timeout(Duration::from_millis(millis), read(&client, cid, &(0..64 * KIB))).await;
        }
        let (report, read_now) = read(&client, cid, &(0..64 * KIB)).await.expect("readable");
        assert!(read_now == within(&bytes, &(0..64 * KIB)) && report.bytes == 64 * KIB);
        world.farmers().into_iter().for_each(|node| world.hang(node));
        let began = Instant::now();
        read(&client, cid, &(0..64 * KIB)).await.expect_err("nobody answers");
        assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
    });
}
