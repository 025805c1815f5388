//! Files cut by their content, on virtual time: what is sent again after a change, and that every way to read, repair and
//! keep them works as with chunks of one size.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dsn_client::{
    Chunking, Client, ClientOptions, FolderWalk, GetError, Keep, Named, NoProgress, Privacy, PutOptions, PutReport,
    input::{Input, InputError, MemoryInput},
    output::{MemoryOutput, Output, OutputError},
    tree::{MemoryEntry, MemoryTree, MemoryTreeOutput},
};
use dsn_core::{
    cid::Cid,
    cutter::Cutter,
    descriptor::Code,
    erasure::encode,
    folder::{Place, What},
    identity::Identity,
    limits::{CDC_MAX_BYTES, ROWS_MAX},
    manifest::Manifest,
    repair::Health,
    seal::Secret,
    uneven::{UnevenList, row},
};
use dsn_sim::{Link, World, put_chunks, run};

use crate::{
    folders::{made, path},
    sealed::healthy_and_kept,
};

const MIB: usize = 1 << 20;

fn cdc() -> PutOptions {
    PutOptions { chunking: Chunking::ByContent, ..PutOptions::default() }
}

fn sealed() -> PutOptions {
    PutOptions { privacy: Privacy::Sealed(Secret::new([5; 32])), ..cdc() }
}

fn world(farmers: usize) -> World {
    World::new(12, farmers, 1 << 32, Link::default())
}

async fn put(client: &Client, bytes: &Bytes, options: PutOptions) -> PutReport {
    client.put(&mut MemoryInput::new(bytes.clone()), options, &NoProgress).await.expect("all is well")
}

async fn get(client: &Client, report: &PutReport, output: &mut MemoryOutput) -> u64 {
    let named = client.named(report.cid, report.key.as_ref(), None).await;
    let Ok(Named::File(file)) = named else { panic!("a file") };
    client.get_file(report.cid, file, output, &NoProgress).await.expect("readable").resumed_bytes
}

async fn part(client: &Client, report: &PutReport, offset: usize, length: usize) -> (Vec<u8>, u64) {
    let named = client.named(report.cid, report.key.as_ref(), None).await;
    let Ok(Named::File(file)) = named else { panic!("a file") };
    let mut output = MemoryOutput::default();
    let range = (offset as u64, Some(length as u64));
    let got = client.get_part(report.cid, file, range, &mut output, &NoProgress).await.expect("a part");
    (output.bytes, got.wire_bytes)
}

/// Where the chunks of a public file end.
fn cuts(bytes: &Bytes) -> Vec<usize> {
    let mut ends = vec![0];
    while let Some(start) = ends.last().copied().filter(|start| *start < bytes.len()) {
        let window = &bytes[start..bytes.len().min(start + CDC_MAX_BYTES)];
        ends.push(start + Cutter::public().first_len(window));
    }
    ends.split_off(1)
}

fn inserted(bytes: &Bytes, at: usize, what: &[u8]) -> Bytes {
    [&bytes[..at], what, &bytes[at..]].concat().into()
}

#[test]
fn after_a_change_only_the_chunks_around_it_are_sent() {
    run(async {
        let bytes = made(1, 64 * MIB);
        for (name, options) in [("public", cdc()), ("sealed", sealed())] {
            let world = world(5);
            let client = world.client(ClientOptions::default());
            let first = put(&client, &bytes, options.clone()).await;
            for changed in [inserted(&bytes, 0, &[7]), inserted(&bytes, 40 * MIB + 3, b"what is new"), bytes.slice(1..)]
            {
                let again = put(&client, &changed, options.clone()).await;
                let (sent, kept) = (again.chunks - again.resumed_chunks, again.resumed_bytes);
                assert!(sent <= 4, "{name}: {sent} of {} chunks were sent anew", again.chunks);
                assert!(kept > 40 * MIB as u64, "{name}: only {kept} bytes were there already");
                assert_ne!(again.cid, first.cid);
                let mut output = MemoryOutput::default();
                get(&client, &again, &mut output).await;
                assert!(output.finished && output.bytes == changed, "{name}");
            }
            let same = put(&client, &bytes, options).await;
            assert_eq!((same.cid, same.wire_bytes), (first.cid, 0), "{name}");
        }
        let world = world(5);
        let client = world.client(ClientOptions::default());
        put(&client, &bytes, PutOptions::default()).await;
        let fixed = put(&client, &inserted(&bytes, 0, &[7]), PutOptions::default()).await;
        assert_eq!(fixed.resumed_bytes, 0, "chunks of one size share nothing");
    });
}

