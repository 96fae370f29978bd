/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes die at any moment while the others mix: these have the same view soon, which says who died and when, and the same
 * plans from the step on that it names. */
#include "mixing/small_mixers.h"

#include "base/constants.h"
#include "group/agree_call.h"
#include "group/membership.h"
#include "mixing/mixer_core.h"
#include "mixing/round_graph.h"

#include <string.h>

enum { STEPS = 100, MOST_NODES = 8, MOST_CHANGES = 16 };

typedef struct trial {
    sgp_mixer_options_t options;
    ranks_setup_t setup;
    sgp_loopback_fault_t faults[16];
    int fault_count;
    sgp_membership_options_t patience;
    uint64_t step_ns;
    int lies_in;         /* the step in which the last rank lies; 0: never */
    bool about_a_later;  /* it says that a later member of seat 2 is dead, who never was */
    int averages_before; /* a step before which all take the exact average; 0: none but at the end */
    bool gives_up[MOST_NODES]; /* expected */
    /* Results, by rank: */
    bool ended[MOST_NODES];
    sgp_status_t status[MOST_NODES];
    uint64_t refused[MOST_NODES];
    double totals[MOST_NODES]; /* of the weights at the end */
    uint64_t digests[MOST_NODES];
    uint64_t died_in[MOST_NODES]; /* the step in which it ended */
    sgp_change_t changes[MOST_NODES][MOST_CHANGES];
    size_t change_count[MOST_NODES];
    int plans[MOST_NODES][2 * STEPS][MOST_NODES], sizes[MOST_NODES][2 * STEPS];
    uint64_t learned[MOST_NODES]; /* the step before which it had the final view */
    uint64_t digest_at[MOST_NODES][STEPS];
    unsigned out[MOST_NODES][STEPS], in[MOST_NODES][STEPS]; /* edges, as bits of ranks */
    uint64_t longest[MOST_NODES];                           /* virtual nanoseconds of a step */
    int events[MOST_NODES][SGP_EVENT_RESUMED + 1];          /* by kind */
} trial_t;

/* In virtual time, as if it computed a gradient. */
static void compute(sgp_mixer_t *mixer, uint64_t nanoseconds) {
    uint64_t end = sgp_transport_now(mixer->transport) + nanoseconds;
    for (int i = 0; i < 1000 && sgp_transport_now(mixer->transport) < end; i++) {
        if (mixer->progress) { /* its thread has the inbox */
            sgp_transport_lock(mixer->transport);
            sgp_transport_pause(mixer->transport, end);
            sgp_transport_unlock(mixer->transport);
            continue;
        }
        sgp_inbox_collect(mixer->inbox);
        sgp_transport_wait(mixer->transport, end);
    }
}

static void take_events(trial_t *trial, sgp_group_t *group, int rank) {
    sgp_event_t event;
    for (int i = 0; i < 100 && sgp_group_next_event(group, &event) == SGP_OK; i++) {
        trial->events[rank][event.kind]++;
        if (trial->about_a_later) continue; /* then the seat is empty at once */
        if (event.kind == SGP_EVENT_LOST || event.kind == SGP_EVENT_REPLANNED)
            CHECK(event.step > 0 && event.step % SGP_MEMBER_STEP_UNIT == 0);
    }
    CHECK(sgp_group_next_event(group, &event) == SGP_ERR_AGAIN);
}

/* The public view says the same as the plan. */
static void check_public_view(sgp_group_t *group) {
    sgp_members_t view;
    sgp_member_t members[MOST_NODES];
    int plan[MOST_NODES], live = 0;
    uint64_t until;
    CHECK(sgp_group_view(group, &view, members, MOST_NODES) == SGP_OK);
    CHECK(view.capacity == sgp_group_capacity(group) && view.capacity == sgp_group_size(group));
    int count = sgp_membership_plan(sgp_group_membership(group), STEPS - 1, plan, &until);
    CHECK(view.nodes == count);
    CHECK(view.rank == sgp_plan_rank(plan, count, sgp_group_rank(group)));
    for (int r = 0; r < view.capacity; r++) {
        CHECK(members[r].rank == r && members[r].from == 0);
        CHECK((members[r].condition == SGP_CONDITION_LIVE) == (members[r].until == UINT64_MAX));
        live += members[r].condition == SGP_CONDITION_LIVE;
        CHECK(members[r].step <= STEPS);
    }
    CHECK(view.live == live);
}

