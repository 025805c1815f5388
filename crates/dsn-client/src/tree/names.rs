//! The names of one folder in the order of their bytes, however many there are: those that are too many for memory lie in
//! runs, each sorted, in a temporary file, and are merged as they are asked for. The file has no name, so nothing is left of
//! it whatever ends the process.
//!
//! | bytes of the file | |
//! |---|---|
//! | names of the first run | each followed by a 0, which no name has in it |
//! | names of the next run | likewise, to the end |

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

/// Names of a run: some 2 MiB of memory while they are sorted, and a folder of a million files has 62 of them.
pub(super) const RUN_NAMES: usize = 16_384;

/// What the readers of all runs hold together, unless there are so many that each has its least.
const READERS_BYTES: usize = 2 << 20;

/// Of one reader: a page at least, and no more than makes reading any faster.
const READER_MIN_BYTES: usize = 4 << 10;
const READER_MAX_BYTES: usize = 64 << 10;

const END: u8 = 0;

/// Takes names in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    run_names: usize,
    run: Vec<Vec<u8>>,
    spilled: Option<Spilled>,
}

/// Runs in a file.
#[derive(Debug)]
struct Spilled {
    file: BufWriter<File>,
    /// Where each ends.
    ends: Vec<u64>,
}

/// Gives them in order.
#[derive(Debug)]
pub(super) struct Sorted {
    /// Of a folder whose names are all in memory, the next one last.
    left: Vec<Vec<u8>>,
    runs: Vec<BufReader<Run>>,
    /// The next name of each run.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

/// What is left of a run.
#[derive(Debug)]
struct Run {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Run {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let max = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..max], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Sorter {
    /// Holds at most so many names in memory.
    pub(super) fn new(run_names: usize) -> Self {
        Self { run_names, run: Vec::new(), spilled: None }
    }

    /// Adds one.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub(super) fn push(&mut self, name: Vec<u8>) -> io::Result<()> {
        if self.run.len() >= self.run_names {
            self.spill()?;
        }
        self.run.push(name);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled { file: BufWriter::new(tempfile::tempfile()?), ends: Vec::new() }),
        };
        self.run.sort_unstable();
        let mut end = spilled.ends.last().copied().unwrap_or(0);
        for name in self.run.drain(..) {
            spilled.file.write_all(&name)?;
            spilled.file.write_all(&[END])?;
            end += name.len() as u64 + 1;
        }
        spilled.ends.push(end);
        Ok(())
    }

    /// All of them, in order.
    ///
    /// # Errors
    /// When the temporary file cannot be written or read.
    pub(super) fn sort(mut self) -> io::Result<Sorted> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        let Some(Spilled { file, ends }) = self.spilled else {
            self.run.sort_unstable_by(|a, b| b.cmp(a));
            return Ok(Sorted { left: self.run, runs: Vec::new(), heads: BinaryHeap::new() });
        };
        let file = Arc::new(file.into_inner().map_err(io::IntoInnerError::into_error)?);
        let reader_bytes = (READERS_BYTES / ends.len()).clamp(READER_MIN_BYTES, READER_MAX_BYTES);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let run = |(at, end)| BufReader::with_capacity(reader_bytes, Run { file: Arc::clone(&file), at, end });
        let runs = starts.zip(ends.iter().copied()).map(run).collect();
        let mut sorted = Sorted { left: Vec::new(), runs, heads: BinaryHeap::new() };
        (0..ends.len()).try_for_each(|run| sorted.advance(run))?;
        Ok(sorted)
    }
}

impl Sorted {
    /// The next one; none at the end.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(name) = self.left.pop() {
            return Ok(Some(name));
        }
        let Some(Reverse((name, run))) = self.heads.pop() else { return Ok(None) };
        self.advance(run)?;
        Ok(Some(name))
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        let mut name = Vec::new();
        self.runs[run].read_until(END, &mut name)?;
        if name.pop().is_some() {
            self.heads.push(Reverse((name, run)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn sorted(run_names: usize, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut sorter = Sorter::new(run_names);
        names.iter().for_each(|name| sorter.push(name.clone()).expect("a temporary file"));
        let (mut sorted, mut all) = (sorter.sort().expect("a temporary file"), Vec::new());
        while let Some(name) = sorted.next().expect("readable") {
            all.push(name);
        }
        all
    }

    proptest! {
        #[test]
        fn however_many_fit_memory_the_order_is_that_of_all_sorted_at_once(
            names in proptest::collection::vec(proptest::collection::vec(1..=255_u8, 1..20), 0..300),
            run_names in 1..100_usize,
            long in any::<bool>(),
        ) {
            // Names longer than a reader's buffer are there too.
            let longer = |mut name: Vec<u8>| { name.extend([7; READER_MIN_BYTES]); name };
            let names: Vec<_> = names.into_iter().map(|name| if long { longer(name) } else { name }).collect();
            let mut all = names.clone();
            all.sort();
            prop_assert_eq!(sorted(run_names, &names), all);
        }
    }

    #[test]
    fn no_more_names_are_in_memory_than_a_run_has() {
        let mut sorter = Sorter::new(10);
        for nth in 0..1000_u32 {
            sorter.push(nth.to_be_bytes().map(|byte| byte | 1).to_vec()).unwrap();
            assert!(sorter.run.len() <= 10);
        }
        let sorted = sorter.sort().unwrap();
        assert_eq!((sorted.left.len(), sorted.runs.len(), sorted.heads.len()), (0, 100, 100));
        let buffers: usize = sorted.runs.iter().map(BufReader::capacity).sum();
        assert!(buffers <= READERS_BYTES, "{buffers}");
    }
}
