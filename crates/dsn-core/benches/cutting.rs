//! Which chunk sizes suit `put --chunking cdc`: of a made-up file of 256 MiB, how much is sent anew after a few bytes were
//! put in, against how many chunks there are to look after. Prints a table; what follows from it is in `limits.rs`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{collections::BTreeSet, hint::black_box, time::Instant};

use dsn_core::limits::CHUNK_MAX_BYTES;
use fastcdc::v2020::FastCDC;

const MIB: usize = 1 << 20;
const FILE_BYTES: usize = 256 * MIB;

/// Bytes that a chunk costs beside its pieces: its descriptor at 40 holders, its locator at 20 custodians.
const CHUNK_COST_BYTES: usize = 40 * 1_600 + 20 * 10 * 1024;

/// Minimum, average and maximum in KiB.
const SIZES: [(usize, usize, usize); 7] = [
    (256, 1024, 4096),
    (512, 2048, 8192),
    (1024, 2048, 8192),
    (512, 4096, 16_368),
    (1024, 4096, 8192),
    (1024, 4096, 12_288),
    (1024, 4096, 16_368),
];

fn chunks(bytes: &[u8], (min, average, max): (usize, usize, usize)) -> Vec<&[u8]> {
    let mut at = 0;
    let cutter = FastCDC::new(bytes, min << 10, average << 10, max << 10);
    std::iter::from_fn(|| {
        let (_, end) = cutter.cut(at, bytes.len() - at);
        let chunk = (end > at).then(|| &bytes[at..end]);
        at = end;
        chunk
    })
    .collect()
}

/// Bytes in chunks that are not among the old ones.
fn new_bytes(old: &[&[u8]], new: &[&[u8]]) -> usize {
    let known: BTreeSet<_> = old.iter().map(|chunk| *blake3::hash(chunk).as_bytes()).collect();
    new.iter().filter(|chunk| !known.contains(blake3::hash(chunk).as_bytes())).map(|chunk| chunk.len()).sum()
}

#[expect(clippy::cast_precision_loss, clippy::disallowed_methods, reason = "a bench measures and shows")]
fn row(name: &str, file: &[u8], cut: impl Fn(&[u8]) -> Vec<&[u8]>) {
    let started = Instant::now();
    let whole = black_box(cut(file));
    let rate = file.len() as f64 / 1e9 / started.elapsed().as_secs_f64();
    let anew = |at: usize, bytes: usize| {
        let changed = [&file[..at], &vec![7; bytes], &file[at..]].concat();
        new_bytes(&whole, &cut(&changed)) as f64 / MIB as f64
    };
    let mean = file.len() as f64 / whole.len() as f64 / MIB as f64;
    let worst = (0..8).map(|nth| anew(nth * FILE_BYTES / 8 + 12_345, 1)).fold(0.0, f64::max);
    let (front, middle) = (anew(0, 1), anew(FILE_BYTES / 2, 1000));
    let overhead = CHUNK_COST_BYTES as f64 / (mean * 2.5 * MIB as f64) * 100.0;
    let count = whole.len();
    println!("| {name} | {count} | {mean:.2} | {front:.1} | {middle:.1} | {worst:.1} | {overhead:.1} % | {rate:.1} |");
}

fn main() {
    let mut file = vec![0; FILE_BYTES];
    blake3::Hasher::new().update(b"dsn cutting").finalize_xof().fill(&mut file);
    println!("| min, average, max KiB | chunks | mean MiB | anew, front | middle | worst of 8 | cost | GB/s |");
    println!("|---|---|---|---|---|---|---|---|");
    for sizes @ (min, average, max) in SIZES {
        row(&format!("{min}, {average}, {max}"), &file, |bytes| chunks(bytes, sizes));
    }
    row("16384, always", &file, |bytes| bytes.chunks(CHUNK_MAX_BYTES).collect());
}