static void record(trial_t *trial, sgp_membership_t *membership, int rank) {
    sgp_change_reader_t reader = {0};
    uint64_t until;
    trial->digests[rank] = sgp_membership_digest(membership);
    trial->change_count[rank] =
        sgp_membership_changes(membership, &reader, trial->changes[rank], MOST_CHANGES);
    sgp_change_t more[MOST_CHANGES];
    CHECK(sgp_membership_changes(membership, &reader, more, MOST_CHANGES) == 0);
    for (uint64_t k = 0; k < 2 * STEPS; k++)
        trial->sizes[rank][k] = sgp_membership_plan(membership, k, trial->plans[rank][k], &until);
}

static void send_view(sgp_transport_t *transport, uint64_t number, const unsigned char *bytes,
                      size_t count) {
    for (int r = 0; r < transport->size; r++) {
        sgp_header_t header = {
            .kind = SGP_KIND_VIEW, .encoding = SGP_ENCODING_BYTES, .step = number, .count = count};
        sgp_destination_t to = {.dst = r, .weight = 1};
        sgp_send_t send;
        if (r == transport->rank) continue;
        CHECK(sgp_transport_send_begin(transport, &header, &to, 1, &send) == SGP_OK);
        for (void *place; (place = sgp_transport_send_next(transport, &send));) {
            memcpy(place, bytes + send.header.offset, send.header.elements);
            sgp_transport_send_commit(transport, &send);
        }
    }
}

/* Nonsense, a message that is too long, seats that do not exist, and the death of a member that lives. */
static void lie(sgp_transport_t *transport, bool about_a_later) {
    static unsigned char bytes[100000];
    sgp_member_notice_t accusation = {.kind = SGP_MEMBER_DEAD,
                                      .flags = SGP_MEMBER_CERTAIN,
                                      .seat = 1,
                                      .step = 48,
                                      .last = 3,
                                      .origin = transport->rank};
    if (about_a_later) accusation.seat = 2, accusation.incarnation = UINT32_MAX;
    sgp_member_notice_t stranger = accusation;
    stranger.seat = 4000;
    memset(bytes, 0xff, sizeof bytes);
    send_view(transport, 0, bytes, 333);
    send_view(transport, 1, bytes, sizeof bytes);
    send_view(transport, 2, bytes, sgp_view_encode_notices(&stranger, 1, 0, bytes, sizeof bytes));
    send_view(transport, 3, bytes, sgp_view_encode_notices(&accusation, 1, 0, bytes, sizeof bytes));
}

/* Of step k, which is over. */
static void record_edges(trial_t *trial, const sgp_mixer_t *mixer, int rank, int k) {
    sgp_edge_t edges[MOST_NODES];
    int count = sgp_holes_out(mixer, (uint64_t)k, edges);
    for (int i = 0; i < count; i++) trial->out[rank][k] |= 1u << edges[i].peer;
    count = sgp_holes_in(mixer, (uint64_t)k, edges);
    for (int i = 0; i < count; i++) trial->in[rank][k] |= 1u << edges[i].peer;
}

static bool run_steps(trial_t *trial, sgp_mixer_t *mixer, int rank) {
    sgp_membership_t *membership = sgp_group_membership(mixer->group);
    for (int k = 0; k < STEPS; k++) {
        uint64_t begin = sgp_transport_now(mixer->transport);
        trial->died_in[rank] = (uint64_t)k;
        compute(mixer, trial->step_ns);
        if (k > 0 && k == trial->averages_before)
            trial->status[rank] = sgp_mixer_average(mixer, NULL, NULL);
        if (trial->status[rank] != SGP_OK) return false;
        if (k > 0 && k == trial->lies_in && rank == trial->setup.loopback.size - 1)
            lie(mixer->transport, trial->about_a_later);
        trial->status[rank] = sgp_mixer_step(mixer, NULL, NULL, 0);
        if (trial->status[rank] != SGP_OK) return false;
        uint64_t time = sgp_transport_now(mixer->transport) - begin;
        if (time > trial->longest[rank]) trial->longest[rank] = time;
        trial->digest_at[rank][k] = sgp_membership_digest(membership);
        record_edges(trial, mixer, rank, k);
    }
    return true;
}

