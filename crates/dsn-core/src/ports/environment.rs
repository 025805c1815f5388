//! The wall clock and randomness. Time-outs are not here: they use the runtime's timer, which the simulator makes virtual.

/// The wall clock and a source of randomness.
pub trait Environment: Send + Sync + 'static {
    /// Unix seconds.
    fn unix_secs(&self) -> u64;

    /// Fills `bytes` with randomness fit for keys and tokens.
    fn fill_random(&self, bytes: &mut [u8]);
}
