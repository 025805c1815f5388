//! Where a custodian keeps records of names. What these methods have answered is on durable storage, as with
//! [`super::PieceStore`]. How many there may be and which are newer is for the caller to decide.

use async_trait::async_trait;

use super::StoreError;
use crate::name::{Name, NameRecords};

/// Keeps records of names.
#[async_trait]
pub trait NameStore: Send + Sync + 'static {
    /// Keeps these records durably, all or none, each in place of what was kept of its name.
    async fn put_names(&self, records: Vec<NameRecords>) -> Result<(), StoreError>;

    /// What is kept of these names, in order.
    async fn names(&self, names: &[Name]) -> Result<Vec<Option<NameRecords>>, StoreError>;

    /// What is kept, in order of the names' keys, at most `max` after `after`.
    async fn names_after(&self, after: Option<Name>, max: usize) -> Result<Vec<NameRecords>, StoreError>;

    /// Forgets names, durably.
    async fn drop_names(&self, names: Vec<Name>) -> Result<(), StoreError>;
}