static void body(sgp_transport_t *transport, void *context) {
    trial_t *trial = context;
    sgp_group_t *group = NULL;
    int rank = transport->rank;
    transport->elastic = true;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    sgp_membership_configure(sgp_group_membership(group), &trial->patience);
    sgp_mixer_t *mixer = make_mixer(group, &trial->options);
    trial->ended[rank] = mixer && run_steps(trial, mixer, rank);
    sgp_mixer_consensus_t consensus = {.w_total = 0};
    if (trial->ended[rank]) trial->status[rank] = sgp_mixer_average(mixer, NULL, &consensus);
    trial->totals[rank] = consensus.w_total;
    trial->ended[rank] = trial->ended[rank] && trial->status[rank] == SGP_OK;
    if (trial->ended[rank]) {
        record(trial, sgp_group_membership(group), rank);
        take_events(trial, group, rank);
        if (trial->options.overlap != SGP_OVERLAP_ASYNC && !trial->about_a_later)
            check_public_view(group);
    }
    if (trial->ended[rank])
        sgp_group_barrier(group); /* so that nobody has left before all have recorded */
    trial->refused[rank] = transport->counters.refused;
    sgp_mixer_destroy(mixer);
    if (trial->ended[rank]) sgp_group_leave(group);
    else sgp_group_abort(group);
}

static trial_t *trial_of(int size, sgp_algorithm_t algorithm, int overlap, uint64_t seed) {
    trial_t *trial = calloc(1, sizeof *trial);
    assert_non_null(trial);
    trial->setup = reordering(size, seed);
    trial->setup.loopback.delay_max_ns = 1000000;
    trial->step_ns = 1000000;
    trial->options.count = LENGTH;
    trial->options.algorithm = algorithm;
    trial->options.overlap = overlap;
    trial->options.graph.size = size;
    if (algorithm == SGP_ALGORITHM_DPSGD)
        trial->options.graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL;
    return trial;
}

static void kill_at(trial_t *trial, int seat, uint64_t time) {
    trial->faults[trial->fault_count++] =
        (sgp_loopback_fault_t){.kind = SGP_FAULT_KILL, .seat = seat, .from_ns = time};
}

static void run(trial_t *trial) {
    trial->setup.loopback.faults = trial->faults;
    trial->setup.loopback.fault_count = trial->fault_count;
    run_transports(&trial->setup, body, trial);
}

static bool is_killed(const trial_t *trial, int seat) {
    for (int i = 0; i < trial->fault_count; i++)
        if (trial->faults[i].kind == SGP_FAULT_KILL && trial->faults[i].seat == seat) return true;
    return false;
}

static int first_survivor(const trial_t *trial) {
    int rank = 0;
    while (is_killed(trial, rank)) rank++;
    return rank;
}

/* Each death has a notice, and the plan is without the member from its step on. */
static void check_changes(const trial_t *trial, int rank) {
    assert_int_equal(trial->change_count[rank], trial->fault_count);
    for (size_t i = 0; i < trial->change_count[rank]; i++) {
        const sgp_change_t *change = &trial->changes[rank][i];
        assert_int_equal(change->kind, SGP_CHANGE_DEAD);
        assert_true(is_killed(trial, change->seat));
        assert_int_equal(change->step % SGP_MEMBER_STEP_UNIT, 0);
        assert_true(change->step > trial->died_in[change->seat]);
        assert_true(change->step <= trial->died_in[change->seat] + 64);
        assert_true(change->last <= trial->died_in[change->seat]);
        if (trial->options.overlap != SGP_OVERLAP_ASYNC)
            assert_true(change->last +
                            (trial->fault_count > 1 ? 12 : 4) >= /* its last receivers died, too */
                        trial->died_in[change->seat]);
        for (uint64_t k = 0; k < 2 * STEPS; k++)
            assert_true((sgp_plan_rank(trial->plans[rank][k], trial->sizes[rank][k],
                                       change->seat) >= 0) == (k < change->step));
    }
}

