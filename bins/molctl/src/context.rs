//! What a command has at hand.

use molecule_client::{Client, RetryPolicy};

use crate::{
    args::Globals,
    credential::{self, Credential, Target},
    failure::Failure,
    interrupts::GoesOn,
    output::Output,
};

/// What a command has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) output: Output,
    pub(crate) goes_on: GoesOn,
}

impl Context {
    /// A client with the key at hand.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_and_source().map(|(client, _)| client)
    }

    /// A client, and whence its key comes.
    pub(crate) fn client_and_source(&self) -> Result<(Client, Credential), Failure> {
        let Target { server, credential } = credential::target(&self.globals)?;
        let credential = credential.ok_or_else(|| {
            Failure::NoCredential(
                "There is no key. Set MOLCTL_KEY, use --key-file or --key-stdin, or log in by `molctl login`."
                    .to_owned(),
            )
        })?;
        Ok((self.client_of(&server, Some(&credential))?, credential))
    }

    /// A client of a server.
    pub(crate) fn client_of(
        &self,
        server: &str,
        credential: Option<&Credential>,
    ) -> Result<Client, Failure> {
        let mut builder = Client::builder(server)
            .user_agent(concat!("molctl/", env!("CARGO_PKG_VERSION")))
            .retry(RetryPolicy::within(self.globals.retry_for.0));
        if let Some(credential) = credential {
            builder = builder.key(credential.key.clone());
        }
        builder
            .build()
            .map_err(|error| Failure::Usage(format!("{error}.")))
    }
}
