//! Numbers with their nouns as people say them: `1 entry`, `2 entries`.

use std::fmt::Display;

/// So many of something, with the word for one or for any other number of them.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let noun = if count == N::from(1) { one } else { many };
    format!("{count} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_not_many() {
        let said = [0_u64, 1, 2].map(|count| counted(count, "entry", "entries"));
        assert_eq!(said, ["0 entries", "1 entry", "2 entries"]);
        assert_eq!(counted(1_usize, "farmer", "farmers"), "1 farmer");
    }
}
