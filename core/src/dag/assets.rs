//! `inlets` and `outlets` of a task: the assets that it reads and makes.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest name or URI, as Airflow has it.
const LONGEST: usize = 1_500;

/// Assets of one list.
const ASSETS_MOST: usize = 100;

/// Something that tasks make and others read, known by its name and its URI together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    pub name: String,
    pub uri: String,
    pub group: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// An asset as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssetKeys {
    /// As the URI, if absent.
    name: Option<String>,
    /// As the name, if absent.
    uri: Option<String>,
    /// `asset`, if absent.
    group: Option<String>,
    /// Whatever else is to be said of it.
    #[serde(default)]
    extra: Map<String, Value>,
}

/// One of a list: a URI, or a map.
struct RawAsset(Asset);

/// A list of assets.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawAssets(pub(crate) Vec<Asset>);

impl<'de> Deserialize<'de> for RawAsset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RawAsset;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URI, or {name: …, uri: …}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawAsset, E> {
                let uri = Some(text.to_owned());
                asset(AssetKeys { uri, name: None, group: None, extra: Map::new() }).map(RawAsset)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawAsset, A::Error> {
                asset(AssetKeys::deserialize(MapAccessDeserializer::new(map))?).map(RawAsset)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl<'de> Deserialize<'de> for RawAssets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RawAssets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of assets, each a URI or {name: …, uri: …}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawAssets, A::Error> {
                let mut all: Vec<Asset> = Vec::new();
                while let Some(RawAsset(asset)) = items.next_element()? {
                    if all.iter().any(|it| it.is(&asset)) {
                        let message = format!("the asset {:?} is there twice", asset.name);
                        return Err(de::Error::custom(message));
                    }
                    all.push(asset);
                }
                if all.len() > ASSETS_MOST {
                    let message = format!("a list has {ASSETS_MOST} assets at most");
                    return Err(de::Error::custom(message));
                }
                Ok(RawAssets(all))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Asset {
    /// Whether both are the same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, &self.uri) == (&other.name, &other.uri)
    }
}

fn asset<E: de::Error>(keys: AssetKeys) -> Result<Asset, E> {
    let Some(uri) = keys.uri.clone().or_else(|| keys.name.clone()) else {
        return Err(E::custom("an asset has a \"name\", a \"uri\", or both"));
    };
    let name = keys.name.unwrap_or_else(|| uri.clone());
    let group = keys.group.unwrap_or_else(|| "asset".to_owned());
    for (what, text) in [("name", &name), ("uri", &uri), ("group", &group)] {
        if let Some(why) = problem(text) {
            return Err(E::custom(format!("the {what} of an asset {why}")));
        }
    }
    if keys.uri.is_some() && uri.contains(char::is_whitespace) {
        return Err(E::custom(format!("{uri:?} is no URI: it has a blank")));
    }
    Ok(Asset { name, uri, group, extra: keys.extra })
}

/// What keeps a text from naming an asset.
fn problem(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is empty".to_owned());
    }
    if text.contains("{{") {
        return Some("can't be a template: it is known before the run".to_owned());
    }
    if text.contains(char::is_control) {
        return Some("has a character that nobody sees".to_owned());
    }
    (text.len() > LONGEST).then(|| format!("is longer than {LONGEST} bytes"))
}

impl JsonSchema for RawAssets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Assets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = generator.subschema_for::<AssetKeys>();
        json_schema!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, keys] } })
    }
}
