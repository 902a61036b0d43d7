//! Servers that start at the same time on one empty folder or database.

use std::thread;

use crate::kit::{Server, Store};

const PEPPER: &str = "one-pepper-for-all-servers-of-32-bytes-or-more";
/// How many servers start at the same time.
const SERVERS: usize = 4;

/// Starts several servers at the same time.
fn start_together(store: &Store, settings: &[(&str, &str)]) -> Vec<Server> {
    thread::scope(|scope| {
        let starts: Vec<_> = (0..SERVERS)
            .map(|_| scope.spawn(|| store.start_with(settings)))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    })
}

/// All start, each accepts the keys that the others make, and so does whoever starts afterwards.
#[track_caller]
fn all_share_one_pepper(rounds: usize, settings: &[(&str, &str)], new: impl Fn() -> Option<Store>) {
    for _ in 0..rounds {
        let Some(store) = new() else { return };
        let servers = start_together(&store, settings);
        let keys: Vec<_> = servers
            .iter()
            .map(|server| server.key(&["orgs:list"]))
            .collect();
        let accepted_by = |server: &Server| {
            for key in &keys {
                server.with_token(key.token()).get("/cp/orgs").expect(200);
            }
        };
        servers.iter().for_each(accepted_by);
        drop(servers);
        accepted_by(&store.start_with(settings));
    }
}

#[test]
fn servers_that_start_together_on_an_empty_folder_share_the_generated_pepper() {
    all_share_one_pepper(4, &[], || Some(Store::sqlite()));
}

#[test]
fn servers_that_start_together_on_an_empty_postgres_database_share_the_generated_pepper() {
    all_share_one_pepper(2, &[], Store::empty_postgres);
}

#[test]
fn servers_that_start_together_with_a_pepper_given_all_start() {
    let settings = [("MOLECULE_CP_PEPPER", PEPPER)];
    all_share_one_pepper(2, &settings, || Some(Store::sqlite()));
    all_share_one_pepper(1, &settings, Store::empty_postgres);
}
