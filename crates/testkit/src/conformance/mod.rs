//! What every store must do, as tests that run on each of them: in memory, SQLite, PostgreSQL.
//!
//! [`conformance_tests!`](crate::conformance_tests) makes one test of each rule. A rule is an async
//! function that takes a fresh empty database and panics where it is broken; its name is the rule.

pub mod admin_keys;
pub mod announcements;
pub mod audit;
pub mod audit_history;
pub mod audit_ids;
pub mod audit_lists;
pub mod budgets;
pub mod deliveries;
pub mod endings;
pub mod expiries;
mod fixture;
pub mod idempotency;
pub mod instances;
pub mod key_changes;
pub mod key_digests;
pub mod key_rotations;
pub mod key_uses;
pub mod keys;
pub mod leaks;
pub mod leases;
pub mod org_lists;
pub mod org_pages;
pub mod org_secrets;
pub mod orgs;
pub mod partners;
pub mod peppers;
pub mod progress;
pub mod slugs;
pub mod transactions;
pub mod trust_rules;
pub mod webhook_backlogs;
pub mod webhook_work;
pub mod webhooks;
pub mod workspaces;

/// The registry of rules; a rule is run when it has a line here, and a test checks that all have.
///
/// Calls the macro `$then` with `$head` and then the rules by their modules.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_rules {
    ([$($then:tt)*] $head:tt) => {
        $($then)* ! {
            $head
            admin_keys {
                an_admin_key_keeps_all_its_fields
                an_admin_key_is_found_by_any_of_its_candidate_digests_and_by_no_other
                two_admin_keys_can_not_have_one_digest
                the_digest_of_a_partner_key_finds_no_admin_key
                an_admin_key_is_revoked_once_and_can_be_restored
                admin_keys_are_listed_newest_first
                the_pepper_check_is_replaced_only_when_it_is_as_expected
                of_many_first_starts_at_once_one_sets_the_pepper_check
            }
            announcements {
                an_end_is_announced_once_and_again_when_it_moves
                keys_are_announced_that_end_within_the_time_and_are_not_revoked
                orgs_are_announced_that_end_within_the_time_and_stay
                a_new_end_is_announced_once_the_one_that_was_told_has_passed
            }
            audit {
                an_event_keeps_all_its_fields
                an_event_of_every_action_target_and_outcome_is_kept
                a_folded_event_is_counted_on_and_not_doubled
                an_appended_event_is_seen_at_once
                many_events_appended_at_once_are_all_there
                an_event_of_a_rolled_back_transaction_is_gone
            }
            audit_history {
                events_are_listed_exactly_in_whatever_company_they_were_written
                events_are_listed_exactly_however_little_a_page_may_cost
                pruning_deletes_what_happened_before_a_time_and_nothing_else
                pruning_keeps_what_happened_at_the_very_time
                a_writer_sees_its_own_events_and_those_of_no_failed_savepoint
                a_change_that_failed_leaves_no_event
                an_event_that_comes_twice_is_listed_once
                an_event_at_either_end_of_time_is_listed
            }
            audit_lists {
                a_visibility_shows_its_own_events_alone
                each_filter_of_events_holds_alone
                filters_of_events_hold_together
                no_filter_of_events_reaches_beyond_the_visibility
                since_is_inclusive_and_until_exclusive
                events_are_paged_newest_first
            }
            audit_ids {
                an_event_is_found_by_its_id_within_the_visibility_alone
                each_of_many_events_is_found_by_its_id
                events_are_found_by_the_id_of_their_request
                events_whose_ids_run_ahead_of_their_times_are_found_and_pruned
                an_open_event_is_hidden_until_it_is_closed_or_old
            }
            budgets {
                a_page_of_events_that_match_nothing_ends_with_its_budget
                rare_events_are_found_once_each_in_order_over_many_pages
                orgs_of_a_rare_status_are_found_over_many_pages
                an_org_is_found_by_slug_external_id_or_label_on_the_first_page
                orgs_are_listed_exactly_however_little_a_page_may_cost
                keys_of_a_rare_status_are_found_over_many_pages
                endpoints_are_listed_past_many_deleted_ones
            }
            deliveries {
                a_delivery_keeps_all_its_fields
                a_delivery_is_its_partners_and_endpoints_alone
                a_delivery_update_writes_how_it_stands_and_nothing_else
                deliveries_are_paged_newest_first
            }
            key_changes {
                every_change_of_what_is_remembered_has_a_revision_of_its_own
                a_new_key_and_a_noted_use_need_no_revision
                a_rolled_back_change_has_no_revision
                changes_are_told_from_any_revision_in_their_order
                changes_at_once_become_visible_without_a_gap
                a_log_that_does_not_reach_back_says_so
                a_change_to_be_confirmed_is_told_as_one
            }
            leaks {
                a_report_keeps_all_its_fields_until_it_is_removed
                so_many_reports_wait_and_no_more
                a_leak_is_told_of_once_for_each_location_and_again_later
                of_so_many_leaks_of_a_key_somebody_is_told_and_no_more
            }
            org_pages {
                orgs_are_paged_newest_first
                orgs_that_a_filter_drops_leave_no_gap_between_pages
            }
            peppers {
                a_digest_is_renewed_only_from_the_one_that_is_stored
                only_keys_that_can_be_used_need_a_pepper
                a_pepper_is_noted_only_where_none_is_known
                what_is_noted_of_peppers_is_kept
            }
            key_uses {
                a_use_is_only_ever_noted_forward
                keys_are_filtered_by_their_end_and_last_use
            }
            endings {
                the_orgs_of_a_key_are_counted_until_they_are_deleted
                orgs_are_selected_by_label_within_the_visibility_alone
                orgs_are_selected_by_their_lease_to_the_very_moment
                orgs_are_selected_by_the_key_that_made_them
                what_is_going_or_gone_is_not_doomed
                no_more_orgs_are_doomed_than_asked_for
                orgs_sent_off_are_as_after_a_deletion_of_each
                a_lease_is_renewed_and_nothing_else
                of_many_who_send_the_same_orgs_off_each_is_sent_once
                a_key_is_noted_until_its_orgs_are_gone
                whoever_awaits_the_uses_of_a_revoked_key_sees_every_org_of_its_making
                a_revocation_notes_the_orgs_that_are_to_go
            }
            key_digests {
                a_key_is_found_by_any_of_its_candidate_digests_and_by_no_other
                keys_are_found_by_many_digests_at_once
                a_duplicate_digest_is_an_error_and_changes_nothing
            }
            key_rotations {
                a_rotated_key_is_found_by_both_of_its_secrets
                a_secret_that_has_ended_is_known_until_the_next_rotation
                a_cancelled_rotation_gives_the_older_secret_its_place_again
                a_use_is_noted_for_the_secret_that_was_used
                rotations_are_due_until_they_are_over
                an_older_secret_needs_its_pepper
            }
            keys {
                a_key_keeps_all_its_fields
                a_key_is_held_with_its_partner_as_it_is_now
                keys_for_use_are_as_nobody_has_changed_them
                a_key_update_writes_what_an_admin_may_change_and_nothing_else
                a_stale_key_update_does_not_undo_a_revocation
                a_key_is_revoked_once_and_its_time_and_reason_stay
                of_many_revocations_at_once_one_is_the_first
                keys_are_filtered_by_partner_and_id
                keys_are_filtered_by_status
                a_key_is_listed_as_expired_from_the_very_moment
                keys_are_paged_newest_first
            }
            leases {
                a_new_org_is_due_at_once
                only_what_is_due_and_not_held_is_leased
                due_orgs_are_found_by_partner
                workers_at_once_never_get_the_same_org
                a_lease_ends_at_its_time_and_not_before
                a_renewed_lease_lasts_longer
                a_lost_token_can_neither_work_nor_renew_nor_release
                a_released_org_is_free_at_once
                an_org_update_leaves_the_lease
                the_next_due_org_is_the_earliest_that_nobody_holds
                the_backlog_is_what_is_due_and_held_by_nobody
                an_org_can_be_taken_on_record_by_the_worker_that_makes_it
            }
            org_lists {
                a_visibility_shows_its_own_orgs_alone
                deleted_orgs_are_listed_only_when_asked_for
                orgs_are_filtered_by_status
                orgs_are_filtered_by_slug_and_external_id
                orgs_are_filtered_by_all_of_the_labels
                orgs_are_filtered_by_plan_maker_and_times
                filters_of_orgs_hold_together
                no_filter_of_orgs_reaches_beyond_the_visibility
            }
            orgs {
                an_org_keeps_all_its_fields
                an_org_update_writes_its_state_and_nothing_else
                an_edit_writes_labels_and_external_id_too_and_work_only_where_there_is_some
                the_orgs_of_a_partner_are_counted_until_they_are_deleted
                orgs_are_asked_for_where_they_stand_many_at_once
                how_long_it_took_is_told_of_the_latest_of_a_plan
                steps_keep_their_order_and_are_replaced_as_a_whole
                a_subscription_is_replaced_by_the_next
            }
            org_secrets {
                the_secrets_of_an_org_are_replaced_as_a_whole
                erased_secrets_are_gone_and_those_of_other_orgs_stay
                secrets_are_found_by_their_pepper_page_by_page
                secrets_are_resealed_only_from_what_is_stored
                secrets_of_a_rolled_back_transaction_are_not_there
                secrets_count_among_what_needs_a_pepper
            }
            partners {
                a_partner_keeps_all_its_fields
                a_partner_update_writes_everything_but_the_id_and_the_time_of_making
                an_unknown_partner_is_not_found_and_not_made_by_an_update
                partners_are_paged_newest_first
            }
            progress {
                what_a_worker_begins_with_is_written_with_its_lease
                orgs_and_leases_that_are_far_ahead_are_hastened
                the_progress_of_many_orgs_is_written_at_once
            }
            expiries {
                expired_orgs_are_found_partner_by_partner
            }
            idempotency {
                a_kept_answer_comes_back_to_the_same_call_alone
                an_outdated_answer_makes_room
                an_erased_answer_keeps_its_place
                the_answer_of_one_secret_is_erased_alone
                a_rolled_back_call_leaves_no_place_taken
                of_many_who_take_one_place_one_gets_it
                outdated_answers_are_forgotten_up_to_the_limit
                kept_answers_are_read_page_by_page
                an_answer_is_resealed_only_from_what_is_kept
            }
            instances {
                an_instance_keeps_all_its_fields_and_reports_replace_what_may_change
                instances_are_listed_newest_first_while_they_report
                an_instance_leaves_and_old_rows_are_pruned
                a_report_by_the_servers_own_way_is_seen_at_once
                a_report_that_fails_leaves_nothing_behind
                starts_come_one_after_the_other
                the_servers_clock_goes_on
            }
            slugs {
                a_slug_that_an_org_has_is_taken
                a_freed_slug_is_free_at_once_for_the_same_partner
                a_freed_slug_is_held_from_other_partners_to_the_very_moment
                a_deleted_org_does_not_free_the_slug_of_its_successor
                a_slug_is_freed_once_and_its_time_stays
                of_many_claims_of_one_slug_at_once_one_succeeds
            }
            transactions {
                an_error_rolls_everything_back
                a_panic_changes_nothing_and_the_database_goes_on
                a_writer_sees_its_own_changes
                a_failed_savepoint_is_undone_and_the_rest_is_kept
                a_violated_constraint_in_a_savepoint_leaves_the_rest_of_the_transaction
                a_kept_savepoint_is_rolled_back_with_its_transaction
                savepoints_nest
                changes_of_one_partner_at_once_lose_none
                changes_of_one_key_at_once_lose_none
                changes_of_one_org_at_once_lose_none
            }
            trust_rules {
                a_trust_rule_keeps_all_its_fields
                a_trust_rule_update_writes_what_may_change_and_nothing_else
                a_deleted_trust_rule_is_gone_and_can_be_deleted_again
                trust_rules_are_paged_newest_first
                a_token_is_used_once_until_its_time
                of_many_uses_of_one_token_at_once_one_succeeds
                outdated_uses_are_forgotten_up_to_the_limit
                the_live_keys_of_a_rule_are_revoked_up_to_the_limit
                keys_of_rules_are_deleted_a_day_after_their_end_but_those_of_orgs
                keys_of_rules_leave_lists_a_day_after_their_end
            }
            webhook_backlogs {
                what_overflows_is_given_up_with_its_reason
                what_is_due_ahead_of_a_time_can_be_hastened
            }
            webhook_work {
                endpoints_with_pending_deliveries_are_found_by_partner
                all_free_endpoints_of_a_partner_are_found_together
                workers_at_once_never_lease_the_same_endpoint
                a_lease_of_an_endpoint_ends_at_its_time_and_can_be_renewed
                a_lost_lease_of_an_endpoint_can_neither_work_nor_renew_nor_release
                deliveries_are_due_the_longest_waiting_first
                the_next_delivery_due_is_the_earliest_of_all
                given_up_deliveries_of_one_endpoint_leave_those_of_others
                the_backlog_is_counted
                what_is_outdated_is_forgotten_up_to_the_limit
            }
            webhooks {
                an_endpoint_keeps_all_its_fields
                an_endpoint_is_its_partners_alone
                an_endpoint_update_writes_its_state_and_secrets_and_nothing_else
                the_secrets_of_all_endpoints_are_read_page_by_page
                the_secrets_of_an_endpoint_are_resealed_only_from_what_is_stored
                a_deleted_endpoint_is_gone_with_its_secrets
                those_listen_that_asked_for_it_and_are_not_disabled
                endpoints_are_paged_newest_first
            }
            workspaces {
                a_workspace_keeps_all_its_fields
                the_slug_of_a_workspace_is_unique_within_its_org_alone
                workspaces_are_taken_away_from_one_org_alone
                workspaces_are_paged_newest_first
            }
        }
    };
}

