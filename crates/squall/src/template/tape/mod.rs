//! Values of the application, flat: what is `Serialize` becomes one list of nodes, one text and the names of its structs'
//! fields. A page of 100 rows costs four allocations so, where a value for each row and each text costs 300; and what a
//! template prints goes from here to the page.

mod serialize;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{ArgType, Enumerator, Object, ObjectRepr, Tuple};
use minijinja::{Error, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes a template's value of anything that is `Serialize`; and as an argument of a function, takes anything that is
/// `Deserialize`.
///
/// [`context!`](super::context) does so by itself.
///
/// ```
/// use squall::template::{Serde, Template, Value};
///
/// let page = Template::new("{{ sum(numbers) }}")?;
/// let values = Value::from_pairs([("numbers", Value::from(Serde(&[1, 2, 3])))]);
/// assert_eq!(page.generate(values)?, "6");
/// # Ok::<(), squall::template::TemplateError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Serde<T>(pub T);

impl<T: Serialize> From<Serde<T>> for Value {
    fn from(value: Serde<T>) -> Self {
        serialize::value_of(&value.0)
    }
}

impl<'a, T: DeserializeOwned> ArgType<'a> for Serde<T> {
    type Output = Self;

    fn from_value(value: Option<&'a Value>) -> Result<Self, Error> {
        <minijinja::value::Serde<T> as ArgType<'a>>::from_value(value).map(|value| Self(value.0))
    }
}

/// Nodes, each container's next to each other.
#[derive(Default)]
pub(super) struct Tape {
    nodes: Vec<Node>,
    /// All texts, one behind the other.
    text: String,
    /// The fields of structs.
    shapes: Vec<Vec<&'static str>>,
    maps: Vec<Map>,
    /// What no node can hold.
    values: Vec<Value>,
}

struct Map {
    count: u32,
    /// The keys of a long one, with their places.
    index: Option<HashMap<Value, u32>>,
}

/// Maps that are longer have an index.
const SHORT_MAP: u32 = 12;

#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Where it is in the text.
    Text {
        start: u32,
        end: u32,
    },
    List {
        first: u32,
        count: u32,
    },
    Tuple {
        first: u32,
        count: u32,
    },
    Struct {
        first: u32,
        shape: u32,
    },
    /// Keys and values by turns.
    Map {
        first: u32,
        map: u32,
    },
    Value(u32),
}

/// A list, tuple, struct or map.
#[derive(Clone)]
pub(super) struct Part {
    tape: Arc<Tape>,
    node: Node,
}

/// What a part holds, as it is.
pub(super) enum Item<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Part(Part),
    Value(&'a Value),
}

impl Tape {
    fn text(&self, start: u32, end: u32) -> &str {
        &self.text[start as usize..end as usize]
    }

    fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }

    /// The value, unless it is a container.
    fn scalar(&self, node: Node) -> Option<Value> {
        Some(match node {
            Node::None => ().into(),
            Node::Bool(value) => value.into(),
            Node::Int(value) => value.into(),
            Node::Float(value) => value.into(),
            Node::Text { start, end } => self.text(start, end).into(),
            Node::Value(index) => self.values[index as usize].clone(),
            Node::List { .. } | Node::Tuple { .. } | Node::Struct { .. } | Node::Map { .. } => return None,
        })
    }
}

