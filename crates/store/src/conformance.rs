//! What every store is held to: one function for each law or sentence of the contract.
//!
//! A store's crate says how to open one ([`Harness`]) and gets a test for each function with
//! [`conformance!`](macro@crate::conformance). What is not in the contract is not expected here.

mod budgets;
mod claim;
mod control;
mod costs;
mod documents;
mod fair;
mod heartbeat;
mod insert;
mod lease;
mod lines;
mod look;
mod moving;
mod order;
mod ordered;
mod placement;
mod policies;
pub mod random;
mod report;
mod resources;
mod restart;
mod retention;
mod scene;
mod strict;
mod time;
mod unique;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::ManualClock;
use crate::contract::Store;
use crate::retention::Retention;

pub use budgets::*;
pub use claim::*;
pub use control::*;
pub use costs::*;
pub use documents::*;
pub use fair::*;
pub use heartbeat::*;
pub use insert::*;
pub use lease::*;
pub use lines::*;
pub use look::*;
pub use moving::*;
pub use order::*;
pub use ordered::*;
pub use placement::*;
pub use policies::*;
pub use report::*;
pub use resources::*;
pub use restart::*;
pub use retention::*;
pub use strict::*;
pub use time::*;
pub use unique::*;

/// How to open the store under test. Each test makes a harness of its own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A new, empty store that runs by [`Harness::clock`] and keeps ended jobs within `retention`.
    async fn open(&self, retention: Retention) -> Arc<dyn Store>;

    /// The clock of the store.
    fn clock(&self) -> Arc<ManualClock>;

    /// The store closed and opened again with the same retention; `None` where nothing of it
    /// outlives the process (it stays open then).
    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>>;
}

/// Runs one case to its end, on threads of its own.
///
/// # Panics
/// If the case fails.
pub fn run(case: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime for the test").block_on(case);
}

