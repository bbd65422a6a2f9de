//! One field of a cron expression, in croniter's grammar.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Which field of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

/// The values of a field. `days` holds what is no plain value: `L`, `15W`, `1#2`, `L5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub unit: Unit,
    /// Weekdays count from Sunday, 0.
    pub values: BTreeSet<u32>,
    /// Written with `*`.
    pub is_all: bool,
    /// Written as a list.
    is_list: bool,
    pub special: Vec<Special>,
}

/// A day that depends on the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// A plain day of the month, beside one of the others.
    Day(u32),
    /// `L`: the month's last day.
    LastDay,
    /// `15W`: the weekday nearest to a day, within the month.
    NearestWeekday(u32),
    /// `1#2`: the second Monday.
    Nth(u32, u32),
    /// `L5`: the last Friday.
    LastOf(u32),
}

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    /// Smallest and largest value as written.
    fn range(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// Largest value once Sunday is 0 only.
    fn last(self) -> u32 {
        if self == Self::DayOfWeek { 6 } else { self.range().1 }
    }

    fn all(self) -> BTreeSet<u32> {
        (self.range().0..=self.last()).collect()
    }
}

impl Field {
    /// Reads one field.
    pub(super) fn parse(unit: Unit, text: &str) -> Result<Self, String> {
        let text = text.to_lowercase();
        let mut field = Self {
            unit,
            values: BTreeSet::new(),
            is_all: false,
            is_list: text.contains(','),
            special: Vec::new(),
        };
        let has_days = matches!(unit, Unit::DayOfMonth | Unit::DayOfWeek);
        if text == "?" && has_days {
            field.values = unit.all();
            field.is_all = true;
            return Ok(field);
        }
        for item in text.split(',') {
            field.add(item).map_err(|why| format!("{item:?} in the {}: {why}", unit.name()))?;
        }
        let lone_weekday = field.special.iter().any(|s| matches!(s, Special::NearestWeekday(_)));
        if lone_weekday && (field.special.len() > 1 || !field.values.is_empty()) {
            return Err(format!("{text:?}: a day with W stands alone"));
        }
        let is_weekday = unit == Unit::DayOfWeek && !field.special.is_empty();
        if is_weekday && !field.values.is_empty() {
            return Err(format!("{text:?}: weekdays with # or L do not mix with plain ones"));
        }
        field.is_all = text.split(',').any(|item| item == "*");
        Ok(field)
    }

    /// Whether one item stands for all values: `*`, `*/1`, `0-23`; croniter does not see it in a list.
    pub(super) fn is_every(&self) -> bool {
        !self.is_list && self.values == self.unit.all()
    }

    fn add(&mut self, item: &str) -> Result<(), String> {
        let unit = self.unit;
        if let Some(special) = special(unit, item)? {
            self.special.extend(special);
            return Ok(());
        }
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, Some(number(step)?)),
            None => (item, None),
        };
        if step == Some(0) {
            return Err("a step must be 1 or more".to_owned());
        }
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (unit.range().0, unit.last()),
            Some((from, to)) => (value(unit, from)?, end(unit, to)?),
            // `a/n` begins at a and ends with the range, be it one value only.
            None if step.is_some_and(|_| value(unit, span) != Ok(unit.last())) => {
                (value(unit, span)?, unit.last())
            }
            None => {
                self.values.insert(fold(unit, value(unit, span)?));
                return Ok(());
            }
        };
        self.values.extend(spread(unit, from, to, step.unwrap_or(1)));
        Ok(())
    }
}

/// The values of a range. One that ends before it begins wraps around; `a-a` is the whole range.
fn spread(unit: Unit, from: u32, to: u32, step: u32) -> Vec<u32> {
    let (first, last) = (unit.range().0, unit.last());
    let every = |from: u32, to: u32| (from..=to).step_by(step as usize);
    match from.cmp(&to) {
        Ordering::Equal => every(first, last).collect(),
        Ordering::Less => every(from, to).map(|value| fold(unit, value)).collect(),
        Ordering::Greater => {
            let before: Vec<u32> = every(from, last).collect();
            let left = before.last().map_or(0, |value| last - value);
            // croniter's step is one longer where it crosses the end, unless it lands on the start.
            let skipped = if left + 1 < step { step - left } else { 0 };
            before.into_iter().chain(every(first + skipped, to)).collect()
        }
    }
}

/// Sunday, written as 7, is 0.
fn fold(unit: Unit, value: u32) -> u32 {
    if value > unit.last() { unit.range().0 } else { value }
}

/// Reads the days that depend on the month; `None` if the item is a plain one.
fn special(unit: Unit, item: &str) -> Result<Option<Vec<Special>>, String> {
    match unit {
        Unit::DayOfMonth if item == "l" => Ok(Some(vec![Special::LastDay])),
        Unit::DayOfMonth => {
            let day = item.strip_suffix('w').or_else(|| item.strip_prefix('w'));
            let Some(day) = day else { return Ok(None) };
            Ok(Some(vec![Special::NearestWeekday(value(unit, day)?)]))
        }
        Unit::DayOfWeek => {
            if let Some((days, nth)) = item.split_once('#') {
                let nth = number(nth)?;
                if !(1..=5).contains(&nth) {
                    return Err("a weekday occurs up to 5 times in a month".to_owned());
                }
                let days = match days.split_once('-') {
                    Some((from, to)) if named(from) && named(to) => {
                        spread(unit, value(unit, from)?, value(unit, to)?, 1)
                    }
                    Some(_) => return Err("a range of numbers can't have #".to_owned()),
                    None => vec![value(unit, days)? % 7],
                };
                return Ok(Some(days.into_iter().map(|day| Special::Nth(day, nth)).collect()));
            }
            let Some(day) = item.strip_prefix('l') else { return Ok(None) };
            Ok(Some(vec![Special::LastOf(value(unit, day)? % 7)]))
        }
        _ => Ok(None),
    }
}

fn named(word: &str) -> bool {
    DAYS.contains(&word)
}

/// A number, or the name of a month or weekday.
fn value(unit: Unit, word: &str) -> Result<u32, String> {
    let names = match unit {
        Unit::Month => MONTHS,
        Unit::DayOfWeek => DAYS,
        _ => &[],
    };
    if let Some(index) = names.iter().position(|name| *name == word) {
        let index = u32::try_from(index).expect("twelve names at most");
        return Ok(unit.range().0 + index);
    }
    let number = number(word).map_err(|why| match names {
        [] => why,
        names => {
            let near = crate::dag::did_you_mean(word, names.iter().copied());
            format!("expected a number or a name such as {:?}{near}", names[1])
        }
    })?;
    let (first, last) = unit.range();
    if (first..=last).contains(&number) {
        return Ok(number);
    }
    // Midnight and the full hour, as people write them.
    let near = match (unit, number) {
        (Unit::Minute, 60) | (Unit::Hour, 24) => ": did you mean 0?",
        _ => "",
    };
    Err(format!("{number} is not between {first} and {last}{near}"))
}

/// The end of a range: also `L`, the 31st.
fn end(unit: Unit, word: &str) -> Result<u32, String> {
    if unit == Unit::DayOfMonth && word == "l" { Ok(31) } else { value(unit, word) }
}

fn number(word: &str) -> Result<u32, String> {
    if word.is_empty() || word.len() > 4 || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("expected a number".to_owned());
    }
    word.parse().map_err(|_| "expected a number".to_owned())
}
