//! What workers have: labels, as texts `name=value` or `name`, and resources, as amounts by name.

use std::collections::BTreeMap;

use taskwright_core::{Labels, Name, Requirement, Resources};
use taskwright_engine::Result;

use crate::read::{Text, invalid};
use crate::write;

/// Amounts of resources as they are read.
pub(crate) type Amounts = BTreeMap<String, u64>;

pub(crate) fn read(texts: &[Text<'_>], resources: &Amounts) -> Result<Labels> {
    let texts = texts.iter().map(|text| &*text.0);
    let mut labels = Labels::parse(texts).map_err(|cause| invalid("labels", cause))?;
    for (resource, amount) in resources {
        labels.set_capacity(resource, *amount).map_err(|cause| invalid("resources", cause))?;
    }
    Ok(labels)
}

pub(crate) fn write(labels: &Labels, object: &mut write::Object<'_>) {
    let resources = labels.capacities();
    let texts = labels.without_resources().texts();
    if !texts.is_empty() {
        object.texts("labels", &texts);
    }
    write_amounts("resources", &resources, object);
}

/// Amounts of resources; their field says what is invalid.
pub(crate) fn read_amounts(field: &str, amounts: &Amounts) -> Result<Resources> {
    let named = amounts.iter().map(|(resource, amount)| {
        let name = Name::new(resource).map_err(|cause| invalid(field, cause))?;
        Ok((name, *amount))
    });
    named.collect()
}

/// Writes amounts of resources, where there are any.
pub(crate) fn write_amounts(key: &str, resources: &Resources, object: &mut write::Object<'_>) {
    if !resources.is_empty() {
        object.object(key, |object| {
            for (name, amount) in resources.iter() {
                object.number(name.as_str(), amount);
            }
        });
    }
}

/// What a job requires that also takes these amounts; `Err`: why not.
pub(crate) fn taking(
    requires: Requirement,
    takes: &Amounts,
) -> Result<Requirement, taskwright_core::InvalidRequirement> {
    let mut taken = takes.iter();
    taken.try_fold(requires, |requires, (resource, amount)| requires.with_taken(resource, *amount))
}
