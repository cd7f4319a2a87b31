//! What every store must do, written once and run against each of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod changes;
mod fences;
mod graph;
mod leases;
mod measures;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod queries;
mod refine;
mod scheduling;
mod snapshots;
mod submission;
mod takeover;
mod tokens;
mod world;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use transect_coordinator::store::{MemoryStore, PostgresStore, SqliteStore, Terms};
use world::{LEASE_SECONDS, MAX_ATTEMPTS, World};

/// Every claim against each of the stores. A store is opened by an async function that returns it and what keeps it alive.
macro_rules! conformance {
    ($($claims:tt)+) => {
        on_store!(sqlite_store, crate::sqlite, $($claims)+);
        on_store!(postgres_store, crate::postgres, $($claims)+);
        on_store!(memory_store, crate::memory, $($claims)+);
    };
}

macro_rules! on_store {
    ($store:ident, $open:path, $($topic:ident: [$($claim:ident,)+],)+) => {
        mod $store {
            $(mod $topic {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $claim() {
                        let (world, _alive) = $open().await;
                        crate::$topic::$claim(world).await;
                    }
                )+
            })+
        }
    };
}

fn terms() -> Terms {
    Terms { lease: Duration::from_secs(LEASE_SECONDS), max_attempts: MAX_ATTEMPTS }
}

async fn sqlite() -> (World, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&home.path().join("transect.db"), terms()).await.unwrap();
    (World::new(Arc::new(store)), home)
}

fn memory() -> Ready<(World, ())> {
    ready((World::new(Arc::new(MemoryStore::new(terms()))), ()))
}

async fn postgres() -> (World, ()) {
    let url = postgres_server::server().await.database().await;
    let store = PostgresStore::open(&format!("{url}&connections=8"), terms()).await.unwrap();
    (World::new(Arc::new(store)), ())
}

