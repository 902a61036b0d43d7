//! The bytes of a pepper, as this version and earlier ones read a text.

use keys::{InvalidPepper, Pepper};

/// One newline at the end is not part of a pepper. Earlier versions took a newline in the environment as part
/// of it, and trimmed all white space in the file. The check value of a database tells which reading is its.
#[derive(Clone)]
pub struct PepperReadings {
    today: Pepper,
    earlier: Vec<Pepper>,
}

impl PepperReadings {
    /// The readings of a text from which one newline has been dropped.
    ///
    /// # Errors
    /// When none of them is long enough.
    pub fn of(text: &str) -> Result<Self, InvalidPepper> {
        let earlier = [
            text.trim().to_owned(),
            format!("{text}\n"),
            format!("{text}\r\n"),
        ];
        Ok(Self {
            today: Pepper::new(text)?,
            earlier: earlier
                .into_iter()
                .filter(|reading| reading != text)
                .filter_map(|reading| Pepper::new(reading).ok())
                .collect(),
        })
    }

    /// The first reading that is known, else that of this version.
    pub fn pick(&self, is_known: impl Fn(&Pepper) -> bool) -> Pepper {
        let all = std::iter::once(&self.today).chain(&self.earlier);
        let mut known = all.filter(|pepper| is_known(pepper));
        known.next().unwrap_or(&self.today).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a-pepper-of-thirty-two-bytes-or-more";

    #[track_caller]
    fn check(written: &str, made_with: &str) {
        let made_with = Pepper::new(made_with).unwrap().check_value();
        let readings = PepperReadings::of(written).unwrap();
        let picked = readings.pick(|pepper| pepper.check_value() == made_with);
        assert_eq!(picked.check_value(), made_with, "{written:?}");
    }

    #[test]
    fn a_database_of_an_earlier_version_finds_its_reading() {
        check(TEXT, TEXT);
        check(TEXT, &format!("{TEXT}\n"));
        check(TEXT, &format!("{TEXT}\r\n"));
        check(&format!("  {TEXT}\n"), TEXT);
    }

    #[test]
    fn a_new_database_takes_the_text_as_it_is() {
        let picked = PepperReadings::of(TEXT).unwrap().pick(|_| false);
        assert_eq!(
            picked.check_value(),
            Pepper::new(TEXT).unwrap().check_value()
        );
        assert!(PepperReadings::of("short").is_err());
    }
}