#[test]
fn a_file_of_any_length_comes_back_and_a_short_one_is_the_usual_cid() {
    run(async {
        let world = world(5);
        let client = world.client(ClientOptions::default());
        for len in [0, 65_536, 65_537, MIB, 20 * MIB + 1] {
            let bytes = made(2, len);
            let fixed = put(&client, &bytes, PutOptions::default()).await;
            for options in [cdc(), sealed()] {
                let report = put(&client, &bytes, options).await;
                let mut output = MemoryOutput::default();
                get(&client, &report, &mut output).await;
                assert!(output.finished && output.bytes == bytes, "{len}");
                if report.key.is_none() {
                    assert_eq!(report.cid == fixed.cid, len <= 65_536, "{len}");
                }
            }
        }
        let zeros = Bytes::from(vec![0; 40 * MIB]);
        let report = put(&client, &zeros, cdc()).await;
        let mut output = MemoryOutput::default();
        get(&client, &report, &mut output).await;
        assert!(output.bytes == zeros, "nothing in it says where to cut");
    });
}

#[test]
fn ranges_across_borders_of_chunks_are_what_they_were_and_little_more_travels() {
    run(async {
        let world = world(12);
        let client = world.client(ClientOptions::default());
        let bytes = made(3, 30 * MIB);
        let ends = cuts(&bytes);
        assert!(ends.len() > 3 && ends.iter().all(|end| *end == bytes.len() || end % MIB != 0), "{ends:?}");
        for report in [put(&client, &bytes, cdc()).await, put(&client, &bytes, sealed()).await] {
            let around = ends.iter().map(|end| (end - 1000, 2000.min(bytes.len() - end + 1000)));
            let others = [(0, 1), (ends[0], ends[1] - ends[0]), (ends[0] - 1, ends[1] - ends[0] + 2), (bytes.len(), 0)];
            for (offset, length) in around.chain(others).chain([(7, bytes.len() - 9)]) {
                let (got, wire_bytes) = part(&client, &report, offset, length).await;
                assert!(got == bytes[offset..offset + length], "{offset}+{length}");
                assert!(length > 2000 || wire_bytes <= 300_000, "{wire_bytes} bytes for {offset}+{length}");
            }
        }
    });
}

#[test]
fn a_get_goes_on_from_the_chunks_that_are_there() {
    run(async {
        let world = world(5);
        let client = world.client(ClientOptions::default());
        let bytes = made(4, 30 * MIB);
        let second = cuts(&bytes)[1];
        let report = put(&client, &bytes, cdc()).await;
        let sealed = put(&client, &bytes, sealed()).await;
        for (report, kept) in [(&report, Some(second as u64)), (&sealed, None)] {
            let there = bytes[..second + 1000].to_vec();
            let mut output = MemoryOutput { bytes: there, finished: false };
            let resumed = get(&client, report, &mut output).await;
            assert!(output.finished && output.bytes == bytes);
            assert!(kept.is_none_or(|kept| kept == resumed) && resumed > 0, "{resumed} of {second}");
        }
        let mut spoiled = bytes[..second + 1000].to_vec();
        spoiled[second - 1] ^= 1;
        let mut output = MemoryOutput { bytes: spoiled, finished: false };
        assert_eq!(get(&client, &report, &mut output).await, cuts(&bytes)[0] as u64);
        assert!(output.bytes == bytes);
    });
}

