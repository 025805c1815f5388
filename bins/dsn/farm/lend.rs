//! How much a farmer lends, and the disk it lends from.

use std::path::PathBuf;

use dsn_cli::{Exit, Failure, Key, human_bytes, parse_cap, parse_size};
use dsn_farmer::{Disk, FarmerOptions, UpkeepOptions};
use dsn_net::{Cap, CapSpan};
use dsn_store::RocksOptions;

use crate::{context::Context, folder::Folder};

/// Least space left free on a disk, and its part in a hundred.
const DISK_RESERVE_MIN_BYTES: u64 = 2 << 30;
const DISK_RESERVE_PERCENT: u64 = 5;

/// The disk a folder lies on.
pub(super) struct FolderDisk {
    folder: PathBuf,
}

impl FolderDisk {
    pub(super) fn of(folder: &Folder) -> Self {
        Self { folder: folder.root().to_path_buf() }
    }
}

impl Disk for FolderDisk {
    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        Some(RocksOptions::default().room_in(disk.f_bavail.saturating_mul(disk.f_frsize)))
    }
}

/// Says it when a disk is full up to what is to stay free on it, so that nothing is taken though space is lent.
pub(super) fn full_disk(disk: &FolderDisk, reserve_bytes: u64) -> Option<String> {
    let free = disk.free_bytes().filter(|free| *free <= reserve_bytes)?;
    let (free, reserve) = (human_bytes(free), human_bytes(reserve_bytes));
    Some(format!("the disk has {free} left, {reserve} stay free (--disk-reserve): nothing new is taken"))
}

/// What the settings say.
pub(super) fn options(context: &Context) -> Result<FarmerOptions, Failure> {
    let missing = || {
        Failure::new(Exit::Configuration, "how much to lend is not set")
            .hint("dsn farm --storage 100GiB, or farm.storage in a file")
    };
    let reserved_bytes = size(context, Key::FarmStorage)?.ok_or_else(missing)?;
    let disk = rustix::fs::statvfs(context.folder.root()).map_err(|e| Failure::of(Exit::Disk, &e))?;
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    if reserved_bytes == 0 || reserved_bytes > total {
        let (wanted, has) = (human_bytes(reserved_bytes), human_bytes(total));
        let error =
            format!("{} is {wanted}; the disk of {} has {has}", Key::FarmStorage.name(), context.folder.shown());
        return Err(Failure::new(Exit::Configuration, error).hint("lend at least one byte and at most the whole disk"));
    }
    let usual_reserve = (total / 100 * DISK_RESERVE_PERCENT).max(DISK_RESERVE_MIN_BYTES);
    Ok(FarmerOptions {
        owner_quota_bytes: size(context, Key::FarmOwnerQuota)?,
        disk_reserve_bytes: size(context, Key::FarmDiskReserve)?.unwrap_or(usual_reserve),
        domain: context.settings.text(Key::FarmDomain).to_owned(),
        upkeep: upkeep(context)?,
        ..FarmerOptions::lending(reserved_bytes)
    })
}

/// How it looks after things.
fn upkeep(context: &Context) -> Result<UpkeepOptions, Failure> {
    Ok(UpkeepOptions {
        scrub_secs: context.span(Key::FarmScrub)?.as_secs(),
        trash_secs: context.span(Key::FarmTrash)?.as_secs(),
        repair_bytes_per_sec: size(context, Key::FarmRepairRate)?.unwrap_or_default().max(1),
        ..UpkeepOptions::with_grace(context.span(Key::FarmAbsentGrace)?.as_secs())
    })
}

/// How much of the line it takes.
pub(super) fn cap(context: &Context, key: Key) -> Result<Cap, Failure> {
    let (spans, otherwise) =
        parse_cap(context.settings.text(key)).map_err(|error| context.misunderstood(key, error))?;
    let span = |(from_minute, to_minute, bytes_per_sec)| CapSpan { from_minute, to_minute, bytes_per_sec };
    Ok(Cap { spans: spans.into_iter().map(span).collect(), otherwise })
}

/// How much memory it takes before nobody new is let in.
pub(super) fn memory(context: &Context) -> Result<usize, Failure> {
    let bytes = size(context, Key::FarmMemory)?.unwrap_or_default();
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn size(context: &Context, key: Key) -> Result<Option<u64>, Failure> {
    let size = context.settings.get(key).map(|(value, _)| parse_size(value));
    size.transpose().map_err(|error| context.misunderstood(key, error))
}
