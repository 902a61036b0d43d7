//! The keys of issuers over HTTP, by the sender that checks addresses.
//!
//! OpenID Connect Discovery 1.0: the issuer's configuration says where its keys are. A redirect is not followed: it
//! could lead anywhere.

use std::time::Duration;

use ids::PartnerId;
use issuer_keys::KeySet;
use serde::Deserialize;
use service::IssuerClient;
use trust::{Issuer, IssuerPolicy};
use webhooks::AddressPolicy;

use crate::{
    metrics::ExchangeMetrics,
    webhooks::{BodyLimits, HttpSender},
};

/// The largest document.
const MAX_DOCUMENT: usize = 1024 * 1024;
/// For the body of one document.
const BODY_TIMEOUT: Duration = Duration::from_secs(4);

pub struct HttpIssuerClient {
    sender: HttpSender,
    policy: IssuerPolicy,
    metrics: ExchangeMetrics,
}

/// The part of an issuer's configuration that is read.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl HttpIssuerClient {
    pub fn new(policy: IssuerPolicy, metrics: ExchangeMetrics) -> anyhow::Result<Self> {
        let reach = match policy {
            IssuerPolicy::Https => AddressPolicy::Public,
            IssuerPolicy::AnyScheme => AddressPolicy::Anywhere,
        };
        Ok(Self {
            sender: HttpSender::new(reach)?,
            policy,
            metrics,
        })
    }

    async fn document(&self, partner: PartnerId, url: &str) -> Result<Vec<u8>, String> {
        let limits = BodyLimits {
            // One byte more than is allowed tells that there is more.
            bytes: MAX_DOCUMENT + 1,
            within: BODY_TIMEOUT,
        };
        let received = self.sender.get(partner, url, limits).await?;
        match received.status_code {
            200 if received.body.len() > MAX_DOCUMENT => {
                Err("its answer is larger than 1 MiB".to_owned())
            }
            200 if !received.is_whole => Err("its answer was cut off".to_owned()),
            200 => Ok(received.body),
            300..=399 => Err("it redirects, which is not followed".to_owned()),
            status => Err(format!("it answered with status {status}")),
        }
    }

    async fn keys(&self, issuer: &Issuer, partner: PartnerId) -> Result<KeySet, String> {
        let document = self.document(partner, &issuer.discovery_url()).await?;
        let configuration: Configuration = serde_json::from_slice(&document)
            .map_err(|_| "its configuration has no issuer and no jwks_uri".to_owned())?;
        if configuration.issuer != issuer.as_str() {
            return Err("its configuration is that of another issuer".to_owned());
        }
        let is_allowed = configuration.jwks_uri.starts_with("https://")
            || self.policy == IssuerPolicy::AnyScheme;
        if !is_allowed {
            return Err("its jwks_uri is not https".to_owned());
        }
        let document = self.document(partner, &configuration.jwks_uri).await?;
        KeySet::read(&document).map_err(|error| error.to_string())
    }
}

impl IssuerClient for HttpIssuerClient {
    async fn fetch(&self, issuer: &Issuer, partner: PartnerId) -> Result<KeySet, String> {
        let keys = self.keys(issuer, partner).await;
        self.metrics.fetched(keys.is_ok());
        keys
    }
}