static void check(const trial_t *trial) {
    int size = trial->setup.loopback.size, first = first_survivor(trial);
    for (int r = 0; r < size; r++) {
        assert_int_equal(trial->ended[r], !is_killed(trial, r));
        if (is_killed(trial, r)) continue;
        assert_int_equal(trial->digests[r], trial->digests[first]);
        assert_int_equal(trial->events[r][SGP_EVENT_LOST], trial->fault_count);
        assert_true(trial->events[r][SGP_EVENT_REPLANNED] > 0);
        check_changes(trial, r);
        assert_memory_equal(trial->sizes[r], trial->sizes[first], sizeof trial->sizes[r]);
        assert_memory_equal(trial->plans[r], trial->plans[first], sizeof trial->plans[r]);
    }
}

/* The survivors had the final view before the first step that it changes. */
static void check_in_time(const trial_t *trial) {
    int first = first_survivor(trial);
    for (int r = 0; r < trial->setup.loopback.size; r++) {
        uint64_t before = UINT64_MAX;
        if (is_killed(trial, r)) continue;
        for (size_t i = 0; i < trial->change_count[first]; i++)
            if (trial->changes[first][i].step < before) before = trial->changes[first][i].step;
        if (before < STEPS && before > 0)
            assert_int_equal(trial->digest_at[r][before - 1], trial->digests[first]);
    }
}

/* In a step in which all survivors had the final view each edge has the same two ends for both; and from the last K on none
 * leads to a node that is dead, and there are edges. */
static void check_graphs(const trial_t *trial) {
    int first = first_survivor(trial), size = trial->setup.loopback.size, live = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < trial->change_count[first]; i++)
        if (trial->changes[first][i].step > last) last = trial->changes[first][i].step;
    for (int r = 0; r < size; r++) live += !is_killed(trial, r);
    for (int k = 0; k < STEPS; k++) {
        bool known = true;
        for (int r = 0; r < size; r++)
            known &= is_killed(trial, r) || trial->digest_at[r][k] == trial->digests[first];
        for (int r = 0; known && r < size; r++) {
            if (is_killed(trial, r)) continue;
            if ((uint64_t)k >= last && trial->options.algorithm == SGP_ALGORITHM_SGP)
                assert_int_equal(trial->out[r][k] != 0, live > 1);
            for (int s = 0; s < size; s++) {
                bool dead = is_killed(trial, s), sends = trial->out[r][k] >> s & 1;
                if (dead && (uint64_t)k >= last) assert_false(sends);
                if (!dead) assert_int_equal(sends, trial->in[s][k] >> r & 1);
            }
        }
    }
}

static const struct {
    sgp_algorithm_t algorithm;
    int overlap;
} ways[] = {
    {SGP_ALGORITHM_SGP, 0},
    {SGP_ALGORITHM_DPSGD, 0},
    {SGP_ALGORITHM_SGP, 1},
    {SGP_ALGORITHM_SGP, SGP_OVERLAP_ASYNC},
};

static void test_one_death(void **state) {
    (void)state;
    for (int size = 2; size <= MOST_NODES; size++)
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            trial_t *trial = trial_of(size, ways[w].algorithm, ways[w].overlap, (uint64_t)size);
            kill_at(trial, size / 2, 40000000);
            run(trial);
            check(trial);
            check_in_time(trial);
            check_graphs(trial);
            free(trial);
        }
}

/* Two and three deaths, at any distance of each other: also in the middle of the spreading. */
static void test_more_deaths(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 7, 0);
    for (uint64_t seed = 0; seed < 24; seed++) {
        int size = 4 + (int)sgp_random_below(&random, 5);
        int deaths = 2 + (int)sgp_random_below(&random, 2);
        size_t w = (size_t)sgp_random_below(&random, sizeof ways / sizeof *ways);
        trial_t *trial = trial_of(size, ways[w].algorithm, ways[w].overlap, seed);
        uint64_t time = 10000000 + sgp_random_below(&random, 40000000);
        for (int i = 0; i < deaths; i++) {
            kill_at(trial, (int)(seed + (uint64_t)i) % size, time);
            time += sgp_random_below(&random, seed % 2 ? 1500000 : 20000000);
        }
        run(trial);
        check(trial);
        check_graphs(trial);
        free(trial);
    }
}

/* ---- silence ---- */

enum { SECOND = 1000000000 };