conformance!(
    submission: [
        a_sweep_is_stored_whole,
        the_same_key_gives_the_same_sweep,
        a_key_used_for_another_file_is_refused,
        a_name_means_the_newest_sweep,
        runs_and_lines_are_shared_between_sweeps,
        a_cancelled_job_that_a_new_sweep_needs_is_queued_again,
        a_new_line_on_a_failed_run_fails_at_once,
        lines_on_imports_are_ready_at_once,
        an_import_is_kept_and_its_name_is_taken,
        checkpoints_that_nobody_imported_are_refused,
        a_caller_that_goes_away_leaves_all_or_nothing,
        many_runs_are_stored_in_one_go,
    ],
    leases: [
        lines_wait_for_their_run_and_go_before_training,
        the_oldest_is_leased_first,
        a_worker_is_given_what_it_holds,
        a_lease_says_all_that_a_worker_needs,
        a_half_done_line_resumes_at_the_next_point,
        a_lease_that_runs_out_is_taken_by_another,
        a_heartbeat_extends_leases_and_says_what_to_stop,
        leases_lost_in_a_row_set_a_job_aside,
        leases_that_run_out_together_are_each_queued_again,
        a_worker_that_leaves_gives_its_jobs_back,
        of_workers_that_are_gone_the_newest_are_listed,
        no_job_is_leased_twice_at_once,
        an_unknown_worker_is_told_so,
        workers_are_listed_with_what_they_do,
        waiting_for_changes_works,
        a_coordinator_that_was_away_takes_no_lease_for_lost,
    ],
    fences: [
        a_stale_attempt_cannot_write,
        a_job_that_was_never_leased_cannot_be_written,
        a_row_sent_twice_is_stored_once,
        reports_that_come_at_once_are_judged_each_by_itself,
        a_report_whose_answer_was_lost_may_be_sent_again,
        what_cannot_be_true_is_refused_by_itself,
        a_line_is_not_done_before_its_last_point,
        training_is_not_done_before_its_last_checkpoint,
        losses_that_are_not_finite_survive,
        numbers_of_every_size_survive_to_the_last_bit,
        rows_around_an_end_are_judged_in_their_order,
        rows_after_the_end_are_refused,
        a_later_attempt_at_training_replaces_what_an_earlier_one_wrote,
    ],
    changes: [
        a_machines_failure_is_tried_again_after_a_pause,
        the_last_attempt_sets_the_job_aside_with_every_error,
        training_that_diverges_fails_its_lines_with_the_reason,
        retrying_the_training_brings_its_lines_back,
        retry_can_be_kept_to_the_machines_failures,
        retry_brings_back_lines_of_other_live_sweeps,
        cancelling_spares_what_another_sweep_needs,
        cancelling_twice_is_no_error,
        a_cancelled_sweep_comes_back_when_it_is_retried,
        unknown_sweeps_are_told_so,
        states_only_change_as_the_transition_function_says,
    ],
    queries: [
        progress_counts_what_there_is,
        a_sweep_whose_jobs_were_all_done_is_done,
        points_come_in_order_and_page_by_page,
        curves_come_in_order_and_page_by_page,
        jobs_come_by_id_and_page_by_page,
        sweeps_come_newest_first_and_page_by_page,
        sweeps_at_work_are_those_with_something_left_to_do,
        checkpoints_come_by_run_and_moment,
        what_is_done_can_be_asked_for,
        activity_shows_leased_training,
        counts_are_kept_for_metrics,
    ],
    graph: [
        a_run_waits_for_the_run_that_it_starts_from,
        nothing_is_leased_while_its_source_is_trained,
        lines_wait_for_the_runs_in_which_they_end,
        lines_that_end_in_several_runs_are_leased_together,
        a_failure_takes_along_all_that_waits_for_it,
        retrying_the_source_brings_all_of_it_back,
        what_waits_for_two_failures_waits_for_both_retries,
        a_chain_is_cancelled_together_but_for_what_others_need,
        a_stored_source_need_not_be_listed,
        a_source_that_was_cancelled_is_queued_again,
        retrying_brings_cancelled_sources_of_what_failed_back,
        what_is_needed_must_be_there,
        imported_files_are_handed_out_once_they_are_known,
        training_that_stops_early_fails_what_needs_the_rest,
        a_source_that_loses_its_lease_too_often_fails_the_same_way,
    ],
    scheduling: [
        higher_priority_is_served_first,
        among_equals_workers_are_shared_out,
        a_limit_on_workers_is_kept,
        requirements_are_kept,
        a_paused_sweep_is_not_leased_and_goes_on_when_it_is_resumed,
        what_another_sweep_needs_goes_on_in_its_name,
        a_new_sweep_takes_over_what_is_held_back_or_less_urgent,
        a_job_that_is_retried_waits_in_the_name_of_a_sweep_that_goes_on,
        retrying_a_paused_sweep_leaves_what_others_need_to_them,
        what_comes_back_with_a_training_waits_in_the_name_of_a_sweep_that_goes_on,
        a_failed_job_goes_to_another_machine_for_a_while,
        a_failed_job_does_not_wait_for_others_for_ever,
        a_job_that_failed_on_the_only_machine_stays_there,
        a_failed_job_is_left_only_to_machines_that_may_have_it,
        workers_are_listed_by_what_they_can_be_given,
        a_worker_on_which_several_runs_fail_is_set_aside,
        what_fails_of_one_run_counts_once_against_a_worker,
        a_success_or_time_ends_the_count_of_failures,
        a_draining_worker_is_given_nothing,
        near_its_end_a_worker_is_given_what_it_can_do,
        lost_leases_count_from_the_last_progress,
        a_failed_line_takes_nothing_along,
        time_left_is_learned,
        totals_and_books_follow_the_jobs,
    ],
    snapshots: [
        the_newest_snapshot_is_offered_on_a_device_alike,
        another_device_starts_anew,
        a_stale_attempt_stores_no_snapshot,
        a_snapshot_goes_with_the_end_of_its_training,
        a_retried_training_goes_on_from_its_snapshot,
        a_training_begun_elsewhere_is_not_kept_for_ever,
    ],
    takeover: [
        a_finer_grid_measures_only_what_it_adds,
        only_the_same_line_is_taken_over,
        a_half_measured_line_gives_what_it_has,
    ],
    refine: [
        further_points_are_stored_and_marked,
        a_refined_line_may_end_with_its_grid,
        what_refines_no_grid_is_refused,
        a_refined_line_is_done_when_its_splits_agree,
        an_interrupted_refined_line_is_told_its_losses,
        a_line_that_is_not_refined_is_told_no_losses,
        grids_are_taken_over_whether_refined_or_not,
    ],
    tokens: [
        a_token_is_found_by_its_hash_and_by_nothing_else,
        a_name_is_taken_until_its_token_is_revoked,
        a_use_is_noted_and_never_moved_back,
        a_worker_has_the_owner_that_was_noted_first,
        only_the_worker_that_holds_a_lease_writes_for_its_job,
    ],
    measures: [
        measures_are_stored_once_and_come_in_order,
        measures_are_fenced_like_points,
        measures_that_cannot_be_are_refused,
    ],
);
