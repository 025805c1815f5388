//! A farmer whose disk is small: filled by pieces, then by a foreign file, then emptied again. It refuses pieces before
//! its disk is full, goes on serving, and takes pieces again as soon as there is room.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    MIB, Soak,
    disk::{SKIPPED, SmallDisk},
    network::{TestNetwork, dsn, output, shown},
};

/// All of its disk, and what is to stay free of it.
const DISK_MIB: u64 = 64;
const RESERVE_BYTES: u64 = 4 << 20;

/// Files that fill it, at most.
const FILLING_MAX: usize = 16;

/// Bytes of such a file: about a fifth as much in pieces on each of thirteen farmers.
const FILLING_BYTES: usize = 16 * MIB;

/// Of the time, when the foreign file comes and goes, in a hundred.
const FILLED_AT: u128 = 30;
const EMPTIED_AT: u128 = 65;

/// The farmer and what was done to its disk.
pub(crate) struct Small {
    disk: SmallDisk,
    /// Its place among the farmers.
    index: usize,
    /// A foreign file that was there first.
    other: PathBuf,
    stage: Stage,
}

enum Stage {
    /// It has refused pieces before its disk was full.
    Refusing,
    /// A foreign file takes what was left.
    Filled { used_bytes: u64, foreign: PathBuf },
    /// There is room again.
    Emptied,
}

fn status(network: &TestNetwork, index: usize) -> Value {
    let done = output(dsn(&network.farmers[index].dir).args(["status", "--json"]));
    serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", shown(&done)))
}

fn number(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap_or_else(|| panic!("no {name}: {status}"))
}

impl Small {
    /// Starts it beside the others and puts files until it takes no more. None where nothing can be mounted.
    pub(crate) fn fill(soak: &mut Soak) -> Option<Self> {
        let Some(disk) = SmallDisk::mount(DISK_MIB) else {
            soak.remarks.push(SKIPPED.to_owned());
            return None;
        };
        // Something else lies there already, so that a few files suffice.
        let other = disk.fill_to(56 * MIB as u64);
        let reserve = format!("{RESERVE_BYTES}");
        let index = soak.network.join(&disk.path().join("farmer"), &format!("{DISK_MIB}MiB"), &reserve);
        for nth in 0.. {
            assert!(nth < FILLING_MAX, "it goes on taking pieces: {}", status(&soak.network, index));
            let path = soak.network.file(&format!("filling-{nth}"), FILLING_BYTES);
            let before = number(&status(&soak.network, index), "used_bytes");
            let lowest = disk.lowest_during(|| soak.put_file(path));
            assert!(lowest >= RESERVE_BYTES, "only {lowest} bytes were left free");
            let now = number(&status(&soak.network, index), "used_bytes");
            if now == before {
                assert!(now > 0, "it never took a piece");
                soak.remarks.push(format!("the small disk refused more than {now} bytes of pieces"));
                return Some(Self { disk, index, other, stage: Stage::Refusing });
            }
        }
        None
    }

    /// What is due after so many hundredths of the time.
    pub(crate) fn go_on(mut self, soak: &mut Soak, percent: u128) -> Self {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Emptied) {
            Stage::Refusing if percent >= FILLED_AT => {
                let foreign = self.disk.fill_to(MIB as u64);
                // What was on its way when the room went is written by now.
                soak.put();
                let used_bytes = number(&status(&soak.network, self.index), "used_bytes");
                self.serves(soak);
                Stage::Filled { used_bytes, foreign }
            }
            Stage::Filled { used_bytes, foreign } if percent >= EMPTIED_AT => {
                let now = status(&soak.network, self.index);
                assert_eq!((number(&now, "free_bytes"), number(&now, "used_bytes")), (0, used_bytes), "{now}");
                self.serves(soak);
                SmallDisk::remove(&foreign);
                SmallDisk::remove(&self.other);
                self.takes_again(soak, used_bytes);
                Stage::Emptied
            }
            stage => stage,
        };
        self
    }

    /// Whatever is asked of it while its disk is full, it gives.
    fn serves(&self, soak: &mut Soak) {
        let before = number(&status(&soak.network, self.index), "served_bytes");
        (0..soak.stored.len().min(FILLING_MAX)).for_each(|nth| soak.get(nth));
        let after = number(&status(&soak.network, self.index), "served_bytes");
        assert!(after > before, "it served nothing: {before} bytes before, {after} after");
    }

    fn takes_again(&self, soak: &mut Soak, used_bytes: u64) {
        for nth in 0..FILLING_MAX {
            let path = soak.network.file(&format!("again-{nth}"), 4 * MIB);
            soak.put_file(path);
            let now = number(&status(&soak.network, self.index), "used_bytes");
            if now > used_bytes {
                soak.remarks.push(format!("full, it kept its {used_bytes} bytes; emptied, it took {now}"));
                return;
            }
        }
        panic!("it takes no pieces again: {}", status(&soak.network, self.index));
    }

    /// Whether all of its stages were gone through.
    pub(crate) fn is_through(&self) -> bool {
        matches!(self.stage, Stage::Emptied)
    }
}