static void cut(trial_t *trial, sgp_fault_kind_t kind, int seat, int other, uint64_t length) {
    trial->faults[trial->fault_count++] = (sgp_loopback_fault_t){
        .kind = kind, .seat = seat, .other = other, .from_ns = 20000000, .length_ns = length};
}

static trial_t *silent_trial(int size, int overlap) {
    trial_t *trial = trial_of(size, SGP_ALGORITHM_SGP, overlap, (uint64_t)size);
    trial->patience =
        (sgp_membership_options_t){.dead_ns = 3ull * SECOND, .pause_ns = 5ull * SECOND};
    trial->step_ns = SECOND / 10; /* the others go on for longer than that */
    return trial;
}

/* Those that go on have the same view, in which `dead` members are dead; the others say that they are lost. */
static void check_outcome(const trial_t *trial, size_t dead) {
    int first = 0;
    while (trial->gives_up[first]) first++;
    for (int r = 0; r < trial->setup.loopback.size; r++) {
        assert_int_equal(trial->ended[r], !trial->gives_up[r]);
        if (trial->gives_up[r]) assert_int_equal(trial->status[r], SGP_ERR_PEER_LOST);
        if (trial->gives_up[r]) continue;
        assert_int_equal(trial->digests[r], trial->digests[first]);
        assert_int_equal(trial->change_count[r], dead);
    }
}

/* One node is cut off for good: the others strike it off, and it gives up. */
static void test_cut_off(void **state) {
    (void)state;
    for (int size = 3; size <= 6; size++) {
        trial_t *trial = silent_trial(size, 0);
        int lone = size % 2 ? 0 : size - 1;
        for (int r = 0; r < size; r++)
            if (r != lone) cut(trial, SGP_FAULT_CUT_BOTH, lone, r, SGP_FOR_GOOD);
        trial->gives_up[lone] = true;
        run(trial);
        check_outcome(trial, 1);
        free(trial);
    }
}

/* A node is cut off until the others have struck it off, formed the graph anew and averaged without it. Then its last pushes
 * arrive: their weight is not that of the others. */
static void test_late_pushes_of_one_that_was_struck_off(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        trial_t *trial = silent_trial(4, seed % 2 ? 1 : 0);
        trial->setup.loopback.seed = seed;
        trial->averages_before =
            60; /* after 6 s; from step 48 or so on the graph is that of three */
        for (int r = 0; r < 3; r++) cut(trial, SGP_FAULT_CUT_BOTH, 3, r, 8 * SGP_SECOND);
        for (int i = 0; i < trial->fault_count; i++)
            trial->faults[i].from_ns = SGP_SECOND / 2 + seed * SGP_SECOND / 80;
        trial->gives_up[3] = true;
        run(trial);
        check_outcome(trial, 1);
        for (int r = 0; r < 3; r++) assert_float_equal(trial->totals[r], 3, 1e-9);
        free(trial);
    }
}

/* An all-reduce waits for a silent node until it is dead, which is sooner than where only some wait for it. */
static void test_cut_off_in_an_all_reduce(void **state) {
    (void)state;
    trial_t *trial = silent_trial(4, 0);
    trial->options.algorithm = SGP_ALGORITHM_ALLREDUCE;
    trial->patience = (sgp_membership_options_t){.pause_ns = 3 * SGP_SECOND};
    for (int r = 0; r < 3; r++) cut(trial, SGP_FAULT_CUT_BOTH, 3, r, SGP_FOR_GOOD);
    trial->gives_up[3] = true;
    run(trial);
    check_outcome(trial, 1);
    for (int r = 0; r < 3; r++) assert_true(trial->longest[r] < 2 * SGP_SECOND);
    free(trial);
}

/* Of two nodes that do not hear each other the one with the lower seat goes on. */
static void test_half(void **state) {
    (void)state;
    trial_t *trial = silent_trial(2, 0);
    cut(trial, SGP_FAULT_CUT_BOTH, 0, 1, SGP_FOR_GOOD);
    trial->gives_up[1] = true;
    run(trial);
    check_outcome(trial, 1);
    free(trial);
}

