//! What the operator of a farmer chooses, and the disk it lends from.

/// How a farmer looks after what it keeps and what others keep.
#[derive(Clone, Debug)]
pub struct UpkeepOptions {
    /// Seconds for which a silent farmer still counts.
    pub absent_grace_secs: u64,
    /// Seconds between two rounds through the locators kept.
    pub probe_every_secs: u64,
    /// Seconds between audits.
    pub audit_every_secs: u64,
    /// Seconds within which a farmer says anew of everything that it holds it.
    pub reissue_secs: u64,
    /// Seconds within which every piece is read again.
    pub scrub_secs: u64,
    /// Seconds between two looks for what nobody wants any more.
    pub collect_every_secs: u64,
    /// Seconds for which a chunk that nobody wants lies in the trash.
    pub trash_secs: u64,
    /// Bytes that repair may move in a second, on average.
    pub repair_bytes_per_sec: u64,
}

impl Default for UpkeepOptions {
    fn default() -> Self {
        Self::with_grace(24 * 3600)
    }
}

impl UpkeepOptions {
    /// The usual ones for this grace: 24 rounds find out for sure that a farmer is gone, and each has four audits.
    pub fn with_grace(absent_grace_secs: u64) -> Self {
        Self {
            absent_grace_secs,
            probe_every_secs: (absent_grace_secs / 24).clamp(1, 3600),
            audit_every_secs: (absent_grace_secs / 96).clamp(1, 900),
            reissue_secs: 7 * 24 * 3600,
            scrub_secs: 30 * 24 * 3600,
            collect_every_secs: (absent_grace_secs / 24).clamp(1, 3600),
            trash_secs: 7 * 24 * 3600,
            repair_bytes_per_sec: 4 * 1024 * 1024,
        }
    }
}

/// How a farmer works.
#[derive(Clone, Debug)]
pub struct FarmerOptions {
    /// Bytes of pieces it keeps at most.
    pub reserved_bytes: u64,
    /// Bytes of pieces it keeps of one owner at most; none: as many as there is room for.
    pub owner_quota_bytes: Option<u64>,
    /// Bytes of the disk it leaves free, whatever was reserved.
    pub disk_reserve_bytes: u64,
    /// The operator's failure-domain tag; may be empty.
    pub domain: String,
    /// Binary multiaddrs under which others reach it.
    pub addresses: Vec<bytes::Bytes>,
    /// Locators it keeps for others at most.
    pub max_locators: u64,
    /// How it looks after what it keeps.
    pub upkeep: UpkeepOptions,
}

impl FarmerOptions {
    /// Lends this many bytes, with everything else as usual.
    pub fn lending(reserved_bytes: u64) -> Self {
        Self {
            reserved_bytes,
            owner_quota_bytes: None,
            disk_reserve_bytes: 0,
            domain: String::new(),
            addresses: Vec::new(),
            max_locators: 1_000_000,
            upkeep: UpkeepOptions::default(),
        }
    }
}

/// The disk under the store.
pub trait Disk: Send + Sync + 'static {
    /// Bytes of pieces that it still has room for; none when that cannot be told.
    fn free_bytes(&self) -> Option<u64>;
}

/// A disk that never fills.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnlimitedDisk;

impl Disk for UnlimitedDisk {
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}
