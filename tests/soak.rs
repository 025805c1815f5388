//! A minute in the life of a network of real processes: farmers are killed and come back, disks are wiped and damaged, a
//! small one fills up and is emptied, while files are put and got. Nothing whose put ended well may be lost. `DSN_SOAK_SECS=600`
//! makes it ten minutes.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/network.rs"]
#[expect(dead_code, reason = "other tests ask for less")]
mod network;
#[path = "soak/small.rs"]
mod small;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use network::{TestNetwork, output, same, shown};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use small::Small;

const MIB: usize = 1 << 20;

/// Farmers of the network.
const FARMERS: usize = 12;

/// Farmers away at a time, at most: a put bears the loss of six.
const AWAY: usize = 2;

/// Files put in time, those for the small disk among them. Each is got again and again.
const FILES_MAX: usize = 60;

/// Time between two blows.
const BLOW_EVERY: Duration = Duration::from_secs(3);

/// After a wipe or damage, the others get this long to make it good before the next.
const HEAL: Duration = Duration::from_secs(15);

fn length() -> Duration {
    let secs = std::env::var("DSN_SOAK_SECS").map_or(60, |text| text.parse().expect("DSN_SOAK_SECS is a number"));
    Duration::from_secs(secs)
}

/// What was put.
struct Stored {
    path: PathBuf,
    cid: String,
}

struct Soak {
    network: TestNetwork,
    rng: StdRng,
    away: Vec<usize>,
    stored: Vec<Stored>,
    failed_puts: usize,
    gets: usize,
    kills: usize,
    wipes: usize,
    damages: usize,
    last_heavy: Instant,
    /// What else is worth knowing at the end.
    remarks: Vec<String>,
}

impl Soak {
    fn put(&mut self) {
        let len = self.rng.random_range(1..3_000_000);
        self.put_file(self.network.file(&format!("file-{}-{}", self.stored.len(), self.failed_puts), len));
    }

    fn put_file(&mut self, path: PathBuf) {
        let done = output(self.network.dsn().args(["put"]).arg(&path));
        if done.status.success() {
            let cid = String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned();
            self.stored.push(Stored { path, cid });
        } else {
            self.failed_puts += 1;
        }
    }

    fn get(&mut self, nth: usize) {
        let Stored { path, cid } = &self.stored[nth];
        let copy = self.network.path("copy");
        let done = output(self.network.dsn().args(["get", "--force", cid, "-o"]).arg(&copy));
        assert!(done.status.success(), "{} is lost: {}", path.display(), shown(&done));
        assert!(same(path, &copy), "{} came back as something else", path.display());
        self.gets += 1;
    }

    /// Something happens to a farmer. Before a disk is struck, all are back.
    fn blow(&mut self) {
        let is_heavy = self.last_heavy.elapsed() > HEAL;
        if self.away.len() >= AWAY || (is_heavy && !self.away.is_empty()) {
            let back = self.away.remove(0);
            return self.network.restart(back);
        }
        let victim = self.rng.random_range(0..FARMERS - 1);
        if self.away.contains(&victim) {
            return;
        }
        self.network.kill(victim);
        self.kills += 1;
        if is_heavy {
            self.strike_disk(victim);
            self.last_heavy = Instant::now();
            self.network.restart(victim);
        } else {
            self.away.push(victim);
        }
    }

    /// Empties the disk of a farmer that is down, or damages it.
    fn strike_disk(&mut self, victim: usize) {
        let store = self.network.farmers[victim].dir.join("store");
        if (self.wipes + self.damages).is_multiple_of(2) {
            std::fs::remove_dir_all(&store).expect("it was there");
            self.wipes += 1;
        } else {
            self.damages += usize::from(damage(&store, &mut self.rng));
        }
    }
}

/// Flips a byte in the largest file of a store; says whether there was one.
fn damage(store: &Path, rng: &mut StdRng) -> bool {
    let files = std::fs::read_dir(store.join("db")).into_iter().flatten().flatten();
    let largest = files.filter_map(|file| Some((file.metadata().ok()?.len(), file.path()))).max();
    let Some((len, path)) = largest.filter(|(len, _)| *len > 0) else { return false };
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[rng.random_range(0..usize::try_from(len).expect("small"))] ^= 0x10;
    std::fs::write(path, bytes).is_ok()
}

#[test]
fn nothing_is_lost_while_farmers_are_killed_wiped_and_damaged() {
    let mut soak = Soak {
        network: TestNetwork::with(FARMERS, "10GiB", &[("DSN_ABSENT_GRACE", "10s")]),
        rng: StdRng::seed_from_u64(1),
        away: Vec::new(),
        stored: Vec::new(),
        failed_puts: 0,
        gets: 0,
        kills: 0,
        wipes: 0,
        damages: 0,
        last_heavy: Instant::now(),
        remarks: Vec::new(),
    };
    let mut small = Small::fill(&mut soak);
    let (started, mut last_blow) = (Instant::now(), Instant::now());
    while started.elapsed() < length() {
        let percent = started.elapsed().as_millis() * 100 / length().as_millis();
        small = small.map(|small| small.go_on(&mut soak, percent));
        if last_blow.elapsed() > BLOW_EVERY {
            last_blow = Instant::now();
            soak.blow();
        }
        if soak.stored.len() < FILES_MAX {
            soak.put();
        }
        if !soak.stored.is_empty() {
            let nth = soak.rng.random_range(0..soak.stored.len());
            soak.get(nth);
        }
    }
    (0..soak.stored.len()).for_each(|nth| soak.get(nth));
    let Soak { stored, failed_puts, gets, kills, wipes, damages, remarks, .. } = &soak;
    println!(
        "{} files put, {failed_puts} puts refused, {gets} gets, {kills} kills, {wipes} disks wiped, {damages} damaged; \
         none lost; {}",
        stored.len(),
        remarks.join("; ")
    );
    assert!(small.is_none_or(|small| small.is_through()), "the small disk was not filled and emptied");
    assert!(*kills >= 5 && *wipes + *damages >= 1, "too little happened to prove anything");
    assert!(stored.len() > 3 * failed_puts, "{failed_puts} puts were refused");
}
