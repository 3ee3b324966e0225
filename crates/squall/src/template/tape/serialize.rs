//! Writes tapes.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::Serde as EngineSerde;
use minijinja::{Error as EngineError, ErrorKind, Value};
use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{Item, Map, Node, Part, SHORT_MAP, Tape};

/// The value. What cannot be serialized is an error when a template looks at it.
pub(super) fn value_of<T: Serialize + ?Sized>(value: &T) -> Value {
    let made = Cell::new(None);
    // Within the engine's own serialization its values hand themselves over as what they are: functions, dates.
    let _ = Value::from(EngineSerde(Within { value, made: &made }));
    made.take().unwrap_or_default()
}

struct Within<'a, T: ?Sized> {
    value: &'a T,
    made: &'a Cell<Option<Value>>,
}

impl<T: Serialize + ?Sized> Serialize for Within<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut writer = Writer::default();
        let node = writer.node(self.value);
        let root = Part { tape: Arc::new(writer.tape), node };
        let value = match root.item(node) {
            Item::Part(_) => root.into(),
            item => item.into(),
        };
        self.made.set(Some(value));
        serializer.serialize_unit()
    }
}

#[derive(Default)]
struct Writer {
    tape: Tape,
    /// The names of the structs whose shapes the tape has.
    names: Vec<&'static str>,
    /// What the containers that are being written hold so far.
    open: Vec<Node>,
}

impl Writer {
    /// The node of a value. The containers in it are on the tape then.
    fn node<T: Serialize + ?Sized>(&mut self, value: &T) -> Node {
        let open = self.open.len();
        value.serialize(&mut *self).unwrap_or_else(|Invalid(message)| {
            self.open.truncate(open);
            self.value(EngineError::new(ErrorKind::BadSerialization, message).into())
        })
    }

    fn add<T: Serialize + ?Sized>(&mut self, value: &T) {
        let node = self.node(value);
        self.open.push(node);
    }

    /// What no node can hold.
    fn value(&mut self, value: Value) -> Node {
        self.tape.values.push(value);
        // More than 2³² are more than a machine's memory.
        Node::Value(self.tape.values.len() as u32 - 1)
    }

    /// Puts what was opened since onto the tape.
    fn close(&mut self, open: usize) -> Result<(u32, u32), Invalid> {
        let first = place(self.tape.nodes.len())?;
        let count = place(self.open.len() - open)?;
        place(self.tape.nodes.len() + count as usize)?;
        self.tape.nodes.extend(self.open.drain(open..));
        Ok((first, count))
    }

    fn list(&mut self, length: usize) -> Container<'_> {
        self.open.reserve(length.min(1 << 16));
        Container { open: self.open.len(), variant: None, writer: self }
    }

    /// `{variant: node}`
    fn variant(&mut self, variant: &'static str, node: Node) -> Result<Node, Invalid> {
        self.open.push(node);
        let (first, _) = self.close(self.open.len() - 1)?;
        Ok(Node::Struct { first, shape: self.shape(variant, vec![variant])? })
    }

    /// The shape of these fields.
    fn shape(&mut self, name: &'static str, fields: Vec<&'static str>) -> Result<u32, Invalid> {
        /// Structs that leave out some of their fields have many shapes.
        const LOOKED_AT: usize = 8;
        let shapes = &mut self.tape.shapes;
        let known = shapes.iter().enumerate().rev().take(LOOKED_AT).find(|(_, known)| **known == fields);
        if let Some((known, _)) = known {
            return place(known);
        }
        shapes.push(fields);
        self.names.push(name);
        place(shapes.len() - 1)
    }
}

