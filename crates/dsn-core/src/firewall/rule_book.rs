//! The rules made by command, newest first, each with a number that it keeps; and the text of the file they are kept in.
//!
//! ```text
//! dsn firewall rules, format 1, 2 rules, next 4
//! 3 deny in piece.put 203.0.113.0/24
//! 1 allow 12D3KooW…
//! ```
//!
//! The first line counts the others, so that a file that was cut short is no shorter list of rules. Invariant: a text that
//! is not exactly what [`RuleBook::to_text`] gives is refused, with the line; a firewall must not guess.

use thiserror::Error;

use super::{Rule, Subject, TooManyRulesError};
use crate::limits::FIREWALL_RULES_MAX;

/// What the file starts with.
const TITLE: &str = "dsn firewall rules, format 1";

/// Rules made by command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleBook {
    next: u32,
    entries: Vec<(u32, Rule)>,
}

/// Why a text is no book of rules.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct RuleBookError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Default for RuleBook {
    fn default() -> Self {
        Self { next: 1, entries: Vec::new() }
    }
}

impl RuleBook {
    /// The rules and their numbers, newest first.
    pub fn entries(&self) -> &[(u32, Rule)] {
        &self.entries
    }

    /// Puts a rule on top, in place of an older one about the same; gives its number.
    ///
    /// # Errors
    /// When there are [`FIREWALL_RULES_MAX`] already.
    pub fn add(&mut self, rule: Rule) -> Result<u32, TooManyRulesError> {
        let about = |subject: &Subject| *subject == rule.subject;
        let count = self.entries.iter().filter(|(_, old)| !about(&old.subject)).count() + 1;
        if count > FIREWALL_RULES_MAX || self.next == u32::MAX {
            return Err(TooManyRulesError { count });
        }
        self.entries.retain(|(_, old)| !about(&old.subject));
        let number = self.next;
        self.entries.insert(0, (number, rule));
        self.next += 1;
        Ok(number)
    }

    /// Takes the rule of this number away.
    pub fn remove(&mut self, number: u32) -> Option<Rule> {
        let place = self.entries.iter().position(|(known, _)| *known == number)?;
        Some(self.entries.remove(place).1)
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let lines = self.entries.iter().map(|(number, rule)| format!("{number} {rule}\n"));
        std::iter::once(self.title()).chain(lines).collect()
    }

    /// From the text.
    ///
    /// # Errors
    /// When it is any other than [`Self::to_text`] gives.
    pub fn from_text(text: &str) -> Result<Self, RuleBookError> {
        let wrong = |line: usize, reason: String| RuleBookError { line, reason };
        let title = text.lines().next().unwrap_or_default();
        let (count, next) =
            Self::read_title(title).ok_or_else(|| wrong(1, format!("not the title {TITLE:?} and two numbers")))?;
        let mut book = Self { next, entries: Vec::new() };
        for (place, line) in text.lines().enumerate().skip(1) {
            let (number, rule) = line.split_once(' ').unwrap_or((line, ""));
            let number = number.parse().map_err(|_| wrong(place + 1, "no number at its start".into()))?;
            let rule = rule.parse::<Rule>().map_err(|error| wrong(place + 1, error.to_string()))?;
            let newest = book.entries.last().map_or(next, |(above, _)| *above);
            if number >= newest {
                return Err(wrong(place + 1, format!("number {number} is not below {newest}")));
            }
            book.entries.push((number, rule));
        }
        let lines = book.entries.len();
        if lines != count || lines > FIREWALL_RULES_MAX {
            return Err(wrong(1, format!("{count} rules are announced, {lines} follow")));
        }
        let expected = book.to_text();
        if expected != text {
            let same = expected.split_inclusive('\n').zip(text.split_inclusive('\n')).take_while(|(a, b)| a == b);
            return Err(wrong(same.count() + 1, "not written as dsn writes it".into()));
        }
        Ok(book)
    }

    fn title(&self) -> String {
        format!("{TITLE}, {} rules, next {}\n", self.entries.len(), self.next)
    }

    fn read_title(title: &str) -> Option<(usize, u32)> {
        let (count, next) = title.strip_prefix(TITLE)?.strip_prefix(", ")?.split_once(" rules, next ")?;
        Some((count.parse().ok()?, next.parse().ok()?))
    }
}
