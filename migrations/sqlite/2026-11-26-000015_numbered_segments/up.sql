-- PostgreSQL numbers its segments from here on and has the same index; here nothing changes.
SELECT 1;
