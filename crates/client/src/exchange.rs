//! The exchange of a pipeline's token for a key, and where such a token comes from.

use api::client::{ExchangedToken, Secret};
use ids::TrustRuleId;
use reqwest::{Method, header::ACCEPT};
use serde::Deserialize;

use crate::{answer::Answer, error::Error, request::Client};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The answer of GitHub.
#[derive(Deserialize)]
struct GithubToken {
    value: Secret,
}

impl Client {
    /// Exchanges the token that a pipeline has of its provider for a key of minutes (RFC 8693). The client needs no key
    /// and sends none. Each token is exchanged once.
    ///
    /// # Errors
    /// As for any call. A token that is not trusted is [`Error::Refused`] with the code `invalid_grant`.
    pub async fn exchange_token(
        &self,
        rule: TrustRuleId,
        token: &Secret,
        scopes: &[String],
    ) -> Result<ExchangedToken, Error> {
        let (rule, scopes) = (rule.to_string(), scopes.join(" "));
        let mut form = vec![
            ("grant_type", GRANT),
            ("subject_token", token.expose()),
            ("subject_token_type", JWT),
            ("trust_rule", &rule),
        ];
        if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        let request = self.request(Method::POST, "/cp/token").form(&form);
        request.send().await?.json()
    }

    /// Asks GitHub Actions for a token of this job for an audience. Its URL and its own token are in the variables
    /// `ACTIONS_ID_TOKEN_REQUEST_URL` and `ACTIONS_ID_TOKEN_REQUEST_TOKEN` of a job with `id-token: write`.
    ///
    /// # Errors
    /// When GitHub does not answer, or refuses.
    pub async fn github_token(
        &self,
        url: &str,
        own: &Secret,
        audience: &str,
    ) -> Result<Secret, Error> {
        let mut url = url::Url::parse(url).map_err(|_| {
            Error::InvalidRequest("The URL of GitHub's tokens is no URL.".to_owned())
        })?;
        url.query_pairs_mut().append_pair("audience", audience);
        let host = url.host_str().unwrap_or_default().to_owned();
        let inner = &self.inner;
        let request = inner.http.get(url).timeout(inner.timeout);
        let request = request
            .bearer_auth(own.expose())
            .header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|source| Error::Network {
            url: host.clone(),
            source: source.without_url(),
        })?;
        let token: GithubToken = Answer::read(response, 1, &host).await?.json()?;
        Ok(token.value)
    }
}
