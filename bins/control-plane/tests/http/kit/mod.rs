//! A server to test: the real program on a database of its own, and callers that speak to it.

mod caller;
mod receiver;
mod response;
mod script;
mod server;
mod store;
pub mod tls;
pub mod tokens;
mod waiting;
mod wire;

pub use self::{
    caller::{ALL_SCOPES, Caller, ORG_SCOPES},
    receiver::{Message, Reaction, Receiver},
    response::Response,
    script::{Script, lives},
    server::Server,
    store::{Store, started_by},
    waiting::{eventually, within},
    wire::Wire,
};
pub use testkit::server::ADMIN_KEY;

/// Makes two tests of each function: one on SQLite, one on PostgreSQL where that is installed.
macro_rules! on_both_engines {
    ($($rule:ident,)+) => {
        mod sqlite {
            $(#[test] fn $rule() { super::$rule($crate::kit::Store::sqlite()) })+
        }
        mod postgres {
            $(#[test] fn $rule() {
                if let Some(store) = $crate::kit::Store::postgres() {
                    super::$rule(store)
                }
            })+
        }
    };
}
