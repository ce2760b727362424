//! The backend contract: each sentence of the pages of `queue::Queue` and `registry::Registry` as a test.
//! `contract!` runs all of it against one backend; every backend goes through the very same cases.

pub(crate) mod bed;
pub(crate) mod claim;
pub(crate) mod components;
pub(crate) mod enqueue;
pub(crate) mod fairness;
pub(crate) mod lease;
pub(crate) mod lists;
pub(crate) mod model;
pub(crate) mod plugins;
pub(crate) mod registry;
pub(crate) mod transitions;

/// All cases as tests of the backend that `$open` (a [`bed::Open`]) makes, empty, for each.
macro_rules! contract {
    ($open:path) => {
        $crate::contract::cases! { $open =>
            enqueue:
                an_event_comes_back_with_its_explanation_and_deliveries,
                a_known_key_stores_nothing_and_names_the_first_event,
                other_content_under_a_key_is_refused_with_the_whole_batch,
                within_a_batch_later_ones_are_duplicates_of_earlier_ones,
                a_key_is_forgotten_after_its_window,
                tenants_do_not_share_keys,
                answers_keep_the_order_of_the_batch,
                an_event_wakes_a_waiting_worker,
                a_wake_up_between_claim_and_wait_is_not_lost,
                whatever_makes_a_delivery_claimable_wakes_a_waiting_worker,
                who_sleeps_learns_of_an_earlier_retry;
            claim:
                a_claim_starts_the_oldest_deliveries,
                deliveries_of_one_event_share_it,
                an_empty_queue_gives_nothing_to_wait_for,
                next_due_is_zero_when_more_is_claimable,
                next_due_is_the_next_retry,
                next_due_is_the_next_expiry,
                a_claim_of_none_changes_nothing;
            fairness:
                tenants_take_turns,
                webhooks_of_a_tenant_take_turns,
                first_attempts_go_before_retries_but_do_not_starve_them,
                a_webhook_has_no_more_under_way_than_it_may,
                the_default_cap_holds_for_a_webhook_that_does_not_say,
                a_disabled_webhook_waits_and_goes_on_when_enabled,
                a_paused_webhook_waits_and_the_others_go_on,
                a_pause_ends_by_itself,
                a_changed_spec_ends_a_pause,
                a_shorter_pause_does_not_end_a_longer_one,
                a_rate_limit_holds_back_and_says_until_when;
            lease:
                a_settled_lease_cannot_settle_again,
                an_expired_lease_is_reclaimed_and_recorded,
                a_superseded_lease_changes_nothing,
                a_delivery_that_takes_its_workers_down_fails,
                a_claim_names_the_leases_that_were_lost,
                a_renewed_lease_is_kept,
                lost_leases_are_named_when_renewed,
                released_deliveries_are_claimable_at_once_and_unreceived,
                a_released_retry_stays_in_the_lane_of_retries,
                what_is_put_off_waits_uncounted_and_so_does_its_webhook,
                a_retry_that_is_put_off_stays_one;
            transitions:
                each_end_of_an_attempt_leads_to_its_state,
                attempts_are_numbered_over_the_whole_life,
                ended_and_scheduled_deliveries_can_be_requeued,
                queued_and_started_ones_cannot_be_requeued,
                the_last_hundred_attempts_are_kept,
                only_waiting_deliveries_can_be_cancelled,
                nothing_of_another_tenant_can_be_moved,
                requeue_matching_takes_the_oldest_that_may_be,
                cancel_matching_takes_the_oldest_that_wait,
                deleting_a_webhook_cancels_what_waits_for_it;
            lists:
                pages_hold_each_delivery_once_newest_first,
                each_filter_finds_what_it_says,
                deliveries_are_found_by_the_kind_of_their_last_error,
                a_cursor_that_no_list_gave_out_is_refused,
                a_page_looks_at_so_many_deliveries_and_says_where_the_next_goes_on,
                tenants_see_only_their_own,
                the_overview_counts_each_state,
                usage_adds_up_by_tenant,
                pruning_removes_what_ended_long_enough_ago,
                pruning_stops_at_its_limit,
                pruning_leaves_what_its_limit_does_not_reach,
                workers_are_listed_until_they_say_farewell,
                the_backend_answers_a_ping;
            registry:
                a_webhook_comes_back_as_it_was_put,
                names_are_unique_within_a_tenant,
                lists_are_by_name_and_paged,
                a_webhook_that_a_rule_names_cannot_be_deleted,
                a_rule_cannot_name_a_webhook_that_does_not_exist,
                a_tenant_is_read_as_a_whole,
                secrets_are_listed_without_values,
                keys_are_found_by_hash,
                a_key_that_is_stored_again_has_only_its_new_hash,
                a_tenant_has_no_more_keys_than_it_may,
                of_many_keys_at_once_no_more_are_stored_than_there_may_be,
                the_revision_changes_with_each_change_of_the_tenant,
                what_was_decided_on_an_older_state_is_not_stored,
                every_change_makes_decisions_stale_and_no_other_tenant_does,
                of_many_decisions_on_one_state_one_is_stored,
                reading_and_deciding_again_comes_to_an_end,
                the_instance_key_stays;
            components:
                a_component_comes_back_byte_for_byte,
                a_component_that_was_not_what_its_name_says_is_not_handed_out,
                the_same_component_can_be_stored_by_many_at_once,
                a_large_component_holds_nobody_up,
                an_upload_that_was_interrupted_is_not_found,
                a_plugin_needs_its_components,
                a_component_goes_with_the_last_plugin_that_needs_it,
                a_component_that_was_stored_again_waits_for_its_plugin,
                components_that_nobody_names_count_against_what_a_tenant_may_have,
                what_was_left_of_an_upload_counts_as_well,
                a_released_component_goes_unless_a_plugin_names_it;
            plugins:
                a_plugin_comes_back_as_it_was_put,
                plugins_are_listed_by_name_and_paged,
                changes_of_plugins_make_decisions_stale,
                of_many_changes_of_a_plugin_on_one_state_one_is_stored,
                a_plugin_that_a_webhook_names_cannot_be_deleted,
                attempts_of_a_trial_are_counted,
                a_late_call_of_an_older_trial_changes_nothing,
                storing_a_plugin_begins_and_ends_its_trial;
            model:
                random_transitions_agree_with_the_model;
        }
    };
}

macro_rules! cases {
    ($open:path => $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $case() {
                $crate::contract::$module::$case($open).await;
            })+
        })+
    };
}

pub(crate) use {cases, contract};