/// Makes one test of each rule, in a module for each subject within a module `conformance`.
///
/// The argument is evaluated in each test, within an async function: it gives a fresh empty database in
/// an `Option`, where `None` skips the test.
///
/// ```text
/// testkit::conformance_tests!(fresh_database().await);
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance_rules!([$crate::conformance_tests_of]($make));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests_of {
    (($make:expr) $($module:ident { $($rule:ident)* })*) => {
        mod conformance {
            $(
                mod $module {
                    #[allow(unused_imports, reason = "the expression may need none of them")]
                    use super::super::*;

                    $(
                        #[tokio::test(flavor = "multi_thread")]
                        async fn $rule() {
                            if let Some(database) = $make {
                                $crate::conformance::$module::$rule(database).await;
                            }
                        }
                    )*
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    macro_rules! check_registry {
        (() $($module:ident { $($rule:ident)* })*) => {
            $({
                let source = include_str!(concat!(stringify!($module), ".rs"));
                let listed: &[&str] = &[$(stringify!($rule)),*];
                for line in source.lines() {
                    let Some(rest) = line.strip_prefix("pub async fn ") else {
                        continue;
                    };
                    let (name, _) = rest.split_once('<').unwrap();
                    assert!(listed.contains(&name), "{name} has no line in the registry");
                }
            })*
        };
    }

    #[test]
    fn every_rule_is_in_the_registry() {
        crate::conformance_rules!([check_registry]());
    }
}
