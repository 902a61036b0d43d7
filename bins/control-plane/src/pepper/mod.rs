//! The peppers of the settings and of the data folder.

mod file;
mod readings;

use keys::{Pepper, Peppers};

pub use self::readings::PepperReadings;
use crate::{commands::Known, settings::Settings};

/// The peppers of the settings and the file, in the reading that the database knows.
///
/// Without any, a pepper may be generated for an empty database. For another database that is an error: a new
/// pepper would lock out every key.
pub fn load(settings: &Settings, known: &Known, may_generate: bool) -> anyhow::Result<Peppers> {
    let is_current = |pepper: &Pepper| known.check.as_ref() == Some(&pepper.check_value());
    let is_known = |pepper: &Pepper| is_current(pepper) || known.ids.contains(&pepper.id());
    let from_file;
    let current = match &settings.pepper {
        Some(readings) => readings,
        None => {
            let may_generate = may_generate && known.check.is_none();
            from_file = file::read_or_generate(&settings.data_dir.join("pepper"), may_generate)?;
            &from_file
        }
    };
    let retired = settings.retired_peppers.iter();
    Ok(Peppers::new(
        current.pick(is_known),
        retired.map(|readings| readings.pick(is_known)),
    ))
}