#[test]
fn the_cid_alone_suffices_to_ask_repair_keep_and_give_up() {
    run(async {
        let mut world = world(12);
        let client = world.client(ClientOptions::default());
        let bytes = made(5, 12 * MIB);
        let reports = [put(&client, &bytes, cdc()).await, put(&client, &bytes, sealed()).await];
        for report in &reports {
            healthy_and_kept(&client, report).await;
        }
        let gone: Vec<_> = world.farmers().into_iter().take(3).collect();
        gone.iter().for_each(|farmer| world.leave(*farmer));
        let client = world.client(ClientOptions::default());
        for report in &reports {
            let done = client.repair_file(report.cid, &Identity::from_seed([9; 32])).await.expect("readable");
            assert!(done.lost == 0 && done.repaired as u64 >= report.chunks - 1, "{done:?}");
            let mut output = MemoryOutput::default();
            get(&client, report, &mut output).await;
            assert!(output.bytes == bytes);
            let rid = client.keep_file(report.cid, Keep::NoLonger).await.expect("readable");
            assert_eq!((rid.unlocated, rid.chunks as u64), (0, report.chunks));
        }
    });
}

#[test]
fn a_large_file_in_a_folder_is_the_file_put_alone() {
    run(async {
        let world = world(5);
        let client = world.client(ClientOptions::default());
        let large = made(6, 20 * MIB);
        let mut entries = crate::folders::tree(6, 50);
        entries.insert(path("large"), MemoryEntry::File(large.clone()));
        for options in [cdc(), sealed()] {
            let alone = put(&client, &large, options.clone()).await;
            let mut tree = MemoryTree::new(entries.clone().into_iter().collect());
            let report = client.put_folder(&mut tree, options, &NoProgress).await.expect("all is well");
            assert!(report.resumed_bytes >= large.len() as u64, "{}", report.resumed_bytes);
            let key = report.key.as_ref();
            let Ok(Named::Folder(folder)) = client.named(report.cid, key, None).await else { panic!("a folder") };
            let mut output = MemoryTreeOutput::default();
            client.get_folder(report.cid, &folder, &mut output, &NoProgress).await.expect("all of it");
            assert!(output.written().into_iter().collect::<crate::folders::Entries>() == entries);
            let stat = client.stat(report.cid).await.expect("readable");
            assert_eq!((stat.health, stat.bytes), (Health::Healthy, report.bytes));
            let mut walk = FolderWalk::new(&folder);
            let mut roots = Vec::new();
            while let Some(entry) = client.next_entry(&mut walk).await.expect("readable") {
                if let What::File { place: Place::Alone { cid, .. }, .. } = entry.what {
                    roots.push(cid);
                }
            }
            assert!(roots.contains(&alone.cid), "{roots:?}");
        }
    });
}

/// The same bytes again and again.
struct Repeated {
    bytes: Bytes,
    left: usize,
    at: usize,
}

#[async_trait]
impl Input for Repeated {
    fn size(&self) -> Option<u64> {
        None
    }

    async fn read_chunk(&mut self, max: usize) -> Result<BytesMut, InputError> {
        let len = max.min(self.left);
        let mut chunk = BytesMut::with_capacity(len);
        while chunk.len() < len {
            let rest = &self.bytes[self.at..];
            let step = rest.len().min(len - chunk.len());
            chunk.extend_from_slice(&rest[..step]);
            self.at = (self.at + step) % self.bytes.len();
        }
        self.left -= len;
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<(), InputError> {
        Ok(())
    }

    fn rewind(&mut self) -> Result<bool, InputError> {
        Ok(false)
    }
}

/// A beginning of made-up bytes that is cut soon: put again and again it is a file of equal chunks. Where a chunk ends
/// depends on the byte behind it too, and not on its first, so that one is made the same.
fn short_chunk() -> Bytes {
    let of = |seed| {
        let mut bytes = made(seed, CDC_MAX_BYTES).to_vec();
        let len = Cutter::public().first_len(&bytes);
        bytes[0] = bytes[len];
        Bytes::from(bytes).slice(..len)
    };
    (0..8).map(of).min_by_key(Bytes::len).expect("some")
}

/// Swallows what it is given.
#[derive(Default)]
struct Counted {
    hash: blake3::Hasher,
    bytes: u64,
}

#[async_trait]
impl Output for Counted {
    async fn begin(&mut self, _total: u64) -> Result<(), OutputError> {
        Ok(())
    }

