//! The keyring of the system: on Linux the Secret Service that desktops have.

use std::{sync::Arc, thread};

use keyring_core::{CredentialStore, Entry, Error};
use molecule_client::Secret;
use zbus_secret_service_keyring_store::Store;

/// The service of all entries.
const SERVICE: &str = "molctl";

/// Keeps a key under a name; an error says why there is no keyring to keep it in.
pub(crate) fn keep(name: &str, key: &Secret) -> Result<(), String> {
    with_entry(name, |entry| entry.set_password(key.expose()))
}

/// The key of this name.
pub(crate) fn read(name: &str) -> Result<Secret, String> {
    with_entry(name, |entry| entry.get_password()).map(Secret::from)
}

/// Works on an entry, in a thread of its own: the store blocks, which the thread of the runtime may not.
fn with_entry<T: Send>(
    name: &str,
    work: impl FnOnce(&Entry) -> Result<T, Error> + Send,
) -> Result<T, String> {
    let result = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let store: Arc<CredentialStore> = Store::new()?;
            work(&Entry::new_in_store(&store, SERVICE, name)?)
        });
        worker.join()
    });
    match result {
        Ok(worked) => worked.map_err(|error| error.to_string()),
        Err(_) => Err("its client failed".to_owned()),
    }
}
