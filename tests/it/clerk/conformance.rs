//! Every requirement, what shows it, and the verdict.
//!
//! ```text
//! cargo test --all-features --test it clerk::conformance -- --nocapture
//! ```

use std::{collections::BTreeSet, panic::catch_unwind};

use super::{
    age, cache, callers, crowd, ends, gate, kept, organization, poller, processes, replies,
    requests, schedule, secrets, sign_out, start, told, verification,
};

macro_rules! table {
    ($($id:ident $module:ident::$test:ident,)*) => {
        const TABLE: &[(&str, &str, fn())] =
            &[$((stringify!($id), stringify!($test), $module::$test)),*];
    };
}

table! {
    A1 schedule::a1_nine_requests_by_the_session_schedule,
    A2 schedule::a2_a_success_ends_the_sequence,
    A3 schedule::a3_other_4xx_are_not_retried,
    A4 sign_out::a4_nothing_is_sent_without_a_session,
    A5 schedule::a5_the_immediate_retry_is_asked_for_by_name,
    A6 schedule::a6_only_a_get_that_did_not_get_through_is_repeated_at_once,
    A7 schedule::a7_429_is_retried,
    A8 schedule::a8_a_machine_that_is_offline_makes_four_attempts,
    A9 schedule::a9_an_observer_is_told_of_each_retry_before_its_wait_and_changes_nothing,
    A10 ends::a10_dropping_or_shutting_down_ends_the_sequence_and_its_sleep,
    A11 gate::a11_retry_after_is_a_floor,
    A12 gate::a12_a_hint_beyond_the_limit_in_time_fails_now_and_is_carried,
    A13 gate::a13_retry_after_gates_every_caller,
    A13 gate::a13_a_stored_gate_is_not_rounded_down,
    A14 schedule::a14_each_attempt_is_limited_and_so_is_the_whole,
    A15 schedule::a15_no_number_overflows_or_makes_a_hot_loop,
    A15 schedule::a15_a_token_from_the_end_of_time_ends_nothing,
    A16 schedule::a16_jitter_is_alive_at_the_cap_and_never_exceeds_it,
    A17 schedule::a17_the_error_tells_how_often_how_long_and_why,
    A18 schedule::a18_what_is_transient_is_retried_and_nothing_else,
    A19 callers::a19_callers_are_answered_in_time_while_the_sequence_goes_on,
    B1 poller::b1_a_look_at_once_then_5_s_after_the_end_of_the_one_before,
    B2 poller::b2_two_looks_are_never_under_way_at_once,
    B3 poller::b3_starting_again_is_still_one_loop,
    B4 poller::b4_a_stop_ends_the_wait_and_a_start_looks_at_once,
    B5 poller::b5_a_stop_in_the_first_wait_holds,
    B6 poller::b6_a_stop_during_a_look_holds,
    B7 poller::b7_stop_and_start_during_a_look_are_one_loop,
    B8 poller::b8_a_look_that_fails_or_panics_does_not_end_the_loop,
    B8 poller::b8_a_loop_that_ends_by_a_panic_ends_visibly,
    B9 poller::b9_a_look_that_never_ends_is_bounded,
    B10 poller::b10_the_interval_is_asked_for_after_each_look,
    B11 poller::b11_the_schedule_backs_mints_off_and_the_poller_start_ups,
    B12 poller::b12_pollers_with_jitter_drift_apart,
    B13 ends::b13_dropping_ends_all_and_leaves_nothing,
    B13 ends::b13_no_end_of_a_sequence_is_kept_for_ever,
    B14 poller::b14_triggers_coalesce,
    B15 poller::b15_the_poller_runs_only_while_there_is_a_session,
    C1 cache::c1_a_cached_token_is_served_while_15_s_are_left,
    C2 callers::c2_callers_at_once_share_one_request,
    C3 cache::c3_force_asks_for_a_new_token,
    C4 cache::c4_template_and_organization_make_another_token,
    C5 cache::c5_a_session_that_has_changed_keeps_its_cached_token,
    C6 cache::c6_the_token_is_refreshed_ahead_and_served_meanwhile,
    C7 cache::c7_a_token_of_17_s_or_less_is_not_refreshed_ahead,
    C8 cache::c8_a_failure_of_the_network_is_an_error_and_takes_nothing_away,
    C9 age::c9_a_staler_token_changes_neither_cache_nor_events,
    C9 age::c9_a_token_that_has_expired_keeps_no_other_out,
    C10 cache::c10_a_token_in_place_of_another_makes_no_second_refresh,
    C11 age::c11_a_suspension_signs_nobody_out_and_credentials_are_read_again,
    C12 sign_out::c12_what_comes_after_a_sign_out_is_neither_stored_nor_told,
    C12 sign_out::c12_a_caller_in_a_wait_is_told_of_the_sign_out_at_once,
    C12 organization::c12_what_comes_for_an_earlier_organization_is_not_told,
    C12 organization::c12_an_organization_that_was_chosen_stays,
    C13 callers::c13_one_sequence_serves_every_caller,
    C13 callers::c13_a_caller_that_goes_away_cancels_nothing,
    C14 cache::c14_a_refresh_ahead_that_fails_goes_on_by_the_schedule,
    C15 cache::c15_a_forced_refresh_that_fails_keeps_the_old_token,
    C16 cache::c16_a_token_that_is_still_valid_is_given_out_where_its_refresh_fails,
    C17 age::c17_a_clock_that_is_wrong_changes_nothing,
    C18 age::c18_a_token_that_expired_on_its_way_is_not_handed_out,
    C18 age::c18_a_suspension_counts_and_a_clock_set_back_does_not,
    C19 age::c19_the_life_of_a_token_begins_with_its_request,
    C20 callers::c20_a_caller_that_goes_away_loses_no_rotation,
    C21 cache::c21_a_malformed_token_is_not_cached_and_is_asked_for_again,
    C22 cache::c22_an_observer_that_panics_takes_nothing_away,
    C23 cache::c23_a_token_says_how_long_it_is_still_valid,
    D1 verification::d1_a_session_that_is_still_there_stays,
    D2 verification::d2_an_outage_at_the_verification_ends_in_the_verdict,
    D3 verification::d3_a_network_error_at_the_verification_signs_nobody_out,
    D4 verification::d4_what_fails_in_the_background_is_told_and_kills_nothing,
    D5 verification::d5_only_an_authentication_failure_is_verified,
    D6 verification::d6_a_401_from_the_verification_is_an_answer,
    D7 verification::d7_a_burst_of_401_is_one_verification,
    D8 requests::d8_a_missing_expired_token_is_sent_at_once,
    D9 verification::d9_a_401_for_a_rotated_token_is_asked_again_with_the_new_one,
    D10 verification::d10_an_unreachable_verification_is_unconfirmed_and_backs_off,
    D11 sign_out::d11_a_fatal_configuration_code_stops_everything_and_is_told_once,
    D12 verification::d12_the_status_counts_whatever_the_body_is,
    D13 sign_out::d13_the_reason_of_a_sign_out_is_kept_and_given_to_everyone,
    E1 start::e1_in_an_outage_the_poller_waits_for_one_forced_mint,
    E1 start::e1_the_mint_of_a_start_up_is_forced_whoever_waits_for_it,
    E2 start::e2_a_4xx_at_the_start_bubbles_up,
    E3 start::e3_looks_and_the_forced_mint_never_overlap,
    E4 start::e4_a_start_up_that_waits_no_longer_still_learns_of_a_rotation,
    E4 start::e4_a_black_hole_at_the_start_is_ready_and_degraded_after_7_s,
    E4 kept::e4_the_stored_session_survives_starts_in_an_outage,
    E5 start::e5_without_a_stored_token_nothing_is_minted,
    E6 start::e6_the_client_is_loaded_again_in_the_background_with_a_back_off,
    E7 start::e7_a_request_that_takes_too_long_is_cancelled_and_joined_by_nobody,
    E8 start::e8_degraded_becomes_ready_with_the_first_success,
    E9 start::e9_a_stored_token_tells_who_it_is_and_is_never_handed_out,
    E9 kept::e9_an_expired_token_of_a_store_is_never_handed_out,
    F1 requests::f1_requests_are_these_bytes,
    F2 requests::f2_a_request_has_one_authorization_the_token_as_it_is,
    F3 replies::f3_a_response_keeps_clears_or_replaces_the_client_token,
    F4 replies::f4_an_older_answer_never_replaces_a_newer_client_token,
    F5 callers::f5_requests_that_may_rotate_are_sent_one_at_a_time,
    F5 processes::f5_of_two_processes_one_refreshes_for_both,
    F5 processes::f5_what_one_process_has_rotated_the_other_uses,
    F5 processes::f5_a_retry_after_met_by_one_process_gates_the_other,
    F6 secrets::f6_no_secret_is_shown_anywhere,
    F7 replies::f7_the_trace_id_is_the_bodys_or_else_the_ray,
    F8 requests::f8_a_session_minter_is_given_the_token_before,
    F9 requests::f9_a_repeated_request_says_its_number_where_that_is_asked_for,
    G1 told::g1_the_status_goes_both_ways_until_it_is_final,
    G1 told::g1_a_token_that_came_with_the_verification_makes_it_ready,
    G1 processes::g1_a_token_of_another_process_makes_it_ready,
    G2 told::g2_only_the_active_token_is_told_of,
    G3 told::g3_a_token_is_told_of_when_it_is_another_one,
    G4 crowd::g4_the_counters_add_up_at_every_instant,
    G5 told::g5_days_pass_in_virtual_time_alone,
    G6 crowd::g6_no_outage_and_no_crowd_makes_a_storm,
}

/// How many requirements each family has.
const FAMILIES: [(char, u32); 7] = [
    ('A', 19),
    ('B', 15),
    ('C', 23),
    ('D', 13),
    ('E', 9),
    ('F', 9),
    ('G', 6),
];

#[test]
fn every_requirement_has_a_test_that_passes() {
    let shown: BTreeSet<_> = TABLE.iter().map(|(id, ..)| (*id).to_owned()).collect();
    let required = FAMILIES
        .into_iter()
        .flat_map(|(family, last)| (1..=last).map(move |number| format!("{family}{number}")));
    assert_eq!(shown, required.collect());

    let mut failed = Vec::new();
    for (id, test, run) in TABLE {
        let passed = catch_unwind(run).is_ok();
        if !passed {
            failed.push(*test);
        }
        let verdict = if passed { "ok" } else { "FAILED" };
        let (_, sentence) = test.split_once('_').unwrap();
        println!("{id:4} {verdict:7} {}", sentence.replace('_', " "));
    }
    assert!(failed.is_empty(), "{failed:?}");
}
