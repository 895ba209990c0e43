//! Labels of workers, as texts `name=value` or `name`.

use taskwright_core::Labels;
use taskwright_engine::Result;

use crate::read::{Text, invalid};
use crate::write;

pub(crate) fn read(texts: &[Text<'_>]) -> Result<Labels> {
    Labels::parse(texts.iter().map(|text| &*text.0)).map_err(|cause| invalid("labels", cause))
}

pub(crate) fn write(labels: &Labels, object: &mut write::Object<'_>) {
    if !labels.is_empty() {
        object.texts("labels", &labels.texts());
    }
}
