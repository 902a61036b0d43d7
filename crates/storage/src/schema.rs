//! The tables, as the migrations make them on both engines.

diesel::table! {
    meta (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    partners (id) {
        id -> Text,
        name -> Text,
        plan -> Text,
        rate_limit -> Nullable<BigInt>,
        rate_window -> Nullable<BigInt>,
        max_orgs -> Nullable<BigInt>,
        labels -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    admin_keys (id) {
        id -> Text,
        name -> Text,
        digest -> Binary,
        origin -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        pepper_id -> Nullable<Text>,
    }
}

diesel::table! {
    partner_keys (id) {
        id -> Text,
        partner_id -> Text,
        name -> Text,
        digest -> Binary,
        scopes -> Text,
        org_id -> Nullable<Text>,
        org_plans -> Nullable<Text>,
        allowed_cidrs -> Nullable<Text>,
        rate_limit -> Nullable<BigInt>,
        rate_window -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        disabled -> Bool,
        labels -> Text,
        key_prefix -> Text,
        created_at -> BigInt,
        created_by -> Text,
        last_used_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        max_live_orgs -> Nullable<BigInt>,
        on_revoke -> Text,
        orgs_to_go_since -> Nullable<BigInt>,
        pepper_id -> Nullable<Text>,
        end_to_announce -> Nullable<BigInt>,
    }
}

diesel::table! {
    key_revision (id) {
        id -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    key_changes (revision) {
        revision -> BigInt,
        subject -> Text,
        confirm -> Bool,
    }
}

diesel::table! {
    instances (id) {
        id -> Text,
        host -> Text,
        version -> Text,
        started_at -> BigInt,
        admin_key_id -> Nullable<Text>,
        last_seen_at -> BigInt,
        revision -> BigInt,
        lag_ms -> Nullable<BigInt>,
        clock_skew_ms -> BigInt,
    }
}

diesel::table! {
    replies (credential, call) {
        credential -> Text,
        call -> Binary,
        body -> Binary,
        sealed -> Nullable<Binary>,
        issued_key -> Nullable<Text>,
        begun_at -> BigInt,
    }
}

diesel::table! {
    orgs (id) {
        id -> Text,
        partner_id -> Text,
        created_by_key_id -> Text,
        name -> Text,
        slug -> Text,
        plan -> Text,
        status -> Text,
        external_id -> Nullable<Text>,
        labels -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        ready_at -> Nullable<BigInt>,
        deleted_at -> Nullable<BigInt>,
        failure_code -> Nullable<Text>,
        failure_message -> Nullable<Text>,
        attempts -> BigInt,
        due_at -> Nullable<BigInt>,
        lease_token -> Nullable<Text>,
        lease_until -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        steps -> Text,
        subscription_status -> Nullable<Text>,
        subscription_start -> Nullable<BigInt>,
        subscription_end -> Nullable<BigInt>,
        subscription_cancel_at -> Nullable<BigInt>,
        end_to_announce -> Nullable<BigInt>,
    }
}

diesel::table! {
    org_labels (org_id, label_key) {
        org_id -> Text,
        partner_id -> Text,
        label_key -> Text,
        label_value -> Text,
        live -> Bool,
    }
}

diesel::table! {
    slugs (slug) {
        slug -> Text,
        org_id -> Text,
        partner_id -> Text,
        freed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    workspaces (id) {
        id -> Text,
        org_id -> Text,
        name -> Text,
        slug -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    audit_events (id) {
        id -> Text,
        occurred_at -> BigInt,
        actor_type -> Text,
        actor_id -> Nullable<Text>,
        partner_id -> Nullable<Text>,
        action -> Text,
        target_type -> Text,
        target_id -> Nullable<Text>,
        org_id -> Nullable<Text>,
        outcome -> Text,
        status_code -> Nullable<BigInt>,
        method -> Nullable<Text>,
        route -> Nullable<Text>,
        request_id -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        details -> Text,
    }
}

diesel::table! {
    audit_segments (number) {
        number -> BigInt,
        second -> BigInt,
        last_id -> Binary,
        first_id -> Binary,
        events -> BigInt,
        body -> Binary,
    }
}

diesel::table! {
    audit_index_runs (id) {
        id -> BigInt,
        state -> Text,
        tier -> BigInt,
        first_number -> BigInt,
        last_number -> BigInt,
        first_slot -> BigInt,
        last_slot -> BigInt,
        pages -> BigInt,
    }
}

diesel::table! {
    audit_index_pages (id) {
        id -> BigInt,
        run -> BigInt,
        first -> Binary,
        body -> Binary,
    }
}

diesel::table! {
    webhook_endpoints (id) {
        id -> Text,
        partner_id -> Text,
        url -> Text,
        events -> Text,
        secret -> Nullable<Binary>,
        old_secret -> Nullable<Binary>,
        old_secret_until -> Nullable<BigInt>,
        older_secrets -> Nullable<Text>,
        created_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
        deleted_at -> Nullable<BigInt>,
        hold_token -> Nullable<Text>,
        hold_until -> Nullable<BigInt>,
        forget_after -> Nullable<BigInt>,
    }
}

diesel::table! {
    webhook_deliveries (id) {
        id -> Text,
        endpoint_id -> Text,
        partner_id -> Text,
        kind -> Text,
        body -> Text,
        status -> Text,
        attempts -> BigInt,
        tries -> BigInt,
        answered_at -> Nullable<BigInt>,
        answer_status -> Nullable<BigInt>,
        answer_excerpt -> Nullable<Text>,
        answer_error -> Nullable<Text>,
        due_at -> Nullable<BigInt>,
        created_at -> BigInt,
        delivered_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    webhook_announcements (subject, ends_at) {
        subject -> Text,
        ends_at -> BigInt,
    }
}

diesel::table! {
    /// What `diesel_migrations` has applied.
    #[sql_name = "__diesel_schema_migrations"]
    applied_migrations (version) {
        version -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(audit_index_runs, audit_segments);
diesel::joinable!(partner_keys -> partners (partner_id));
diesel::allow_tables_to_appear_in_same_query!(partner_keys, partners);
diesel::allow_tables_to_appear_in_same_query!(orgs, org_labels);
diesel::allow_tables_to_appear_in_same_query!(orgs, slugs);
diesel::joinable!(webhook_deliveries -> webhook_endpoints (endpoint_id));
diesel::allow_tables_to_appear_in_same_query!(webhook_deliveries, webhook_endpoints);
diesel::allow_tables_to_appear_in_same_query!(partner_keys, webhook_announcements);
diesel::allow_tables_to_appear_in_same_query!(orgs, webhook_announcements);