fn place(place: usize) -> Result<u32, Invalid> {
    u32::try_from(place).map_err(|_| Invalid("the value is too large".to_owned()))
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = Node;
    type Error = Invalid;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Tuple<'a>;
    type SerializeTupleStruct = TupleStruct<'a>;
    type SerializeTupleVariant = Container<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    fn serialize_bool(self, value: bool) -> Result<Node, Invalid> {
        Ok(Node::Bool(value))
    }

    fn serialize_i8(self, value: i8) -> Result<Node, Invalid> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Node, Invalid> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Node, Invalid> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<Node, Invalid> {
        Ok(Node::Int(value))
    }

    fn serialize_i128(self, value: i128) -> Result<Node, Invalid> {
        Ok(i64::try_from(value).map_or_else(|_| self.value(value.into()), Node::Int))
    }

    fn serialize_u8(self, value: u8) -> Result<Node, Invalid> {
        self.serialize_i64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<Node, Invalid> {
        self.serialize_i64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<Node, Invalid> {
        self.serialize_i64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<Node, Invalid> {
        Ok(i64::try_from(value).map_or_else(|_| self.value(value.into()), Node::Int))
    }

    fn serialize_u128(self, value: u128) -> Result<Node, Invalid> {
        Ok(i64::try_from(value).map_or_else(|_| self.value(value.into()), Node::Int))
    }

    fn serialize_f32(self, value: f32) -> Result<Node, Invalid> {
        Ok(Node::Float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Node, Invalid> {
        Ok(Node::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Node, Invalid> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Node, Invalid> {
        let start = place(self.tape.text.len())?;
        let end = place(self.tape.text.len() + value.len())?;
        self.tape.text.push_str(value);
        Ok(Node::Text { start, end })
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Node, Invalid> {
        Ok(self.value(Value::from_bytes(value.to_vec())))
    }

    fn serialize_none(self) -> Result<Node, Invalid> {
        Ok(Node::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, Invalid> {
        Ok(self.node(value))
    }

    fn serialize_unit(self) -> Result<Node, Invalid> {
        Ok(Node::None)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Node, Invalid> {
        Ok(Node::None)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Node, Invalid> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Node, Invalid> {
        Ok(self.node(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Node, Invalid> {
        let node = self.node(value);
        self.variant(variant, node)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Container<'a>, Invalid> {
        Ok(self.list(length.unwrap_or(0)))
    }

    fn serialize_tuple(self, length: usize) -> Result<Tuple<'a>, Invalid> {
        Ok(Tuple(self.list(length)))
    }

    fn serialize_tuple_struct(self, name: &'static str, length: usize) -> Result<TupleStruct<'a>, Invalid> {
        Ok(TupleStruct { writer: self, name, values: Vec::with_capacity(length.min(16)) })
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Container<'a>, Invalid> {
        Ok(Container { variant: Some(variant), ..self.list(length) })
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'a>, Invalid> {
        Ok(Entries { open: self.open.len(), writer: self })
    }

    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<Fields<'a>, Invalid> {
        Ok(Fields::new(self, name, None))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, Invalid> {
        Ok(Fields::new(self, variant, Some(variant)))
    }
}

/// A list, or the fields of an enum's tuple variant.
struct Container<'a> {
    writer: &'a mut Writer,
    open: usize,
    variant: Option<&'static str>,
}

impl SerializeSeq for Container<'_> {
    type Ok = Node;
    type Error = Invalid;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        self.writer.add(value);
        Ok(())
    }

    fn end(self) -> Result<Node, Invalid> {
        let (first, count) = self.writer.close(self.open)?;
        let list = Node::List { first, count };
        match self.variant {
            Some(variant) => self.writer.variant(variant, list),
            None => Ok(list),
        }
    }
}

impl SerializeTupleVariant for Container<'_> {
    type Ok = Node;
    type Error = Invalid;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        self.serialize_element(value)
    }

    fn end(self) -> Result<Node, Invalid> {
        SerializeSeq::end(self)
    }
}

struct Tuple<'a>(Container<'a>);

impl SerializeTuple for Tuple<'_> {
    type Ok = Node;
    type Error = Invalid;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        SerializeSeq::serialize_element(&mut self.0, value)
    }

    fn end(self) -> Result<Node, Invalid> {
        let (first, count) = self.0.writer.close(self.0.open)?;
        Ok(Node::Tuple { first, count })
    }
}

/// A tuple struct: one of the engine's values is handed over as such, under a name that only the engine knows. So the engine
/// makes a value of all of them.
struct TupleStruct<'a> {
    writer: &'a mut Writer,
    name: &'static str,
    values: Vec<Value>,
}

impl SerializeTupleStruct for TupleStruct<'_> {
    type Ok = Node;
    type Error = Invalid;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        self.values.push(value_of(value));
        Ok(())
    }

    fn end(self) -> Result<Node, Invalid> {
        struct Same(&'static str, Vec<Value>);
        impl Serialize for Same {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut same = serializer.serialize_tuple_struct(self.0, self.1.len())?;
                self.1.iter().try_for_each(|value| same.serialize_field(value))?;
                same.end()
            }
        }
        let value = Value::from(EngineSerde(Same(self.name, self.values)));
        Ok(self.writer.value(value))
    }
}

struct Entries<'a> {
    writer: &'a mut Writer,
    open: usize,
}

impl SerializeMap for Entries<'_> {
    type Ok = Node;
    type Error = Invalid;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Invalid> {
        self.writer.add(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Invalid> {
        self.writer.add(value);
        Ok(())
    }

    fn end(self) -> Result<Node, Invalid> {
        let writer = self.writer;
        let (first, count) = writer.close(self.open)?;
        let map = place(writer.tape.maps.len())?;
        writer.tape.maps.push(Map { count: count / 2, index: None });
        if count / 2 > SHORT_MAP {
            let tape = &writer.tape;
            let keys = (0..count / 2).filter_map(|at| Some((tape.scalar(tape.node(first + 2 * at))?, at)));
            let index: HashMap<Value, u32> = keys.collect();
            writer.tape.maps[map as usize].index = Some(index);
        }
        Ok(Node::Map { first, map })
    }
}

/// The fields of a struct, or of an enum's struct variant.
struct Fields<'a> {
    writer: &'a mut Writer,
    open: usize,
    name: &'static str,
    variant: Option<&'static str>,
    /// The shape that it has as far as is known: the last one of this name.
    like: Option<u32>,
    fields: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn new(writer: &'a mut Writer, name: &'static str, variant: Option<&'static str>) -> Self {
        let like = writer.names.iter().rposition(|known| std::ptr::eq(*known, name));
        let like = like.and_then(|like| u32::try_from(like).ok());
        Self { open: writer.open.len(), name, variant, like, fields: Vec::new(), writer }
    }

    fn add<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) {
        match self.like {
            Some(like) => {
                let fields = &self.writer.tape.shapes[like as usize];
                let at = self.writer.open.len() - self.open;
                if fields.get(at).is_none_or(|known| !std::ptr::eq(*known, field)) {
                    self.fields = fields[..at.min(fields.len())].to_vec();
                    self.fields.push(field);
                    self.like = None;
                }
            }
            None => self.fields.push(field),
        }
        self.writer.add(value);
    }

    fn finish(self) -> Result<Node, Invalid> {
        let writer = self.writer;
        let (first, count) = writer.close(self.open)?;
        let shape = match self.like {
            Some(like) if writer.tape.shapes[like as usize].len() == count as usize => like,
            Some(like) => {
                let fields = writer.tape.shapes[like as usize][..count as usize].to_vec();
                writer.shape(self.name, fields)?
            }
            None => writer.shape(self.name, self.fields)?,
        };
        let node = Node::Struct { first, shape };
        match self.variant {
            Some(variant) => writer.variant(variant, node),
            None => Ok(node),
        }
    }
}

macro_rules! as_fields {
    ($($of:ident)*) => {$(
        impl $of for Fields<'_> {
            type Ok = Node;
            type Error = Invalid;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                field: &'static str,
                value: &T,
            ) -> Result<(), Invalid> {
                self.add(field, value);
                Ok(())
            }

            fn end(self) -> Result<Node, Invalid> {
                self.finish()
            }
        }
    )*};
}

as_fields!(SerializeStruct SerializeStructVariant);

/// What a `Serialize` says that it cannot.
#[derive(Debug)]
pub(super) struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl ser::Error for Invalid {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
