DROP TABLE partner_keys;
DROP TABLE admin_keys;
DROP TABLE partners;
DROP TABLE meta;
