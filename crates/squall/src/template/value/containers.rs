//! Tuples, lists, dicts and sets. Those that the application gives stay its own until something needs them as Python's.

use std::cell::{Ref, RefCell, RefMut};
use std::ops::Deref;

use indexmap::{IndexMap, IndexSet};
use minijinja::Value;

use super::host::{Found, Host, from_host};
use super::{Class, Key, Py, PyError, R, trash};

type Hasher = rapidhash::fast::RandomState;
pub(in crate::template) type Map = IndexMap<Key, Py, Hasher>;

pub(in crate::template) struct Tuple {
    items: Vec<Py>,
    /// Of a `time.struct_time`.
    time: Option<Time>,
}

struct Time {
    /// Seconds east of Greenwich, if that is known.
    zone: Option<i32>,
}

/// The names of a `time.struct_time`'s items.
const TIME: [&str; 9] =
    ["tm_year", "tm_mon", "tm_mday", "tm_hour", "tm_min", "tm_sec", "tm_wday", "tm_yday", "tm_isdst"];

impl Tuple {
    pub(super) fn new(items: Vec<Py>) -> Self {
        Self { items, time: None }
    }

    /// A `time.struct_time` of nine items.
    pub(in crate::template) fn time(items: Vec<Py>, zone: Option<i32>) -> Self {
        Self { items, time: Some(Time { zone }) }
    }

    /// The names of its items, if it is a `time.struct_time`.
    pub(in crate::template) fn names(&self) -> Option<&'static [&'static str]> {
        self.time.as_ref().map(|_| &TIME[..])
    }

    pub(in crate::template) fn zone(&self) -> Option<i32> {
        self.time.as_ref()?.zone
    }

    /// The item of a name.
    pub(in crate::template) fn named(&self, name: &str) -> Option<Py> {
        let at = self.names()?.iter().position(|known| *known == name)?;
        self.items.get(at).cloned()
    }
}

impl Deref for Tuple {
    type Target = [Py];

    fn deref(&self) -> &[Py] {
        &self.items
    }
}

impl Drop for Tuple {
    fn drop(&mut self) {
        trash::bury(std::mem::take(&mut self.items));
    }
}

pub(in crate::template) struct List {
    items: RefCell<Vec<Py>>,
    /// The application's list that the items are from, as long as they are the same.
    host: RefCell<Option<Host>>,
}

impl List {
    pub(in crate::template) fn new(items: Vec<Py>) -> Self {
        Self { items: RefCell::new(items), host: RefCell::new(None) }
    }

    pub(super) fn of_host(items: Vec<Py>, host: Host) -> Self {
        Self { items: RefCell::new(items), host: RefCell::new(Some(host)) }
    }

    pub(in crate::template) fn borrow(&self) -> Ref<'_, Vec<Py>> {
        self.items.borrow()
    }

    /// To change it.
    pub(in crate::template) fn borrow_mut(&self) -> RefMut<'_, Vec<Py>> {
        self.host.replace(None);
        self.items.borrow_mut()
    }

    pub(in crate::template) fn len(&self) -> usize {
        self.items.borrow().len()
    }

    pub(in crate::template) fn get(&self, index: usize) -> Option<Py> {
        self.items.borrow().get(index).cloned()
    }

    pub(in crate::template) fn to_vec(&self) -> Vec<Py> {
        self.items.borrow().clone()
    }

    /// The application's list, if nothing in it has changed.
    pub(super) fn host(&self) -> Option<Value> {
        let host = self.host.borrow().clone()?;
        self.is_as_given().then(|| host.into())
    }

    fn is_as_given(&self) -> bool {
        let is_same = |item: &Py| match item {
            Py::List(list) => list.is_as_given(),
            Py::Dict(dict) => dict.is_as_given(),
            _ => true,
        };
        self.host.borrow().is_some() && self.items.borrow().iter().all(is_same)
    }

    /// Lets go of what it holds, which may be itself.
    pub(in crate::template) fn clear(&self) {
        let items = std::mem::take(&mut *self.borrow_mut());
        trash::bury(items);
    }
}

