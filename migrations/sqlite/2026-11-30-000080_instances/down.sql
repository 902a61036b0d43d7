ALTER TABLE key_changes DROP COLUMN confirm;

DROP TABLE instances;