impl Part {
    pub(super) fn is_tuple(&self) -> bool {
        matches!(self.node, Node::Tuple { .. })
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node, Node::Struct { .. } | Node::Map { .. })
    }

    pub(super) fn len(&self) -> usize {
        let count = match self.node {
            Node::List { count, .. } | Node::Tuple { count, .. } => count,
            Node::Struct { shape, .. } => return self.tape.shapes[shape as usize].len(),
            Node::Map { map, .. } => self.tape.maps[map as usize].count,
            _ => 0,
        };
        count as usize
    }

    /// The values, of a map too.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let (first, step) = match self.node {
            Node::List { first, .. } | Node::Tuple { first, .. } | Node::Struct { first, .. } => (first, 1),
            Node::Map { first, .. } => (first + 1, 2),
            _ => (0, 1),
        };
        (0..self.len() as u32).map(move |at| self.item(self.tape.node(first + step * at)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Item<'_>> {
        (0..self.len()).map(|at| match self.node {
            Node::Struct { shape, .. } => Item::Text(self.tape.shapes[shape as usize][at]),
            Node::Map { first, .. } => self.item(self.tape.node(first + 2 * at as u32)),
            _ => Item::None,
        })
    }

    /// The value of a struct's field or of a map's text.
    #[inline]
    pub(super) fn get_str(&self, key: &str) -> Option<Item<'_>> {
        match self.node {
            Node::Struct { first, shape } => {
                let fields = &self.tape.shapes[shape as usize];
                let at = fields.iter().position(|field| *field == key)?;
                Some(self.item(self.tape.node(first + at as u32)))
            }
            Node::Map { first, map } => {
                let map = &self.tape.maps[map as usize];
                let at = match &map.index {
                    Some(index) => *index.get(&Value::from(key))?,
                    // Of equal keys the last one counts.
                    None => (0..map.count).rev().find(|at| match self.tape.node(first + 2 * at) {
                        Node::Text { start, end } => self.tape.text(start, end) == key,
                        _ => false,
                    })?,
                };
                Some(self.item(self.tape.node(first + 2 * at + 1)))
            }
            _ => None,
        }
    }

    fn get(&self, key: &Value) -> Option<Value> {
        if self.is_map() {
            return match (key.as_str(), self.node) {
                (Some(key), _) => self.get_str(key).map(Value::from),
                (None, Node::Map { first, map }) => {
                    let map = &self.tape.maps[map as usize];
                    let at = match &map.index {
                        Some(index) => index.get(key).copied(),
                        None => self.keys().position(|known| Value::from(known) == *key).map(|at| at as u32),
                    };
                    at.map(|at| Value::from(self.item(self.tape.node(first + 2 * at + 1))))
                }
                _ => None,
            };
        }
        let (Node::List { first, count } | Node::Tuple { first, count }) = self.node else { return None };
        let at = u32::try_from(key.as_usize()?).ok().filter(|at| *at < count)?;
        Some(self.item(self.tape.node(first + at)).into())
    }

    #[inline]
    fn item(&self, node: Node) -> Item<'_> {
        match node {
            Node::None => Item::None,
            Node::Bool(value) => Item::Bool(value),
            Node::Int(value) => Item::Int(value),
            Node::Float(value) => Item::Float(value),
            Node::Text { start, end } => Item::Text(self.tape.text(start, end)),
            Node::Value(index) => Item::Value(&self.tape.values[index as usize]),
            _ => Item::Part(Self { tape: Arc::clone(&self.tape), node }),
        }
    }
}

impl From<Item<'_>> for Value {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::None => Self::from(()),
            Item::Bool(value) => value.into(),
            Item::Int(value) => value.into(),
            Item::Float(value) => value.into(),
            Item::Text(text) => text.into(),
            Item::Part(part) => part.into(),
            Item::Value(value) => value.clone(),
        }
    }
}

impl From<Part> for Value {
    fn from(part: Part) -> Self {
        if part.is_tuple() {
            // The one kind that the engine of Jinja files wants to know.
            return Self::from(Tuple::new(part.items().map(Self::from).collect()));
        }
        Self::from_object(part)
    }
}

impl Object for Part {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_map() { ObjectRepr::Map } else { ObjectRepr::Seq }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get_str(key).map(Value::from)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.is_map() {
            Enumerator::Values(self.keys().map(Value::from).collect())
        } else {
            Enumerator::Seq(self.len())
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.len())
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("len", &self.len()).finish_non_exhaustive()
    }
}
