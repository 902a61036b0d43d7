//! The provisioner of this server: none, a program of the operator's, or a service of the operator's.

mod exec;
mod http;
mod message;
mod reason;
pub mod report;
mod trust;

use std::{future::Future, time::Instant};

use orgs::{
    Failure, ProvisionError, ProvisionOutput, ProvisionRequest, Provisioner, StopReason, Verb,
};

use crate::{
    metrics::ProvisioningMetrics,
    settings::{ProvisionerSettings, Settings},
    traces::Tracer,
};

pub use self::trust::roots as system_roots;
use self::{exec::Exec, http::Http};

/// The provisioner of the settings, with its metrics.
pub struct ChosenProvisioner {
    kind: Kind,
    metrics: ProvisioningMetrics,
}

enum Kind {
    Local,
    Exec(Exec),
    Http(Http),
}

impl ChosenProvisioner {
    pub fn new(
        settings: &Settings,
        metrics: ProvisioningMetrics,
        tracer: &Tracer,
    ) -> anyhow::Result<Self> {
        let kind = match &settings.provisioner {
            ProvisionerSettings::Local => Kind::Local,
            ProvisionerSettings::Exec(exec) => Kind::Exec(Exec::new(exec, &settings.login_url)?),
            ProvisionerSettings::Http(http) => {
                Kind::Http(Http::new(http, &settings.login_url, tracer)?)
            }
        };
        Ok(Self { kind, metrics })
    }
}

impl Provisioner for ChosenProvisioner {
    async fn run(
        &self,
        request: &ProvisionRequest,
        stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        let began = Instant::now();
        let result = match &self.kind {
            Kind::Local => Ok(ProvisionOutput::default()),
            Kind::Exec(exec) => exec.run(request, stop).await,
            Kind::Http(http) => http.run(request).await,
        };
        self.metrics.attempted(request, &result, began.elapsed());
        result
    }

    fn max_concurrency(&self) -> usize {
        match &self.kind {
            Kind::Local => orgs::LocalProvisioner.max_concurrency(),
            Kind::Exec(exec) => exec.at_once(),
            Kind::Http(http) => http.at_once(),
        }
    }
}

/// What an answer hands back. That of a deprovisioning hands back nothing, whatever it is.
fn handed_back(verb: Verb, answer: &[u8]) -> Result<ProvisionOutput, ProvisionError> {
    if verb == Verb::Deprovision {
        return Ok(ProvisionOutput::default());
    }
    ProvisionOutput::parse(answer).map_err(|error| {
        failed(
            "provisioner-output-invalid",
            format!("the answer of the provisioner can't be used: {error}"),
        )
    })
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.to_owned(),
        message: message.into(),
    }
}

fn retry(code: &str, message: impl Into<String>) -> ProvisionError {
    ProvisionError::TryAgain(failure(code, message))
}

fn failed(code: &str, message: impl Into<String>) -> ProvisionError {
    ProvisionError::Failed(failure(code, message))
}