/* The larger part of a network goes on. */
static void test_partition(void **state) {
    (void)state;
    for (int overlap = 0; overlap < 2; overlap++) {
        trial_t *trial = silent_trial(5, overlap);
        for (int r = 0; r < 3; r++)
            for (int s = 3; s < 5; s++) cut(trial, SGP_FAULT_CUT_BOTH, r, s, SGP_FOR_GOOD);
        trial->gives_up[3] = trial->gives_up[4] = true;
        run(trial);
        check_outcome(trial, 2);
        free(trial);
    }
}

/* Two nodes do not hear each other, and the third says that it hears both: nobody is dead, and the mixing goes on. If that
 * lasts, the one with the higher seat gives way in the collective call at the end. */
static void test_one_link(void **state) {
    (void)state;
    static const sgp_fault_kind_t kinds[] = {SGP_FAULT_CUT_BOTH, SGP_FAULT_CUT};
    for (int k = 0; k < 2; k++)
        for (int size = 3; size <= 5; size++) {
            trial_t *trial = silent_trial(size, SGP_OVERLAP_ASYNC);
            cut(trial, kinds[k], 0, 1, 8ull * SECOND);
            run(trial);
            check_outcome(trial, 0);
            free(trial);
        }
    trial_t *trial = silent_trial(4, SGP_OVERLAP_ASYNC);
    cut(trial, SGP_FAULT_CUT_BOTH, 2, 1, SGP_FOR_GOOD);
    trial->gives_up[2] = true;
    run(trial);
    check_outcome(trial, 1);
    assert_int_equal(trial->changes[0][0].kind, SGP_CHANGE_LEFT);
    free(trial);
}

/* A part without quorum pauses, and goes on once it hears the others again; nobody was long enough away to be dead. */
static void test_healed(void **state) {
    (void)state;
    trial_t *trial = silent_trial(5, SGP_OVERLAP_ASYNC);
    for (int r = 0; r < 3; r++)
        for (int s = 3; s < 5; s++) cut(trial, SGP_FAULT_CUT_BOTH, r, s, 5ull * SECOND / 2);
    run(trial);
    check_outcome(trial, 0);
    for (int r = 0; r < 5; r++) {
        assert_int_equal(trial->events[r][SGP_EVENT_PAUSED], r >= 3);
        assert_int_equal(trial->events[r][SGP_EVENT_RESUMED], r >= 3);
        assert_int_equal(trial->events[r][SGP_EVENT_LOST], 0);
    }
    free(trial);
}

/* ---- a member that lies ---- */

/* The nonsense is refused and changes nothing. A notice is final, also a wrong one: the accused says that it is taken for
 * dead, and the others go on without it, all with the same view. */
static void test_liar(void **state) {
    (void)state;
    trial_t *trial = trial_of(4, SGP_ALGORITHM_SGP, SGP_OVERLAP_ASYNC, 4);
    trial->lies_in = 10;
    trial->step_ns = 50000000;
    trial->gives_up[1] = true;
    run(trial);
    check_outcome(trial, 1);
    for (int r = 0; r < 4; r++) assert_int_equal(trial->refused[r], r == 3 ? 0 : 3);
    free(trial);
}

/* The same with a notice of an incarnation that is yet to come: the member of that seat reads that its place was given away, and
 * ends as the accused does. The others note that end, which is none of the later member's: their views stay equal. What is known of
 * seats takes no more room, and the others go on. */
static void test_liar_about_a_later_member(void **state) {
    (void)state;
    for (uint64_t seed = 3; seed <= 27; seed++) {
        int size = 4 + (int)(seed % 3), overlap = seed % 4 == 3 ? SGP_OVERLAP_ASYNC : 0;
        trial_t *trial =
            trial_of(size, seed % 2 ? SGP_ALGORITHM_SGP : SGP_ALGORITHM_DPSGD, overlap, seed);
        trial->lies_in = 10 + seed % 7;
        trial->about_a_later = true;
        trial->step_ns = 50000000;
        trial->gives_up[2] = true;
        run(trial);
        check_outcome(trial, 1);
        for (int r = 0; r < size - 1; r++)
            if (!trial->gives_up[r]) assert_true(trial->refused[r] > 0);
        free(trial);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_death),
        cmocka_unit_test(test_more_deaths),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_late_pushes_of_one_that_was_struck_off),
        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_one_link),
        cmocka_unit_test(test_cut_off_in_an_all_reduce),
        cmocka_unit_test(test_healed),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_liar_about_a_later_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
