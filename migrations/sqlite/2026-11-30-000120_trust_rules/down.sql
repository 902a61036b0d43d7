DROP TABLE token_uses;
DROP TABLE trust_rules;
