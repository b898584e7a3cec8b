//! How much is run.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Everything.
    Table,
    /// What the lines need.
    Check,
}

impl Scale {
    /// The first where everything is run, the second for the gate.
    pub fn pick<T>(self, table: T, check: T) -> T {
        match self {
            Self::Table => table,
            Self::Check => check,
        }
    }
}
