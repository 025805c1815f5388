//! What was probably meant by a word that is not known.

/// Of these words the one that is closest, unless none looks alike.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(known, word);
    // Half of a word may be wrong; more is another word.
    known.iter().copied().min_by_key(distance).filter(|near| distance(near) * 2 <= word.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["put", "get", "status"];
        assert_eq!(nearest("gte", &known), Some("get"));
        assert_eq!(nearest("statsu", &known), Some("status"));
        assert_eq!(nearest("frobnicate", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
