//! The peppers of the settings and of the data folder.

mod file;
mod readings;

use keys::{Pepper, Peppers};

pub use self::readings::PepperReadings;
use crate::settings::Settings;

/// The peppers of the settings and the file. `stored` is the check value in the database.
///
/// When there is neither and the database has no check value, a pepper is made; with a database that
/// knows a pepper already, that would lock out every key, so it is an error instead.
pub fn load(settings: &Settings, stored: Option<&str>) -> anyhow::Result<Peppers> {
    let is_stored = |pepper: &Pepper| stored.is_some_and(|stored| stored == pepper.check_value());
    let from_file;
    let current = match &settings.pepper {
        Some(readings) => readings,
        None => {
            from_file =
                file::read_or_generate(&settings.data_dir.join("pepper"), stored.is_none())?;
            &from_file
        }
    };
    Ok(Peppers::new(
        current.pick(is_stored),
        settings
            .retired_peppers
            .iter()
            .map(|readings| readings.pick(is_stored)),
    ))
}
