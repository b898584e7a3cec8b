//! A policy's schedule, printed as a table.

use core::{fmt, ops::RangeInclusive, time::Duration};

use crate::{builder::RetryBuilder, extras::Carried, sequence::Limits};

/// Rows that the table has at most, the one for all that are left out included.
const ROWS: u32 = 12;

/// Writes the whole schedule as a table, then the limits.
///
/// # Examples
///
/// ```
/// use afterbeat::RetryBuilder;
///
/// let table = RetryBuilder::new().max_retries(2).to_string();
/// assert_eq!(table, "\
/// retry   wait                           sum of the waits
///     1   125ms to 250ms                 125ms to 250ms
///     2   250ms to 500ms                 375ms to 750ms
/// at most 2 retries
/// ");
/// ```
impl<T, P, X: Carried> fmt::Display for RetryBuilder<T, P, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, retry| {
            let (wait, sum) = (self.backoff.bounds(retry), self.backoff.total(retry));
            writeln!(f, "{retry:>5}   {}{}", Span(wait, 31), Span(sum, 0))
        };
        let last = self.max_retries;
        if last > 0 {
            writeln!(f, "retry   {:<31}sum of the waits", "wait")?;
        }
        let shown = if last <= ROWS { last } else { ROWS - 1 };
        (1..=shown).try_for_each(|retry| row(f, retry))?;
        if last == u32::MAX {
            writeln!(f, "  ...   {}", Span(self.backoff.bounds(last), 0))?;
        } else if last > shown {
            writeln!(f, "  ...")?;
            row(f, last)?;
        }
        match last {
            u32::MAX => writeln!(f, "no limit on retries")?,
            1 => writeln!(f, "at most 1 retry")?,
            _ => writeln!(f, "at most {last} retries")?,
        }
        let limits = self.extras.limits();
        if limits.max_elapsed < u64::MAX {
            let limit = Duration::from_nanos(limits.max_elapsed);
            writeln!(f, "no wait ends later than {limit:?} after the start")?;
        }
        if limits.max_retry_after != Limits::DEFAULT.max_retry_after {
            let limit = Duration::from_nanos(limits.max_retry_after);
            writeln!(f, "no hint above {limit:?} is followed")?;
        }
        Ok(())
    }
}

/// A range of durations, padded to a width.
struct Span(RangeInclusive<Duration>, usize);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(range, width) = self;
        let mut written = Counted(f, 0);
        let (low, high) = (range.start(), range.end());
        if low == high {
            fmt::write(&mut written, format_args!("{low:?}"))?;
        } else {
            fmt::write(&mut written, format_args!("{low:?} to {high:?}"))?;
        }
        let Counted(f, count) = written;
        (count..*width).try_for_each(|_| f.write_str(" "))
    }
}

/// A writer that counts characters, so that columns align without an allocation.
struct Counted<'a, 'b>(&'a mut fmt::Formatter<'b>, usize);

impl fmt::Write for Counted<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.1 += text.chars().count();
        self.0.write_str(text)
    }
}