impl Drop for List {
    fn drop(&mut self) {
        trash::bury(std::mem::take(self.items.get_mut()));
    }
}

pub(in crate::template) struct Dict {
    /// The application's dict, which also has its items as attributes, as Tornado's `ObjectDict` does.
    host: Option<Host>,
    /// Python's own, once something needs more than the application's as it is.
    own: RefCell<Option<Box<Map>>>,
    /// Made by a template as an `ObjectDict`.
    is_object: bool,
}

impl Dict {
    pub(in crate::template) fn new(map: Map) -> Self {
        Self { host: None, own: RefCell::new(Some(Box::new(map))), is_object: false }
    }

    /// `ObjectDict`
    pub(in crate::template) fn object(map: Map) -> Self {
        Self { host: None, own: RefCell::new(Some(Box::new(map))), is_object: true }
    }

    pub(super) fn of_host(host: Host) -> Self {
        Self { host: Some(host), own: RefCell::new(None), is_object: false }
    }

    pub(in crate::template) fn has_attributes(&self) -> bool {
        self.host.is_some() || self.is_object
    }

    pub(in crate::template) fn is_object(&self) -> bool {
        self.is_object
    }

    /// The application's dict, if nothing has changed it.
    pub(in crate::template) fn host(&self) -> Option<Value> {
        self.given().map(|host| host.clone().into())
    }

    fn given(&self) -> Option<&Host> {
        if self.own.borrow().is_some() { None } else { self.host.as_ref() }
    }

    fn is_as_given(&self) -> bool {
        self.given().is_some()
    }

    /// Makes it Python's own.
    fn make_own(&self) -> R<()> {
        let Some(host) = self.given() else { return Ok(()) };
        let map = host.map()?;
        *self.own.borrow_mut() = Some(Box::new(map));
        Ok(())
    }

    pub(in crate::template) fn borrow(&self) -> R<Ref<'_, Map>> {
        self.make_own()?;
        Ref::filter_map(self.own.borrow(), Option::as_deref)
            .map_err(|_| PyError::new(Class::RuntimeError, "the dict has gone"))
    }

    pub(in crate::template) fn borrow_mut(&self) -> R<RefMut<'_, Map>> {
        self.make_own()?;
        RefMut::filter_map(self.own.borrow_mut(), Option::as_deref_mut)
            .map_err(|_| PyError::new(Class::RuntimeError, "the dict has gone"))
    }

    pub(in crate::template) fn len(&self) -> usize {
        match (&*self.own.borrow(), &self.host) {
            (Some(map), _) => map.len(),
            (None, host) => host.as_ref().map_or(0, Host::len),
        }
    }

    /// The application's item of a text, while nothing has changed the dict. What can be changed, a container, has to be the
    /// same each time, and is not found here.
    #[inline]
    pub(in crate::template) fn find(&self, key: &str) -> R<Found<'_>> {
        match self.given() {
            Some(host) => host.find(key),
            None => Ok(Found::Container),
        }
    }

    /// The value of a text.
    pub(in crate::template) fn get_str(&self, key: &str) -> R<Option<Py>> {
        Ok(match self.find(key)? {
            Found::Text(text) => Some(Py::from(text)),
            Found::Given(text) => Some(from_host(&text)?),
            Found::Plain(value) => Some(value),
            Found::Nothing => None,
            Found::Container => self.borrow()?.get(key).cloned(),
        })
    }

    pub(in crate::template) fn get(&self, key: &Py) -> R<Option<Py>> {
        match key {
            Py::Str(text) => self.get_str(text),
            _ => {
                let key = Key::new(key.clone())?;
                Ok(self.borrow()?.get(&key).cloned())
            }
        }
    }

    pub(in crate::template) fn set(&self, key: Py, value: Py) -> R<()> {
        let key = Key::new(key)?;
        let old = self.borrow_mut()?.insert(key, value);
        drop(old);
        Ok(())
    }

    pub(in crate::template) fn remove(&self, key: &Py) -> R<Option<Py>> {
        let key = Key::new(key.clone())?;
        Ok(self.borrow_mut()?.shift_remove(&key))
    }

    pub(in crate::template) fn pairs(&self) -> R<Vec<(Py, Py)>> {
        Ok(self.borrow()?.iter().map(|(key, value)| (key.value().clone(), value.clone())).collect())
    }

    pub(in crate::template) fn keys(&self) -> R<Vec<Py>> {
        Ok(self.borrow()?.keys().map(|key| key.value().clone()).collect())
    }

    pub(in crate::template) fn clear(&self) {
        let old = self.own.replace(Some(Box::default()));
        bury_map(old);
    }
}

