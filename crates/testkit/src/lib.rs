//! What tests share: the in-memory database, throwaway PostgreSQL, the store conformance suite
