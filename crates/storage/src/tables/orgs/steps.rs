//! The steps of an org as they stand in its row: one value, for they are read and written together.

use orgs::{Step, StepName, StepStatus};
use stores::StoreError;

use crate::tables::values;

/// [`StepName::Deprovision`] before it has begun, as an item of the value.
pub(super) const PENDING_DEPROVISION: &str = r#"["deprovision","pending",0,null,null]"#;

/// A step: its name, status and attempts, when it began and when it ended.
type Item<'a> = (&'a str, &'a str, u32, Option<i64>, Option<i64>);

/// Steps as a JSON array; the last character is its bracket.
pub(super) fn text(steps: &[Step]) -> String {
    let mut text = String::with_capacity(2 + steps.len() * 80);
    let mut digits = itoa::Buffer::new();
    text.push('[');
    for (n, step) in steps.iter().enumerate() {
        // Names and statuses are plain words, which stand in JSON as they are.
        text.push_str(if n == 0 { "[\"" } else { ",[\"" });
        text.push_str(step.name.as_str());
        text.push_str("\",\"");
        text.push_str(step.status.as_str());
        text.push_str("\",");
        text.push_str(digits.format(step.attempts));
        for at in [step.started_at, step.finished_at] {
            text.push(',');
            text.push_str(at.map_or("null", |at| digits.format(values::micros(at))));
        }
        text.push(']');
    }
    text.push(']');
    text
}

/// Steps from a JSON array.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, StoreError> {
    let items: Vec<Item<'_>> =
        serde_json::from_str(text).map_err(|_| values::corrupt("the steps of an org"))?;
    items.into_iter().map(step).collect()
}

fn step((name, status, attempts, started_at, finished_at): Item<'_>) -> Result<Step, StoreError> {
    Ok(Step {
        name: StepName::parse(name).ok_or(values::corrupt("the name of a step"))?,
        status: StepStatus::parse(status).ok_or(values::corrupt("the status of a step"))?,
        attempts,
        started_at: values::optional_time(started_at, "the start of a step")?,
        finished_at: values::optional_time(finished_at, "the end of a step")?,
    })
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn steps_come_back_as_they_were() {
        let mut begun = Step::pending(StepName::Provision);
        begun.begin(OffsetDateTime::UNIX_EPOCH);
        let steps = [begun, Step::pending(StepName::Workspace)];
        assert_eq!(parse(&text(&steps)).unwrap(), steps);
        assert_eq!(parse(&text(&[])).unwrap(), []);
    }

    #[test]
    fn the_step_that_is_added_in_the_database_is_the_one_that_is_written() {
        let step = Step::pending(StepName::Deprovision);
        assert_eq!(text(&[step]), format!("[{PENDING_DEPROVISION}]"));
    }

    #[test]
    fn what_is_no_list_of_steps_is_corrupt() {
        for text in ["", "{}", "[1]", r#"[["dance","pending",0,null,null]]"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
