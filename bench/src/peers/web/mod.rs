//! The page of `bench web`, as each framework's users would write it.

pub(super) mod actix;
pub(super) mod axum;
pub(super) mod squall;

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Arguments {
    name: String,
    count: u32,
}

#[derive(Serialize)]
struct Page<'a> {
    id: u64,
    name: &'a str,
    theme: &'a str,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    number: u32,
    label: String,
}

fn items(count: u32) -> Vec<Item> {
    (0..count).map(|number| Item { number, label: format!("item {number}") }).collect()
}