fn bury_map(map: Option<Box<Map>>) {
    let mut all = Vec::new();
    for (key, value) in map.into_iter().flat_map(|map| *map) {
        all.push(value);
        all.push(key.into_value());
    }
    trash::bury(all);
}

impl Drop for Dict {
    fn drop(&mut self) {
        if let Some(map) = self.own.get_mut().take() {
            bury_map(Some(map));
        }
    }
}

pub(in crate::template) struct Set {
    items: RefCell<IndexSet<Key, Hasher>>,
    is_frozen: bool,
}

impl Set {
    pub(in crate::template) fn new(items: impl IntoIterator<Item = Py>, is_frozen: bool) -> R<Self> {
        let items = items.into_iter().map(Key::new).collect::<R<IndexSet<Key, Hasher>>>()?;
        Ok(Self { items: RefCell::new(items), is_frozen })
    }

    pub(in crate::template) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    pub(in crate::template) fn len(&self) -> usize {
        self.items.borrow().len()
    }

    pub(in crate::template) fn has(&self, value: &Py) -> R<bool> {
        let key = Key::new(value.clone())?;
        Ok(self.items.borrow().contains(&key))
    }

    pub(in crate::template) fn add(&self, value: Py) -> R<()> {
        let key = Key::new(value)?;
        self.items.borrow_mut().insert(key);
        Ok(())
    }

    pub(in crate::template) fn remove(&self, value: &Py) -> R<bool> {
        let key = Key::new(value.clone())?;
        Ok(self.items.borrow_mut().shift_remove(&key))
    }

    pub(in crate::template) fn clear(&self) {
        let old = self.items.take();
        trash::bury(old.into_iter().map(Key::into_value).collect());
    }

    /// The items, in the order in which Python goes through them where that can be known: for small integers.
    pub(in crate::template) fn to_vec(&self) -> Vec<Py> {
        let items = self.items.borrow();
        let numbers: Option<Vec<i64>> = items
            .iter()
            .map(|key| match key.value() {
                Py::Int(number) if (0..1 << 60).contains(number) => Some(*number),
                _ => None,
            })
            .collect();
        match numbers {
            Some(numbers) => python_order(&numbers).into_iter().map(Py::Int).collect(),
            None => items.iter().map(|key| key.value().clone()).collect(),
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        trash::bury(self.items.take().into_iter().map(Key::into_value).collect());
    }
}

/// The order of CPython's table of these numbers, put in one after the other.
fn python_order(numbers: &[i64]) -> Vec<i64> {
    let mut table: Vec<Option<i64>> = vec![None; 8];
    let mut used = 0;
    for number in numbers {
        place(&mut table, *number);
        used += 1;
        let mask = table.len() - 1;
        if used * 5 >= mask * 3 {
            let wanted = if used > 50_000 { used * 2 } else { used * 4 };
            let mut size = 8;
            while size <= wanted {
                size *= 2;
            }
            let old = std::mem::replace(&mut table, vec![None; size]);
            old.into_iter().flatten().for_each(|number| place(&mut table, number));
        }
    }
    table.into_iter().flatten().collect()
}

fn place(table: &mut [Option<i64>], number: i64) {
    let mask = table.len() - 1;
    let hash = number as usize;
    let (mut perturb, mut at) = (hash, hash & mask);
    loop {
        // CPython looks at the next nine slots, when the table goes on for so long, before it jumps.
        let probes = if at + 9 <= mask { 9 } else { 0 };
        if let Some(free) = (at..=at + probes).find(|slot| table[*slot].is_none()) {
            table[free] = Some(number);
            return;
        }
        perturb >>= 5;
        at = at.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb) & mask;
    }
}