/// Expands to a module with one test for each law of the contract.
///
/// ```text
/// taskwright_store::conformance!(memory, MemoryHarness::new());
/// ```
#[macro_export]
macro_rules! conformance {
    ($module:ident, $harness:expr) => {
        mod $module {
            use super::*;

            $crate::conformance_tests! { $harness =>
                // insert
                s2_insert_is_all_or_nothing
                s2_a_partial_insert_writes_what_it_can
                s4_a_repeated_insert_answers_existing
                s4_an_id_with_another_body_is_a_conflict
                s4_items_of_one_call_know_each_other
                s4_inserts_at_the_same_time_agree
                s4_a_deleted_id_is_known_for_the_window
                ids_belong_to_their_namespace
                seq_grows_in_input_order
                a_batch_of_a_thousand_is_one_call
                s11_lanes_are_limited
                a_future_job_waits_until_it_is_due
                a_past_run_at_is_due_now
                all_fields_come_back
                // order
                claims_follow_age_and_priority
                ties_go_by_seq
                claims_merge_queues_and_tasks_by_rank
                a_released_job_keeps_its_place
                a_retry_queues_from_its_own_time
                peek_shows_the_order_of_claims
                // claim
                a_claim_takes_only_what_the_worker_serves
                a_consumer_by_hand_takes_every_task
                a_claimed_job_says_all_that_a_worker_needs
                s3_a_claimed_job_is_in_no_other_claim
                s4_a_repeated_claim_answers_the_jobs_that_still_run
                an_older_claim_number_is_invalid
                an_empty_claim_may_be_repeated
                a_waiting_claim_is_fed_by_an_insert
                a_waiting_claim_is_fed_by_a_sweep
                a_waiting_claim_is_fed_by_a_release
                a_waiting_claim_is_fed_by_a_resume
                waiting_claims_share_what_comes
                a_waiting_claim_ends_empty
                a_dropped_claim_keeps_no_job_from_others
                a_paused_queue_gives_nothing
                a_job_out_of_time_is_not_given
                // report
                l1_the_same_report_again_is_already
                l1_another_report_of_an_ended_attempt_is_stale
                l1_a_late_report_is_stale
                l1_reports_at_the_same_time_count_once
                a_report_of_an_unknown_job_is_unknown
                reports_stand_each_for_itself
                l3_failures_spend_and_the_last_is_the_end
                l3_snoozed_and_released_attempts_are_unspent
                a_final_error_is_the_end
                retries_wait_as_their_policy_says
                a_retry_may_say_its_own_wait
                a_checkpoint_reaches_the_next_attempt
                attempts_are_kept_first_and_last
                l4_a_completion_wins_against_a_cancel
                l4_what_does_not_complete_ends_cancelled
                a_task_cancels_its_own_job
                // heartbeat
                what_was_never_delivered_is_released
                an_unsettled_claim_is_not_released
                what_was_lost_is_named
                cancel_orders_repeat_until_the_attempt_ends
                a_timeout_is_ordered_and_then_enforced
                progress_lasts_as_long_as_its_attempt
                workers_are_shown
                // lease
                a_heartbeat_keeps_the_lease
                a_claim_keeps_the_lease
                l6_a_lease_ends_after_the_time_served
                l6_a_gap_between_sweeps_lapses_nobody
                l7_three_losses_are_the_end
                l7_a_worker_holds_one_suspect
                l7_neighbours_of_a_poison_job_complete
                // time
                l6_time_never_goes_back
                a_small_sweep_says_that_there_is_more
                a_sweep_tells_when_the_next_job_comes_due
                jobs_expire
                a_retry_expires
                a_redriven_job_no_longer_expires
                // retention
                ended_jobs_are_pruned_by_age
                dead_jobs_have_an_age_of_their_own
                ended_jobs_are_pruned_by_count
                ended_jobs_are_pruned_by_bytes
                s4_a_pruned_id_is_known_for_the_window
                // control
                l2_final_states_absorb
                l2_a_redrive_restarts_an_ended_job
                l2_a_redrive_gives_as_many_attempts_as_asked
                a_redrive_lifts_a_quarantine
                a_cancel_ends_a_waiting_job
                delete_takes_ended_jobs_only
                pause_and_resume_may_be_repeated
                // look
                s6_lists_leave_out_the_big_fields
                lists_page_by_cursor
                lists_filter
                counts_equal_a_recount
                get_keeps_the_order
                namespaces_do_not_see_each_other
                s8_changes_are_announced
                s8_a_cancel_nudges_the_worker
                a_store_describes_itself
                a_closed_store_answers_closed
                a_close_ends_waiting_claims
                // restart
                l5_everything_survives_a_restart
                l5_the_epoch_rises_with_each_opening
                s4_a_claim_is_repeated_after_a_restart
                s4_a_deleted_id_is_known_after_a_restart
                a_job_that_ended_long_ago_is_gone_once_deleted
                l6_time_does_not_go_back_over_a_restart
                l6_an_opening_grants_every_lease_afresh
                workers_in_process_end_with_it
                // unique
                a_unique_key_has_one_holder
                a_taken_key_refuses_where_asked
                a_unique_key_is_won_by_one
                a_unique_key_is_free_at_once
                a_unique_key_is_held_for_its_time
                a_waiting_job_is_replaced
                a_debounce_waits_for_a_pause
                a_replaced_job_changes_its_place
                a_redrive_needs_its_key
                unique_keys_survive_a_restart
                an_import_needs_its_key
                a_waiting_job_is_adjusted
                // policies
                policies_are_kept
                s11_policies_are_limited
                a1_a_queue_runs_so_many_at_once
                a1_a_task_runs_so_many_at_once
                a_waiting_claim_is_fed_by_room
                a3_a_queue_starts_so_many_in_a_time
                // budgets
                b1_retries_come_back_by_the_budget
                b1_a_longer_wait_is_kept
                b1_only_retries_take_a_place
                b1_a_budget_survives_a_restart
                b1_a_changed_budget_begins_anew
                b1_a_budget_is_of_one_queue
                w1_a_full_queue_refuses_new_jobs
                w1_a_whole_call_is_refused
                w1_what_is_known_is_no_new_job
                w1_what_comes_back_is_never_refused
                w1_ticks_are_never_refused
                w1_full_queues_are_those_of_the_moment
                w1_many_callers_fill_a_queue_to_its_bound
                // lines
                a2_jobs_without_room_stand_in_line
                each_key_of_a_pattern_is_limited_for_itself
                a_job_needs_room_at_all_its_keys
                a_key_of_one_job_stops_it
                lines_are_served_in_order
                a3_a_key_with_a_rate_waits_for_its_time
                a4_ready_is_a_candidate
                a_claim_answers_in_order
                a_line_is_served_lane_by_lane
                jobs_in_line_are_jobs_like_others
                // fair queues
                f1_groups_take_turns
                f2_weights_are_kept
                f3_coming_back_jumps_no_queue
                f4_cancelled_jobs_cost_nothing
                f5_jobs_without_group_are_one_group
                f6_a_full_queue_becomes_fair
                f7_a_fair_queue_starves_no_other
                f8_turns_and_limits_hold_together
                f9_a_change_that_is_not_of_place_costs_no_turn
                a1_a_lost_worker_gives_its_room_back
                a4_a_claim_looks_no_further_than_it_may
                // strict queues
                u1_the_most_urgent_job_is_next
                u1_a_full_queue_becomes_strict
                u1_levels_are_of_one_queue
                u1_room_goes_to_the_most_urgent_job
                u1_no_line_holds_up_the_most_urgent_job
                u1_a_long_line_is_left_by_urgency
                u1_the_most_urgent_job_leaves_a_line_first
                u1_what_comes_back_keeps_its_level
                u1_priorities_are_adjusted_live
                // ordered groups and keys
                o1_a_group_runs_in_order
                o1_the_head_keeps_its_place
                o1_a_delayed_job_keeps_its_place
                o1_ended_heads_give_way
                o1_a_dead_head_blocks
                o1_a_dead_head_is_skipped
                o1_a_redriven_job_comes_first
                o1_old_dead_jobs_block_until_they_go
                o1_an_order_is_set_and_removed_live
                o1_order_and_limits_hold_together
                o1_a_long_line_is_worked_off_in_order
                // documents
                s4_a_tick_counts_once
                ticks_follow_one_another
                jobs_come_with_their_tick
                a_waiting_claim_is_fed_by_a_tick
                a2_jobs_of_a_tick_leave_their_line
                documents_are_found
                documents_survive_a_restart
                s11_documents_are_limited
                s4_ticks_at_the_same_time_agree
                // placement
                a_claim_takes_only_what_its_labels_match
                labels_do_not_replace_queue_and_task
                what_nobody_matches_waits
                claims_merge_requirements_by_rank
                a_worker_may_change_its_labels
                a_waiting_claim_is_fed_what_it_matches
                a_job_keeps_what_it_requires
                a_job_in_line_keeps_what_it_requires
                s11_requirements_are_lanes
                workers_show_what_they_serve
                requirements_survive_a_restart
                // costs
                c1_a_claim_fits_into_its_slots
                c1_costs_are_summed_over_lanes
                c1_costs_are_kept
                c2_a_large_job_is_not_overtaken_by_its_worker
                c2_a_claim_does_not_wait_for_what_does_not_fit
                c2_what_does_not_fit_takes_nothing
                c2_a_large_job_without_room_holds_nobody_up
                c2_turns_wait_for_slots
                c3_a_large_job_holds_no_small_worker_up
                s4_a_repeated_claim_gives_no_more_than_fitted
                // resources
                a_waiting_claim_is_fed_what_fits
                c1_a_claim_fits_all_that_it_takes
                c1_a_claim_fits_what_is_free
                c1_what_is_taken_is_kept
                c1_what_is_taken_is_summed_over_lanes
                c2_a_claim_does_not_wait_for_resources
                c2_limits_come_before_resources
                c2_turns_wait_for_resources
                c2_what_does_not_fit_is_not_overtaken_by_its_worker
                c3_a_worker_without_enough_is_not_held_up
                s4_a_repeated_claim_takes_no_more
                // moving
                an_export_pages_through_everything
                s11_pages_are_bounded_in_bytes
                a_moved_job_shows_the_same
                what_a_job_hides_is_moved_too
                s4_an_import_may_be_repeated
                an_import_releases_what_ran
                imported_jobs_keep_their_order
                a_waiting_claim_is_fed_by_an_import
                s7_imported_jobs_are_pruned_like_others
                s11_imports_are_limited
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr => $($case:ident)+) => {
        $(
            #[test]
            fn $case() {
                let harness = $harness;
                $crate::conformance::run($crate::conformance::$case(&harness));
            }
        )+
    };
}
