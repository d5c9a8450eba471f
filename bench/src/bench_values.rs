//! The values of the options of `bench`, as a person types them.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
};

use blockloom_bench::workloads::{Kind, Shape};

use crate::{
    executor_threads::{self, Threads},
    input::refuse_url,
    quantity::quantity,
};

/// A workload or fixtures.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Workload(Kind),
    Fixtures(PathBuf),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        match kind {
            Some(kind) => Ok(Self::Workload(kind)),
            None if Path::new(text).exists() => Ok(Self::Fixtures(text.into())),
            None => {
                refuse_url(text)?;
                let names = Kind::ALL.map(Kind::name).join(", ");
                Err(format!("neither a workload ({names}) nor a path that exists"))
            }
        }
    }
}

pub(crate) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    match executor_threads::threads(text)? {
        Threads::Parallel(threads) => Ok(threads),
        Threads::Sequential => {
            Err("the parallel side needs a thread; the sequential side is always measured".to_owned())
        }
    }
}

pub(crate) fn parts(text: &str) -> Result<NonZeroUsize, String> {
    let parts = text.parse().map_err(|_| "expected a number of parts".to_owned())?;
    NonZeroUsize::new(parts).ok_or_else(|| "a block is split into one part or more".to_owned())
}

pub(crate) fn shape(text: &str) -> Result<Shape, String> {
    let names = || Shape::ALL.map(Shape::name).join(", ");
    Shape::ALL
        .into_iter()
        .find(|shape| shape.name() == text)
        .ok_or_else(|| format!("expected one of {}", names()))
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// More gas than this is taken for a typing error, and would not fit into memory.
const MOST_GAS: u64 = 100_000_000_000;

pub(crate) fn gas(text: &str) -> Result<u64, String> {
    quantity(text)
        .filter(|gas| (1..=MOST_GAS).contains(gas))
        .ok_or_else(|| format!("expected an amount of gas such as 500k, 30M or 1G, at most {MOST_GAS}"))
}
