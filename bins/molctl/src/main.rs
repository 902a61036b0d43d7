//! `molctl`: see the library, which tests look into.

use std::process::ExitCode;

fn main() -> ExitCode {
    molctl::main()
}
