//! Decimal numbers of any length, compared exactly.

use std::cmp::Ordering;

/// A number as it stands in a label or a requirement, such as `24`, `-3` or `1.50`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    is_negative: bool,
    /// Without zeros in front.
    whole: &'a str,
    /// Without zeros behind.
    fraction: &'a str,
}

impl<'a> Number<'a> {
    /// The number that a text says: digits, perhaps with a minus before and a fraction behind.
    pub fn read(text: &'a str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Number { is_negative: is_negative && !is_zero, whole, fraction })
    }

    fn cmp_size(&self, other: &Self) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then(self.whole.cmp(other.whole)).then(self.fraction.cmp(other.fraction))
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
