//! Reports of tokens that were found where they don't belong.

use api::client::LeakReport;
use reqwest::Method;

use crate::{error::Error, request::Client};

impl Client {
    /// Reports tokens that were found somewhere; no key is needed. The server does not tell which were real.
    ///
    /// # Errors
    /// As for any call.
    pub async fn report_leaks(&self, report: &LeakReport) -> Result<(), Error> {
        let request = self.request(Method::POST, "/cp/leaks").json(report)?;
        request.send().await.map(drop)
    }
}
