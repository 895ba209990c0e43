//! One field of a cron expression: numbers, names, ranges, steps and lists of them.

/// What a field of numbers may hold.
pub(super) struct Scale {
    /// The name of the field, for errors.
    pub name: &'static str,
    pub min: u32,
    pub max: u32,
    /// What else may stand for numbers: the first name for `names_from`, and so on.
    pub names: &'static [&'static str],
    pub names_from: u32,
    /// What is allowed, for errors.
    pub allowed: &'static str,
}

pub(super) const SECOND: Scale = numbers("second", 0, 59, "0-59");
pub(super) const MINUTE: Scale = numbers("minute", 0, 59, "0-59");
pub(super) const HOUR: Scale = numbers("hour", 0, 23, "0-23");
pub(super) const DAY_OF_MONTH: Scale =
    numbers("day-of-month", 1, 31, "1-31, L, L-1 to L-30, LW and 1W to 31W");
pub(super) const MONTH: Scale = Scale {
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    names_from: 1,
    ..numbers("month", 1, 12, "1-12 and JAN-DEC")
};
pub(super) const DAY_OF_WEEK: Scale = Scale {
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    names_from: 0,
    ..numbers("day-of-week", 0, 7, "0-7 (0 and 7 are Sunday), SUN-SAT, 5L and 5#1 to 5#5")
};

const fn numbers(name: &'static str, min: u32, max: u32, allowed: &'static str) -> Scale {
    Scale { name, min, max, names: &[], names_from: 0, allowed }
}

impl Scale {
    /// The set of numbers, as bits, that a whole field stands for.
    pub fn set(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// The set of one item: `*`, `4`, `MON`, `1-5`, and each with a step.
    pub fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (item, None),
        };
        let (first, last) = self.range(item, range, step.is_some())?;
        let steps = (first..=last).step_by(step.unwrap_or(1));
        Ok(steps.fold(0, |set, number| set | 1 << number))
    }

    fn range(&self, item: &str, range: &str, has_step: bool) -> Result<(u32, u32), String> {
        if range == "*" {
            return Ok((self.min, self.max));
        }
        let Some((first, last)) = range.split_once('-') else {
            let first = self.number(item, range)?;
            // `5/15` begins at 5 and has no end of its own.
            return Ok((first, if has_step { self.max } else { first }));
        };
        let first = self.number(item, first)?;
        let last = match self.number(item, last)? {
            // A week may end with Sunday: SAT-SUN.
            0 if first > 0 && self.max == DAY_OF_WEEK.max => DAY_OF_WEEK.max,
            last => last,
        };
        if first > last {
            return Err(format!(
                "the {} field has {item:?}, whose end is before its beginning; write two ranges, \
                 {first}-{} and {}-{last}",
                self.name, self.max, self.min
            ));
        }
        Ok((first, last))
    }

    /// One number or name.
    pub fn number(&self, item: &str, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(index) => u32::try_from(index).ok().map(|index| index + self.names_from),
            None => plain_number(text),
        };
        number.filter(|number| (self.min..=self.max).contains(number)).ok_or_else(|| {
            format!("the {} field has {item:?}, and allowed are {}", self.name, self.allowed)
        })
    }

    fn step(&self, item: &str, text: &str) -> Result<usize, String> {
        let most = self.max - self.min;
        let step = plain_number(text).filter(|step| (1..=most).contains(step));
        step.and_then(|step| usize::try_from(step).ok()).ok_or_else(|| {
            format!("the {} field has {item:?}, and steps of it are 1 to {most}", self.name)
        })
    }
}

/// A number of one or two digits.
pub(super) fn plain_number(text: &str) -> Option<u32> {
    let fine = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fine { text.parse().ok() } else { None }
}

#[cfg(test)]
#[path = "tests/field.rs"]
mod tests;
