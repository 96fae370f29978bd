/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the layout of every public struct and the value of every public enumerator, for test_abi.py. A new field or
 * enumerator is added here. */
#include <sgp/sgp.h>

#include <stddef.h>
#include <stdio.h>

#define STRUCT(type) printf("struct %s: %zu bytes\n", #type, sizeof(type))
#define FIELD(type, field)                                                                         \
    printf("    %s: at %zu, %zu bytes\n", #field, offsetof(type, field), sizeof(((type *)0)->field))
#define ENUM(name) printf("%s = %d\n", #name, (int)(name))

static void print_group(void) {
#define F(field) FIELD(sgp_group_options_t, field)
    STRUCT(sgp_group_options_t);
    F(rank), F(size), F(rendezvous), F(join_timeout_ms), F(timeout_ms), F(transport), F(join);
    F(claim_rank), F(interface), F(ports), F(key), F(key_file), F(insecure), F(peer_timeout_ms);
    F(log), F(log_user), F(log_level), F(elastic), F(suspect_ms), F(stall_ms), F(dead_ms);
    F(quorum), F(pause_ms), F(capacity), F(contacts), F(about), F(about_bytes);
    F(rejoin), F(rejoin_rank), F(rejoin_incarnation), F(encryption);
#undef F
#define F(field) FIELD(sgp_newcomers_t, field)
    STRUCT(sgp_newcomers_t);
    F(blob), F(blob_bytes), F(judge), F(snapshot), F(user);
#undef F
#define F(field) FIELD(sgp_event_t, field)
    STRUCT(sgp_event_t);
    F(kind), F(rank), F(age), F(reason), F(step);
#undef F
#define F(field) FIELD(sgp_member_t, field)
    STRUCT(sgp_member_t);
    F(rank), F(incarnation), F(condition), F(from), F(until), F(step);
#undef F
#define F(field) FIELD(sgp_members_t, field)
    STRUCT(sgp_members_t);
    F(version), F(digest), F(capacity), F(live), F(rank), F(nodes);
#undef F
    ENUM(SGP_EVENT_JOINED), ENUM(SGP_EVENT_REPLANNED), ENUM(SGP_EVENT_PAUSED);
    ENUM(SGP_EVENT_RESUMED), ENUM(SGP_CONDITION_UNUSED), ENUM(SGP_CONDITION_LIVE);
    ENUM(SGP_CONDITION_SILENT), ENUM(SGP_CONDITION_COMING), ENUM(SGP_CONDITION_LEFT);
    ENUM(SGP_CONDITION_DEAD);
    ENUM(SGP_ENCRYPTION_AUTO), ENUM(SGP_ENCRYPTION_ON), ENUM(SGP_ENCRYPTION_OFF);
    ENUM(SGP_ENCRYPTION_AUTO_ALWAYS);
    ENUM(SGP_EVENT_LOST), ENUM(SGP_EVENT_LEFT), ENUM(SGP_EVENT_SILENT), ENUM(SGP_EVENT_BACK);
    ENUM(SGP_LOG_ERROR), ENUM(SGP_LOG_WARNING), ENUM(SGP_LOG_INFO), ENUM(SGP_LOG_DEBUG);
}

static void print_mixer(void) {
#define F(field) FIELD(sgp_mixer_options_t, field)
    STRUCT(sgp_mixer_options_t);
    F(count), F(buffers), F(algorithm), F(graph), F(overlap), F(allow_not_finite), F(biased);
    F(encoding), F(local_steps), F(slow_momentum), F(slow_every), F(slow_alone);
    F(library_allreduce), F(timeout_ms), F(workers), F(vector), F(passes_over);
    F(rounds), F(outer_lr), F(outer_momentum);
#undef F
#define F(field) FIELD(sgp_mixer_statistics_t, field)
    STRUCT(sgp_mixer_statistics_t);
    F(steps), F(sent), F(received), F(late), F(refused), F(resent), F(reabsorbed), F(bytes_sent);
    F(step_ns), F(wait_ns), F(last_step_ns), F(last_wait_ns), F(weight);
    F(torn), F(weight_returned), F(silences), F(holes), F(waits_asked), F(passed_over);
    F(weight_created);
    F(staleness);
#undef F
#define F(field) FIELD(sgp_mixer_consensus_t, field)
    STRUCT(sgp_mixer_consensus_t);
    F(w_total), F(drift), F(distance);
#undef F
    ENUM(SGP_ALGORITHM_SGP), ENUM(SGP_ALGORITHM_ALLREDUCE), ENUM(SGP_ALGORITHM_OSGP);
    ENUM(SGP_ALGORITHM_DPSGD), ENUM(SGP_ALGORITHM_ADPSGD), ENUM(SGP_ALGORITHM_SERVER),
        ENUM(SGP_OVERLAP_ASYNC);
    ENUM(SGP_ROUNDS_AUTO), ENUM(SGP_ROUNDS_MOST);
    ENUM(SGP_ENCODING_DEFAULT), ENUM(SGP_ENCODING_FLOAT32), ENUM(SGP_ENCODING_BFLOAT16);
    ENUM(SGP_ENCODING_FLOAT16);
}

static void print_graph(void) {
    STRUCT(sgp_graph_t);
    FIELD(sgp_graph_t, kind), FIELD(sgp_graph_t, size), FIELD(sgp_graph_t, peers);
    FIELD(sgp_graph_t, seed);
    STRUCT(sgp_edge_t);
    FIELD(sgp_edge_t, peer), FIELD(sgp_edge_t, weight);
    ENUM(SGP_GRAPH_EXPONENTIAL), ENUM(SGP_GRAPH_RING), ENUM(SGP_GRAPH_COMPLETE);
    ENUM(SGP_GRAPH_STATIC_EXPONENTIAL), ENUM(SGP_GRAPH_BIPARTITE_EXPONENTIAL);
    ENUM(SGP_GRAPH_RANDOM), ENUM(SGP_GRAPH_BASE), ENUM(SGP_GRAPH_RANDOM_UNEVEN);
}

static void print_optimizer(void) {
#define F(field) FIELD(sgp_optimizer_options_t, field)
    STRUCT(sgp_optimizer_options_t);
    F(count), F(kind), F(momentum), F(heavy_ball), F(weight_decay), F(beta1), F(beta2), F(epsilon);
    F(no_decay), F(no_decay_count);
#undef F
    STRUCT(sgp_range_t);
    FIELD(sgp_range_t, offset), FIELD(sgp_range_t, count);
    ENUM(SGP_OPTIMIZER_SGD), ENUM(SGP_OPTIMIZER_ADAM), ENUM(SGP_OPTIMIZER_ADAMW);
}

int main(void) {
#define PRINT_STATUS(name, value, message) ENUM(SGP_##name);
    SGP_STATUS_MAP(PRINT_STATUS)
    print_group();
    print_mixer();
    print_graph();
    print_optimizer();
    return 0;
}
