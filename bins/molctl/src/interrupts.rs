//! What is said and printed when a signal ends a command.

use std::{cell::RefCell, future::Future, rc::Rc};

use tokio::signal::unix::{SignalKind, signal};

use crate::{failure::Failure, output::Output};

/// What goes on at the server while a command waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct GoesOn(Rc<RefCell<Option<Work>>>);

#[derive(Debug)]
struct Work {
    text: String,
    /// What the command has to show by now.
    resource: serde_json::Value,
}

impl GoesOn {
    /// From now on an interrupt prints this resource, and says this.
    pub(crate) fn set(&self, resource: &impl serde::Serialize, text: String) {
        let resource = serde_json::to_value(resource).unwrap_or_default();
        self.0.replace(Some(Work { text, resource }));
    }
}

/// Runs a command until it ends or a signal comes: exit code 130 after an interrupt, 143 after SIGTERM.
pub(crate) async fn run(
    output: Output,
    goes_on: GoesOn,
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::Local(format!("Signals can't be awaited: {error}.")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let code = tokio::select! {
        result = command => return result,
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    let text = match goes_on.0.take() {
        None => "Interrupted.".to_owned(),
        Some(work) => {
            if !work.resource.is_null() {
                output.one(&work.resource)?;
            }
            format!("Interrupted. {}", work.text)
        }
    };
    Err(Failure::Interrupted(code, text))
}
