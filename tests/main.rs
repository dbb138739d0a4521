//! What Culvert promises, tested from outside: one module per promise.
//!
//! The tests make pods and nodes out of network namespaces, start the real programs, and look at what happens through
//! sockets, files and the kernel. They know nothing of how the programs are made. `SUBJECT=/path/to/program` puts
//! another node program of the same interface under test. Root is needed.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod a_cluster_comes_back_from_nothing;
#[cfg(test)]
mod a_cluster_is_a_mesh;
#[cfg(test)]
mod a_dead_proxy_fails_closed;
#[cfg(test)]
mod a_long_run_leaves_nothing;
#[cfg(test)]
mod a_moved_pod_is_found;
#[cfg(test)]
mod a_slow_lossy_wire_loses_nothing;
#[cfg(test)]
mod a_stolen_token_is_good_for_little;
#[cfg(test)]
mod a_stuck_log_pipe_stops_nothing;
#[cfg(test)]
mod admin_tells_the_truth;
#[cfg(test)]
mod another_agent_is_served;
#[cfg(test)]
mod another_endpoint_is_tried;
#[cfg(test)]
mod another_issuer_signs;
#[cfg(test)]
mod another_network_is_reached_through_its_gateway;
#[cfg(test)]
mod another_node_is_fed;
#[cfg(test)]
mod bad_input_is_explained;
#[cfg(test)]
mod certificates_never_lapse;
#[cfg(test)]
mod check_predicts_trouble;
#[cfg(test)]
mod client_address_survives;
#[cfg(test)]
mod connections_do_not_mix;
#[cfg(test)]
mod control_planes_stand_in_for_each_other;
#[cfg(test)]
mod dashboards_and_alerts_hold;
#[cfg(test)]
mod dead_peers_are_found_out;
#[cfg(test)]
mod dedicated_mode_serves_one_pod;
#[cfg(test)]
mod dns_is_answered_and_forwarded;
#[cfg(test)]
mod drift_is_repaired_and_told;
#[cfg(test)]
mod ends_are_passed_on_truthfully;
#[cfg(test)]
mod ends_are_told_truthfully;
#[cfg(test)]
mod envoy_is_a_peer;
#[cfg(test)]
mod every_failure_is_explained;
#[cfg(test)]
mod excluded_traffic_passes;
#[cfg(test)]
mod hostile_servers_are_left;
#[cfg(test)]
mod hostile_tunnels_end_alone;
#[cfg(test)]
mod ipv6_is_equal;
#[cfg(test)]
mod it_serves_without_its_control_plane;
#[cfg(test)]
mod key_exchange_can_be_post_quantum_only;
#[cfg(test)]
mod keys_are_in_memory_only;
#[cfg(test)]
mod kubelet_probes_come_in;
#[cfg(test)]
mod labelled_pods_are_in;
#[cfg(test)]
mod named_workloads_are_found;
#[cfg(test)]
mod nghttp2_servers_are_peers;
#[cfg(test)]
mod node_http2_is_a_peer;
#[cfg(test)]
mod nothing_is_left_behind;
#[cfg(test)]
mod nothing_listens_but_what_is_said;
#[cfg(test)]
mod one_pod_cannot_starve_another;
#[cfg(test)]
mod only_the_allowed_get_in;
#[cfg(test)]
mod other_hbone_clients_are_served;
#[cfg(test)]
mod parts_of_a_cluster_are_replaced;
#[cfg(test)]
mod peers_are_told_before_pods_are_let_go_of;
#[cfg(test)]
mod plaintext_passes_through;
#[cfg(test)]
mod pods_come_and_go;
#[cfg(test)]
mod pods_live_and_die_at_random;
#[cfg(test)]
mod profiles_can_be_taken;
#[cfg(test)]
mod programs_have_little_power;
#[cfg(test)]
mod prometheus_scrapes_it;
#[cfg(test)]
mod replaced_servers_are_not_mixed_up;
#[cfg(test)]
mod restarts_do_not_hurt;
#[cfg(test)]
mod revoked_peers_are_cut_off;
#[cfg(test)]
mod rolling_restarts_lose_nothing;
#[cfg(test)]
mod secrets_stay_secret;
#[cfg(test)]
mod sessions_stay_with_their_identity;
#[cfg(test)]
mod socks_clients_are_served;
#[cfg(test)]
mod spans_reach_a_collector;
#[cfg(test)]
mod strange_peers_do_no_harm;
#[cfg(test)]
mod the_access_log_tells_all;
#[cfg(test)]
mod the_admin_api_keeps_its_word;
#[cfg(test)]
mod the_chart_renders;
#[cfg(test)]
mod the_command_line_asks_nodes;
#[cfg(test)]
mod the_control_plane_comes_and_goes;
#[cfg(test)]
mod the_control_plane_is_followed;
#[cfg(test)]
mod the_docs_are_true;
#[cfg(test)]
mod the_images_run;
#[cfg(test)]
mod the_page_shows_it;
#[cfg(test)]
mod the_source_of_the_mesh_makes_no_difference;
#[cfg(test)]
mod the_supply_chain_is_known;
#[cfg(test)]
mod the_way_in_is_as_written;
#[cfg(test)]
mod the_wire_is_ciphertext;
#[cfg(test)]
mod tls_1_2_is_opt_in;
#[cfg(test)]
mod traffic_flows_both_ways;
#[cfg(test)]
mod traffic_survives_chaos;
#[cfg(test)]
mod waypoints_are_gone_through;
#[cfg(test)]
mod what_hangs_is_named;
#[cfg(test)]
mod what_peers_say_of_themselves_decides_nothing;
#[cfg(test)]
mod wrong_policies_are_refused_at_admission;
