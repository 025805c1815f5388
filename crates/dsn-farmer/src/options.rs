//! What the operator of a farmer chooses, and the disk it lends from.

/// How a farmer works.
#[derive(Clone, Debug)]
pub struct FarmerOptions {
    /// Bytes of pieces it keeps at most.
    pub reserved_bytes: u64,
    /// Bytes of the disk it leaves free, whatever was reserved.
    pub disk_reserve_bytes: u64,
    /// The operator's failure-domain tag; may be empty.
    pub domain: String,
    /// Binary multiaddrs under which others reach it.
    pub addresses: Vec<bytes::Bytes>,
    /// Locators it keeps for others at most.
    pub max_locators: u64,
}

impl FarmerOptions {
    /// Lends this many bytes, with everything else as usual.
    pub fn lending(reserved_bytes: u64) -> Self {
        Self {
            reserved_bytes,
            disk_reserve_bytes: 0,
            domain: String::new(),
            addresses: Vec::new(),
            max_locators: 1_000_000,
        }
    }
}

/// The disk under the store.
pub trait Disk: Send + Sync + 'static {
    /// Bytes free on it; none when that cannot be told.
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
