//! The stores on SQLite and PostgreSQL, by diesel
