//! Random cron expressions, from a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    /// Whether something happens that does so in `percent` of all cases.
    fn in_percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "mon", "TUE", "Wed", "THU", "FRI", "sat"];

/// An expression of five fields. It may be one that is never due.
pub fn expression(random: &mut Random) -> String {
    [minute(random), hour(random), day_of_month(random), month(random), day_of_week(random)]
        .join(" ")
}

/// A single number, range or step of one, without names.
fn item(random: &mut Random, low: u64, high: u64) -> String {
    let first = random.between(low, high);
    let last = random.between(first, high);
    let step = random.between(1, 9.min(high - low));
    match random.below(10) {
        0..5 => first.to_string(),
        5..8 => format!("{first}-{last}"),
        8 => format!("{first}-{last}/{step}"),
        _ => format!("{first}/{step}"),
    }
}

fn list(random: &mut Random, mut item: impl FnMut(&mut Random) -> String) -> String {
    let count = random.between(1, 3);
    (0..count).map(|_| item(random)).collect::<Vec<_>>().join(",")
}

fn minute(random: &mut Random) -> String {
    match random.below(100) {
        0..3 => "*".to_owned(),
        3..12 => format!("*/{}", random.one_of(&[5, 7, 10, 15, 20, 30, 45])),
        12..22 => list(random, |random| item(random, 0, 59)),
        _ => list(random, |random| random.below(60).to_string()),
    }
}

fn hour(random: &mut Random) -> String {
    match random.below(100) {
        0..15 => "*".to_owned(),
        15..30 => format!("*/{}", random.between(1, 12)),
        30..33 => format!("*/{},{}", random.between(2, 12), random.below(24)),
        // Many where clocks are changed.
        33..60 => list(random, |random| random.below(4).to_string()),
        _ => list(random, |random| item(random, 0, 23)),
    }
}

fn day_of_month(random: &mut Random) -> String {
    match random.below(100) {
        0..50 => "*".to_owned(),
        50..55 => "?".to_owned(),
        55..60 => format!("*/{}", random.between(2, 15)),
        _ => list(random, |random| match random.below(10) {
            0 => "L".to_owned(),
            1 => format!("L-{}", random.between(1, 27)),
            2 => "LW".to_owned(),
            3 | 4 => format!("{}W", random.between(1, 31)),
            _ => item(random, 1, 31),
        }),
    }
}

fn month(random: &mut Random) -> String {
    match random.below(100) {
        0..65 => "*".to_owned(),
        65..72 => format!("*/{}", random.between(2, 6)),
        72..80 => random.one_of(&MONTHS).to_owned(),
        80..85 => {
            let first = random.below(12);
            let last = random.between(first, 11);
            let name = |index: u64| MONTHS[usize::try_from(index).unwrap()];
            format!("{}-{}", name(first), name(last))
        }
        _ => list(random, |random| item(random, 1, 12)),
    }
}

fn day_of_week(random: &mut Random) -> String {
    match random.below(100) {
        0..50 => "*".to_owned(),
        50..54 => "?".to_owned(),
        54..58 => format!("*/{}", random.between(2, 6)),
        58..64 => random.one_of(&["MON-FRI", "sat-sun", "SUN-WED", "5-7", "FRI-SUN"]).to_owned(),
        _ => list(random, |random| match random.below(10) {
            0 | 1 => random.one_of(&WEEKDAYS).to_owned(),
            2 => format!("{}L", random.below(8)),
            3 => format!("{}L", random.one_of(&WEEKDAYS)),
            4 | 5 => format!("{}#{}", random.below(8), random.between(1, 5)),
            _ if random.in_percent(60) => random.below(8).to_string(),
            _ => item(random, 0, 6),
        }),
    }
}
