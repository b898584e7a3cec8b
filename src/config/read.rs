//! Configuration read.

use core::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Unexpected, Visitor},
};

use super::{CURVE, NAMED, POLICY, PolicyConfig, duration};
use crate::{backoff::Backoff, jitter::Jitter};

impl<'de> Deserialize<'de> for PolicyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("PolicyConfig", POLICY, Table(POLICY))
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = deserializer.deserialize_struct("Backoff", CURVE, Table(CURVE));
        table.map(|config| config.backoff)
    }
}

impl<'de> Deserialize<'de> for Jitter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut config = PolicyConfig::DEFAULT;
        let setting = Setting {
            key: "jitter",
            config: &mut config,
        };
        setting.deserialize(deserializer)?;
        Ok(config.backoff.get_jitter())
    }
}

/// A table of settings with these keys.
struct Table(&'static [&'static str]);

impl<'de> Visitor<'de> for Table {
    type Value = PolicyConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table with keys of {:?}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PolicyConfig, A::Error> {
        let mut config = PolicyConfig::DEFAULT;
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(Key(self.0))? {
            if seen.contains(&key) {
                return Err(Error::duplicate_field(key));
            }
            seen.push(key);
            map.next_value_seed(Setting {
                key,
                config: &mut config,
            })?;
        }
        Ok(config)
    }
}

/// One of these keys.
#[derive(Clone, Copy)]
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of {:?}", self.0)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let known = self.0.iter().find(|key| **key == name);
        known.copied().ok_or_else(|| E::unknown_field(name, self.0))
    }
}

/// The value of a key, which goes into a configuration.
struct Setting<'a> {
    key: &'static str,
    config: &'a mut PolicyConfig,
}

impl<'de> DeserializeSeed<'de> for Setting<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.key {
            "factor" => deserializer.deserialize_f64(self),
            "immediate_retry" => deserializer.deserialize_bool(self),
            // A number or a text, a text or a list.
            "max_retries" | "jitter" => deserializer.deserialize_any(self),
            _ => deserializer.deserialize_str(self),
        }
    }
}

impl<'de> Visitor<'de> for Setting<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.key {
            "initial_delay" => r#"a duration such as "1m 30s""#,
            "factor" => "a number, finite and at least 1",
            "jitter" => JITTER,
            "immediate_retry" => "true or false",
            "max_retries" => r#"a whole number or "none""#,
            _ => r#"a duration such as "1m 30s" or "none""#,
        };
        write!(f, "{} to be {rule}", self.key)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if self.key != "immediate_retry" {
            return Err(E::invalid_type(Unexpected::Bool(value), &self));
        }
        self.config.backoff = self.config.backoff.immediate_retry(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match (self.key, u32::try_from(value)) {
            ("factor", _) => return self.visit_f64(value as f64),
            ("max_retries", Ok(value)) => self.config.max_retries = value,
            _ => return Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if self.key != "factor" {
            return Err(E::invalid_type(Unexpected::Float(value), &self));
        }
        let backoff = self.config.backoff.try_factor(value);
        self.config.backoff = backoff.map_err(E::custom)?;
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let key = self.key;
        let duration = || {
            duration::parse(text).map_err(|fault| {
                E::custom(format_args!("{key}: invalid duration {text:?}: {fault}"))
            })
        };
        // No limit is the greatest one.
        let limit = || {
            if text == "none" {
                Ok(Duration::MAX)
            } else {
                duration()
            }
        };
        let named = NAMED.iter().find(|(name, _)| *name == text);
        let backoff = self.config.backoff;
        match (key, named) {
            ("initial_delay", _) => self.config.backoff = backoff.initial_delay(duration()?),
            ("max_delay", _) => self.config.backoff = backoff.max_delay(limit()?),
            ("max_elapsed", _) => self.config.max_elapsed = limit()?,
            ("max_retry_after", _) => self.config.max_retry_after = limit()?,
            ("max_retries", _) if text == "none" => self.config.max_retries = u32::MAX,
            ("jitter", Some((_, jitter))) => self.config.backoff = backoff.jitter(*jitter),
            _ => return Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.key != "jitter" {
            return Err(Error::invalid_type(Unexpected::Seq, &self));
        }
        let (mut bounds, mut count) = ([0.0; 2], 0);
        while let Some(bound) = list.next_element_seed(Bound)? {
            if let Some(place) = bounds.get_mut(count) {
                *place = bound;
            }
            count += 1;
        }
        if count != 2 {
            return Err(Error::invalid_length(count, &self));
        }
        let jitter = Jitter::try_between(bounds[0], bounds[1]).map_err(Error::custom)?;
        self.config.backoff = self.config.backoff.jitter(jitter);
        Ok(())
    }

    /// A number of `serde_json` with its feature `arbitrary_precision`, which hides it in
    /// a map from everybody who would take other things too.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let entry = map.next_entry::<String, String>().ok().flatten();
        let digits = entry.filter(|(key, _)| key == "$serde_json::private::Number");
        match digits.map(|(_, digits)| digits.parse()) {
            Some(Ok(count)) if self.key == "max_retries" => self.config.max_retries = count,
            _ => return Err(Error::invalid_type(Unexpected::Map, &self)),
        }
        Ok(())
    }
}

const JITTER: &str = r#""none", "spread", "equal", "full" or two numbers [low, high]"#;

/// A bound of a jitter.
struct Bound;

impl<'de> DeserializeSeed<'de> for Bound {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_f64(self)
    }
}

impl Visitor<'_> for Bound {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jitter to be {JITTER}")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }
}
