//! Round trips of every message, and what malformed ones meet.
