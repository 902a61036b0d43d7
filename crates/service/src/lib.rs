//! The use cases, and nothing of HTTP
