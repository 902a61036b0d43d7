//! The wire: request and answer types, the error table, cursors
