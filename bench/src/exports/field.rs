//! One field of a row of a report: the same description for tables, Markdown and CSV.

use crate::quantity::short;

/// A field of a row.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Its name in CSV, which is its name in JSON. `None` if it is only in tables, because it follows from
    /// others.
    pub(crate) name: Option<&'static str>,
    /// Its title in tables. `None` if it is only in CSV.
    pub(crate) title: Option<&'static str>,
    pub(crate) value: Value,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Flag(bool),
    Count(u128),
    /// A count that tables shorten: `30.1M`.
    Large(u128),
    /// A number with so many decimals in tables. One that is not finite is missing.
    Number(f64, usize),
    Missing,
}

impl Field {
    /// A field that is only in CSV.
    pub(crate) fn csv(name: &'static str, value: impl Into<Value>) -> Self {
        Self { name: Some(name), title: None, value: value.into() }
    }

    /// A field that is only in tables.
    pub(crate) fn table(title: &'static str, value: impl Into<Value>) -> Self {
        Self { name: None, title: Some(title), value: value.into() }
    }

    /// A field in CSV and in tables.
    pub(crate) fn both(name: &'static str, title: &'static str, value: impl Into<Value>) -> Self {
        Self { name: Some(name), title: Some(title), value: value.into() }
    }
}

impl Value {
    /// A number with so many decimals in tables, if there is one.
    pub(crate) fn number(number: Option<f64>, decimals: usize) -> Self {
        number.map_or(Self::Missing, |number| Self::Number(number, decimals))
    }

    /// As CSV has it: plain numbers without units, and nothing for a missing value.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::Count(count) | Self::Large(count) => count.to_string(),
            Self::Number(number, _) if number.is_finite() => number.to_string(),
            Self::Number(..) | Self::Missing => String::new(),
        }
    }

    /// As tables have it: rounded, and a dash for a missing value.
    pub(crate) fn cell(&self) -> String {
        match self {
            Self::Large(count) => short(*count),
            Self::Number(number, decimals) if number.is_finite() => format!("{number:.decimals$}"),
            Self::Number(..) | Self::Missing => "-".to_owned(),
            Self::Text(_) | Self::Flag(_) | Self::Count(_) => self.plain(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u128)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A number of which only the plain form is used.
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number, 3)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

/// The titles of a table.
pub(crate) fn titles(fields: &[Field]) -> Vec<String> {
    fields.iter().filter_map(|field| field.title).map(str::to_owned).collect()
}

/// The cells of a row of a table.
pub(crate) fn cells(fields: &[Field]) -> Vec<String> {
    fields.iter().filter(|field| field.title.is_some()).map(|field| field.value.cell()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_shorten_what_csv_has_in_full() {
        let cases = [
            (Value::Large(30_123_456), "30123456", "30.1M"),
            (Value::Number(1.23456, 2), "1.23456", "1.23"),
            (Value::Number(f64::NAN, 2), "", "-"),
            (Value::number(None, 2), "", "-"),
            (Value::from(true), "true", "true"),
            (Value::from(7_usize), "7", "7"),
        ];
        for (value, plain, cell) in cases {
            assert_eq!((value.plain().as_str(), value.cell().as_str()), (plain, cell), "{value:?}");
        }
    }
}