    async fn existing(&mut self, _: u64, _: usize) -> Result<Option<Bytes>, OutputError> {
        Ok(None)
    }

    async fn resume_at(&mut self, _offset: u64) -> Result<(), OutputError> {
        Ok(())
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> Result<(), OutputError> {
        for part in parts {
            self.hash.update(&part);
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

#[test]
fn a_file_of_many_chunks_has_its_rows_in_chunks_of_their_own() {
    run(async {
        let world = world(5);
        let client = world.client(ClientOptions::default());
        let chunk = short_chunk();
        let count = usize::try_from(ROWS_MAX).expect("few") + 3;
        let mut input = Repeated { bytes: chunk.clone(), left: count * chunk.len(), at: 0 };
        let report = client.put(&mut input, cdc(), &NoProgress).await.expect("all is well");
        assert_eq!((report.bytes, report.chunks), ((count * chunk.len()) as u64, count as u64 + 2), "rows, root");
        for (offset, length) in [(0, 10), (1000 * chunk.len() - 5, 10), (count * chunk.len() - 3, 3)] {
            let (got, wire_bytes) = part(&client, &report, offset, length).await;
            let expected: Vec<u8> = (offset..offset + length).map(|at| chunk[at % chunk.len()]).collect();
            assert!(got == expected && wire_bytes < 400_000, "{offset}: {wire_bytes} bytes");
        }
        let stat = client.stat(report.cid).await.expect("readable");
        assert_eq!((stat.health, stat.chunks), (Health::Healthy, report.chunks));
        let mut output = Counted::default();
        client.get(report.cid, &mut output, &NoProgress).await.expect("readable");
        let mut whole = blake3::Hasher::new();
        for _ in 0..count {
            whole.update(&chunk);
        }
        assert!(output.bytes == report.bytes && output.hash.finalize() == whole.finalize());
    });
}

#[test]
fn rows_that_are_not_what_the_manifest_says_are_an_error() {
    run(async {
        let world = world(5);
        let client = world.client(ClientOptions::default());
        let data = encode(Code::Rs16Of48, BytesMut::from(&made(8, MIB)[..]));
        let count = usize::try_from(ROWS_MAX).expect("few") + 1;
        let id = *data.descriptor.id().as_bytes();
        let mut rows: Vec<u8> = row(&id, MIB as u64).repeat(count);
        rows[32] = 1; // the first chunk is a byte longer than it is
        let listing = encode(Code::Rs16Of48, BytesMut::from(&rows[..]));
        let total = (count * MIB) as u64;
        let above = Bytes::copy_from_slice(&row(listing.descriptor.id().as_bytes(), total));
        let manifest = Manifest::Uneven(UnevenList::new(total, count as u64, above));
        let cid: Cid = put_chunks(&world, vec![data, listing], manifest).await.expect("farmers take it");
        let read = client.get(cid, &mut MemoryOutput::default(), &NoProgress).await;
        assert!(matches!(read, Err(GetError::Manifest(_))), "{read:?}");
        let read = client.get_range(cid, 5, Some(5), &mut MemoryOutput::default(), &NoProgress).await;
        assert!(matches!(read, Err(GetError::Manifest(_))), "{read:?}");
    });
}

#[test]
fn a_chunk_of_another_length_than_its_row_says_is_an_error() {
    run(async {
        let world = world(5);
        let client = world.client(ClientOptions::default());
        let data = encode(Code::Rs16Of48, BytesMut::from(&made(9, MIB)[..]));
        let rows = row(data.descriptor.id().as_bytes(), MIB as u64 + 1);
        let manifest = Manifest::Uneven(UnevenList::new(MIB as u64 + 1, 1, Bytes::copy_from_slice(&rows)));
        let cid = put_chunks(&world, vec![data], manifest).await.expect("farmers take it");
        let read = client.get(cid, &mut MemoryOutput::default(), &NoProgress).await;
        assert!(matches!(read, Err(GetError::WrongChunk { .. })), "{read:?}");
    });
}
