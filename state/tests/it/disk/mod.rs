//! The store on disk, compared with a store in memory that gets the same blocks.

mod concurrent;
mod damage;
mod full;
mod lifecycle;
mod pair;
mod proofs;
mod random_histories;
mod reverting;
