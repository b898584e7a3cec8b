//! Configuration written.

use core::time::Duration;

use serde::{
    Serialize, Serializer,
    ser::{SerializeStruct, SerializeTuple},
};

use super::{CURVE, NAMED, POLICY, PolicyConfig, duration::Text};
use crate::{backoff::Backoff, jitter::Jitter};

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value, or `"none"`.
struct OrNone<V>(Option<V>);

impl<V: Serialize> Serialize for OrNone<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str("none"),
        }
    }
}

fn limit(limit: Duration) -> OrNone<Text> {
    OrNone((limit < Duration::MAX).then_some(Text(limit)))
}

impl Serialize for Jitter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some((name, _)) = NAMED.iter().find(|(_, named)| named == self) {
            return serializer.serialize_str(name);
        }
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.low())?;
        pair.serialize_element(&self.high())?;
        pair.end()
    }
}

fn curve<S: SerializeStruct>(table: &mut S, backoff: &Backoff) -> Result<(), S::Error> {
    table.serialize_field("initial_delay", &Text(backoff.get_initial_delay()))?;
    table.serialize_field("factor", &backoff.get_factor())?;
    table.serialize_field("max_delay", &OrNone(backoff.get_max_delay().map(Text)))?;
    table.serialize_field("jitter", &backoff.get_jitter())?;
    table.serialize_field("immediate_retry", &backoff.get_immediate_retry())
}

impl Serialize for Backoff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_struct("Backoff", CURVE.len())?;
        curve(&mut table, self)?;
        table.end()
    }
}

impl Serialize for PolicyConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let max_retries = (self.max_retries < u32::MAX).then_some(self.max_retries);
        let mut table = serializer.serialize_struct("PolicyConfig", POLICY.len())?;
        curve(&mut table, &self.backoff)?;
        table.serialize_field("max_retries", &OrNone(max_retries))?;
        table.serialize_field("max_elapsed", &limit(self.max_elapsed))?;
        table.serialize_field("max_retry_after", &limit(self.max_retry_after))?;
        table.end()
    }
}
