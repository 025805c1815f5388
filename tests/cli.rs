//! What a user sees of the real binary: every message, exit code and refusal.

#[path = "cli/snapshots.rs"]
mod snapshots;
