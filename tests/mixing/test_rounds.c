/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of several rounds: the bits of as many steps of one round; the exact mean after each step where the graph has one;
 * exact mass on every graph. */
#include "mixing/small_mixers.h"

#include "group/agree_call.h"
#include "group/membership.h"
#include "mixing/mixer_internal.h"

#include <math.h>
#include <string.h>

enum { STEPS = 5, MOST = 16, BUFFERS = 13 };

/* Each node changes its own z by a gradient that depends on where it is. In turns: a mixer of one round makes the further
 * rounds as steps of their own. */
typedef struct run {
    sgp_mixer_options_t options;
    bool in_turns, takes_turns;
    bool optimizer; /* the mixer's: else the caller changes z */
    size_t length;
    int nodes;
    float *z; /* (STEPS, nodes, length) after each step */
    double w[STEPS][MOST];
    sgp_mixer_statistics_t statistics[MOST];
    sgp_mixer_consensus_t consensus[MOST];
} run_t;

#define RATE 0.05f

static void take_gradient(const run_t *run, const sgp_mixer_t *mixer, int rank, int step,
                          float *gradient) {
    const float *z = sgp_mixer_parameters((sgp_mixer_t *)(uintptr_t)mixer);
    for (size_t i = 0; i < run->options.count; i++)
        gradient[i] = z[i] - initial_value(rank + 20 * step, i % LENGTH);
}

static int64_t rounds_of(const run_t *run) {
    sgp_mixer_options_t options = run->options;
    options.graph.size = run->nodes;
    return sgp_mixer_rounds(&options);
}

static void step_alone(const run_t *run, sgp_mixer_t *mixer, const float *gradient) {
    sgp_mixer_statistics_t statistics;
    float *z = sgp_mixer_parameters(mixer);
    sgp_mixer_statistics(mixer, &statistics);
    float rate = (float)((double)RATE / statistics.weight);
    for (size_t i = 0; i < run->options.count; i++) z[i] -= rate * gradient[i];
}

/* A step of H local steps in a mixer of one round, which exchanges in every step: the others are the caller's alone. */
static void step_in_turns(const run_t *run, sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                          const float *gradient, int step) {
    int length = run->options.local_steps ? run->options.local_steps : 1;
    if ((step + 1) % length != 0) return;
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_OK);
    for (int64_t r = 1; r < rounds_of(run); r++)
        CHECK(sgp_mixer_step(mixer, NULL, NULL, RATE) == SGP_OK);
}

static sgp_mixer_options_t options_of(const run_t *run) {
    sgp_mixer_options_t options = run->options;
    if (!run->in_turns) return options;
    options.rounds = 0;
    options.local_steps = 0;
    options.slow_every *= (int)rounds_of(run);
    return options;
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_options_t options = options_of(run);
    sgp_group_transport(group)->takes_turns |= run->takes_turns;
    sgp_optimizer_t *optimizer = run->optimizer ? make_optimizer(run->options.count, 0.875f) : NULL;
    float *gradient = calloc(run->length, sizeof *gradient);
    float *initial = calloc(run->length, sizeof *initial);
    sgp_mixer_t *mixer = NULL;
    for (size_t i = 0; i < run->length; i++) initial[i] = initial_value(rank, i % LENGTH);
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_OK);
    for (int k = 0; mixer && k < STEPS; k++) {
        take_gradient(run, mixer, rank, k, gradient);
        if (!optimizer) step_alone(run, mixer, gradient);
        if (run->in_turns) step_in_turns(run, mixer, optimizer, gradient, k);
        else CHECK(sgp_mixer_step(mixer, optimizer, gradient, RATE) == SGP_OK);
        memcpy(run->z + ((size_t)k * (size_t)run->nodes + (size_t)rank) * run->length,
               sgp_mixer_parameters(mixer), run->length * sizeof *run->z);
        sgp_mixer_statistics(mixer, &run->statistics[rank]);
        run->w[k][rank] = run->statistics[rank].weight;
    }
    if (mixer) CHECK(sgp_mixer_average(mixer, NULL, &run->consensus[rank]) == SGP_OK);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(gradient);
    free(initial);
}

static void make(const ranks_setup_t *setup, run_t *run) {
    run->nodes = setup->loopback.size;
    run->length = run->options.count + run->options.buffers;
    run->z = calloc((size_t)STEPS * (size_t)run->nodes * run->length, sizeof *run->z);
    assert_non_null(run->z);
    run_groups(setup, body, run);
}

static bool fits(const run_t *run, int nodes) {
    sgp_graph_t graph = run->options.graph;
    graph.size = nodes;
    return sgp_graph_check(&graph) == SGP_OK;
}

/* ---- the same bits as one round after another ---- */

static void hold_rows(const run_t *a, const run_t *b, const char *name) {
    for (size_t row = 0; row < (size_t)STEPS * (size_t)a->nodes; row++)
        for (size_t i = 0; i < a->length; i++) {
            const float *x = &a->z[row * a->length + i], *y = &b->z[row * a->length + i];
            if (!memcmp(x, y, sizeof *x)) continue;
            fail_msg("%s, %d nodes: step %d, node %d, element %d: %.9g, not %.9g", name, a->nodes,
                     (int)row / a->nodes, (int)row % a->nodes, (int)i, (double)*y, (double)*x);
        }
}

static void try(const ranks_setup_t *setup, const run_t *what, const char *name) {
    run_t turns = *what, rounds = *what;
    turns.in_turns = true;
    if (!fits(what, setup->loopback.size)) return;
    make(setup, &turns);
    make(setup, &rounds);
    hold_rows(&turns, &rounds, name);
    assert_memory_equal(turns.w, rounds.w, sizeof turns.w);
    for (int r = 0; r < rounds.nodes; r++) {
        const sgp_mixer_statistics_t *a = &turns.statistics[r], *b = &rounds.statistics[r];
        assert_true(a->sent == b->sent && a->received == b->received);
        assert_true(a->bytes_sent == b->bytes_sent && b->steps == STEPS && b->late == 0);
        assert_true(rounds.consensus[r].drift < 1e-5);
        assert_true(what->options.biased ||
                    fabs(rounds.consensus[r].w_total - rounds.nodes) < 1e-12);
    }
    free(turns.z);
    free(rounds.z);
}

typedef struct setting {
    const char *name;
    sgp_mixer_options_t options;
    bool caller; /* changes z */
} setting_t;

#define ROW(...)                                                                                   \
    {                                                                                              \
        .name = #__VA_ARGS__, .options = { __VA_ARGS__ }                                           \
    }
#define F16  .encoding = SGP_ENCODING_FLOAT16
#define BF16 .encoding = SGP_ENCODING_BFLOAT16

static const setting_t settings[] = {
    ROW(.rounds = 2),
    ROW(.rounds = SGP_ROUNDS_AUTO),
    ROW(.rounds = 3, BF16),
    ROW(.rounds = 5, .graph.kind = SGP_GRAPH_RANDOM),
    ROW(.rounds = 12, F16),
    ROW(.rounds = SGP_ROUNDS_AUTO, .graph = {.kind = SGP_GRAPH_BASE}),
    ROW(.rounds = 3, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN),
    ROW(.rounds = 2, .graph.kind = SGP_GRAPH_COMPLETE, BF16),
    ROW(.rounds = 2, .graph = {.peers = 2}),
    ROW(.rounds = 3, .biased = true),
    ROW(.rounds = 2, .biased = true, F16),
    ROW(.rounds = 3, .algorithm = SGP_ALGORITHM_DPSGD),
    ROW(.rounds = SGP_ROUNDS_AUTO, .algorithm = SGP_ALGORITHM_DPSGD, BF16),
    ROW(.rounds = 2, .slow_every = 2, .slow_momentum = 0.5f),
    {"local steps", {.rounds = 3, .local_steps = 2}, true},
    {"local steps", {.rounds = SGP_ROUNDS_AUTO, .local_steps = 3, BF16}, true},
    {"the caller's optimizer", {.rounds = 4}, true},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static run_t run_of(const setting_t *setting) {
    run_t run = {.options = setting->options, .optimizer = !setting->caller};
    run.options.count = LENGTH;
    run.options.buffers = BUFFERS;
    return run;
}

static void test_bits(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++)
        for (int nodes = 1 + s % 2; nodes <= 6; nodes += 2) {
            ranks_setup_t setup = reordering(nodes, (uint64_t)s);
            run_t run = run_of(&settings[s]);
            run.takes_turns = nodes / 2 % 2;
            try(&setup, &run, settings[s].name);
        }
}

static void test_bits_over_shm_and_tcp(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++) {
        bool tcp = s % 2;
        ranks_setup_t setup = {
            .shm = !tcp, .tcp = tcp, .loopback = {.size = 4, .chunk_bytes = 256}};
        run_t run = run_of(&settings[s]);
        try(&setup, &run, settings[s].name);
    }
}

/* Chunks of the usual size. */
static void test_bits_of_a_large_vector(void **state) {
    (void)state;
    for (int s = 0; s < 3; s++) {
        ranks_setup_t setup = {.shm = s == 1, .tcp = s == 2, .loopback = {.size = 4}};
        run_t run = run_of(&settings[s]);
        run.options.count = 300007;
        try(&setup, &run, settings[s].name);
    }
}

/* ---- the exact mean ---- */

/* All nodes go on from the mean m: each gradient is m - target, so m <- m - rate (m - mean of the targets). */
static void next_mean(double *mean, int nodes, int step, float rate) {
    for (size_t i = 0; i < LENGTH; i++) {
        double target = 0;
        for (int r = 0; r < nodes; r++) target += initial_value(r + 20 * step, i);
        mean[i] -= (double)rate * (mean[i] - target / nodes);
    }
}

/* The first gradients are taken where each node begins; the mean of those is that of the mean. */
static void check_mean(const run_t *run) {
    double mean[LENGTH] = {0};
    for (size_t i = 0; i < LENGTH; i++)
        for (int r = 0; r < run->nodes; r++) mean[i] += initial_value(r, i) / (double)run->nodes;
    for (int k = 0; k < STEPS; k++) {
        next_mean(mean, run->nodes, k, RATE);
        for (int r = 0; r < run->nodes; r++)
            for (size_t i = 0; i < LENGTH; i++) {
                size_t row = (size_t)k * (size_t)run->nodes + (size_t)r;
                double off = fabs((double)run->z[row * run->length + i] - mean[i]);
                if (off < 2e-6) continue;
                fail_msg("%d nodes, step %d, node %d: element %d is %g off the mean", run->nodes, k,
                         r, (int)i, off);
            }
    }
}

/* sent: messages per step. */
static void try_exact(int nodes, sgp_mixer_options_t options, uint64_t sent) {
    ranks_setup_t setup = reordering(nodes, (uint64_t)nodes);
    run_t run = {.options = options, .optimizer = false};
    run.options.count = LENGTH;
    run.options.rounds = SGP_ROUNDS_AUTO;
    make(&setup, &run);
    check_mean(&run);
    for (int r = 0; r < nodes; r++) {
        assert_true(run.statistics[r].weight == 1.0 || options.graph.kind == SGP_GRAPH_BASE);
        if (sent) assert_int_equal(run.statistics[r].sent, STEPS * sent);
        assert_true(run.consensus[r].drift < 1e-6);
    }
    free(run.z);
}

static void test_exact_means(void **state) {
    (void)state;
    for (int p = 1; p <= 4; p++) try_exact(1 << p, (sgp_mixer_options_t){0}, (uint64_t)p);
    try_exact(9, (sgp_mixer_options_t){.graph.peers = 2}, 4);
    for (int nodes = 2; nodes <= 7; nodes++) {
        try_exact(nodes, (sgp_mixer_options_t){.graph.kind = SGP_GRAPH_BASE}, 0);
        try_exact(nodes, (sgp_mixer_options_t){.graph.kind = SGP_GRAPH_COMPLETE},
                  (uint64_t)nodes - 1);
    }
}

/* A switch to rounds begins at a multiple of them: else the base graph's period would begin in its middle. */
static void switch_to_rounds(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_options_t options = {.count = LENGTH, .graph.kind = SGP_GRAPH_BASE};
    sgp_mixer_t *mixer = make_mixer(group, &options);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    for (size_t i = 0; i < LENGTH; i++)
        sgp_mixer_parameters(mixer)[i] = initial_value(sgp_group_rank(group), i);
    options.rounds = SGP_ROUNDS_AUTO;
    CHECK(sgp_mixer_switch(mixer, &options) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    for (size_t i = 0; i < LENGTH; i++) {
        double mean = 0;
        for (int r = 0; r < 5; r++) mean += initial_value(r, i) / 5.0;
        CHECK(fabs(sgp_mixer_parameters(mixer)[i] - mean) < 1e-6);
    }
    sgp_mixer_destroy(mixer);
}

static void test_switch(void **state) {
    (void)state;
    ranks_setup_t setup = reordering(5, 1);
    run_groups(&setup, switch_to_rounds, NULL);
}

/* Of H steps the last one makes R exchanges. Whatever step a node is at, an exchange belongs to the same one. */
static void test_steps_of_exchanges(void **state) {
    (void)state;
    for (uint64_t h = 1; h <= 3; h++)
        for (uint64_t r = 1; r <= 4; r++)
            for (uint64_t step = 0; step < 12; step++) {
                sgp_moment_t moment = {
                    .step = step, .round = step / h * r, .local_steps = h, .rounds = r};
                for (uint64_t exchange = 0; exchange < 30; exchange++)
                    assert_int_equal(sgp_moment_step(&moment, exchange), exchange / r * h + h - 1);
            }
}

/* ---- mass ---- */

static void test_mass(void **state) {
    (void)state;
    static const sgp_graph_kind_t kinds[] = {SGP_GRAPH_EXPONENTIAL, SGP_GRAPH_RING,
                                             SGP_GRAPH_RANDOM, SGP_GRAPH_RANDOM_UNEVEN};
    for (int k = 0; k < 4; k++)
        for (int nodes = 3; nodes <= 7; nodes++) {
            ranks_setup_t setup = reordering(nodes, (uint64_t)(k + nodes));
            run_t run = {.options = {.count = LENGTH, .rounds = 1 + (k + nodes) % 4},
                         .optimizer = true};
            run.options.graph.kind = kinds[k];
            make(&setup, &run);
            for (int r = 0; r < nodes; r++) {
                assert_true(fabs(run.consensus[r].w_total - nodes) < 1e-12);
                assert_true(run.consensus[r].drift < 1e-6);
            }
            free(run.z);
        }
}

/* ---- a message that is torn ---- */

typedef struct torn {
    int nodes;
    sgp_loopback_fault_t kill;
    uint64_t calls; /* of the node that is killed */
    uint64_t torn;
    double created;
} torn_t;

static void check_hull(const sgp_mixer_t *mixer, int nodes) {
    const float *z = sgp_mixer_parameters((sgp_mixer_t *)(uintptr_t)mixer);
    for (size_t i = 0; i < LENGTH; i++) {
        float low = INFINITY, high = -INFINITY;
        for (int r = 0; r < nodes; r++) {
            low = fminf(low, initial_value(r, i));
            high = fmaxf(high, initial_value(r, i));
        }
        CHECK(z[i] >= low - 1e-5f && z[i] <= high + 1e-5f);
    }
}

/* Rank 0 lives: a weight that later rounds have been lent stays, so its own never runs out. */
static void live_on(torn_t *torn, sgp_mixer_t *mixer, int rank) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_consensus_t consensus;
    sgp_status_t status = SGP_OK;
    for (int k = 0; k < 4 && status == SGP_OK; k++) {
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
        if (rank > 0) continue;
        sgp_mixer_statistics(mixer, &statistics);
        CHECK(status == SGP_OK && statistics.weight > 0.24);
        CHECK((statistics.torn > 0) == (statistics.weight_created > 0));
        check_hull(mixer, torn->nodes);
    }
    /* Of two nodes each message weighs 1/2, as w is 1 before each push. */
    double balance = 1 + statistics.weight_returned + statistics.weight_created +
                     0.5 * ((double)statistics.received - (double)statistics.sent);
    if (rank == 0 && torn->nodes == 2 && statistics.torn > 0)
        CHECK(fabs(statistics.weight - balance) < 1e-12);
    if (status == SGP_OK) status = sgp_mixer_average(mixer, NULL, &consensus);
    if (rank > 0) return;
    CHECK(status == SGP_OK && fabs(consensus.w_total - round(consensus.w_total)) < 1e-9);
    torn->torn += statistics.torn;
    torn->created += statistics.weight_created;
}

static void torn_body(sgp_transport_t *transport, void *context) {
    torn_t *torn = context;
    sgp_group_t *group = NULL;
    int rank = transport->rank;
    transport->elastic = true;
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    sgp_mixer_options_t options = {.count = LENGTH, .rounds = 3};
    sgp_mixer_t *mixer = make_mixer(group, &options);
    live_on(torn, mixer, rank);
    if (rank == torn->kill.seat) torn->calls = sgp_loopback_calls(transport);
    bool dead = sgp_fates_of(transport->fates, rank).state == SGP_FATE_LOST;
    sgp_mixer_destroy(mixer);
    if (dead) sgp_group_abort(group);
    else sgp_group_leave(group);
}

/* A node dies at each of its calls, so in the middle of each message. */
static void test_torn_messages(void **state) {
    (void)state;
    for (int nodes = 2; nodes <= 3; nodes++) {
        torn_t torn = {.nodes = nodes, .kill = {.kind = SGP_FAULT_KILL_AT_CALL, .seat = nodes - 1}};
        ranks_setup_t setup = reordering(nodes, 3);
        run_transports(&setup, torn_body, &torn);
        assert_true(torn.torn == 0 && torn.created == 0);
        uint64_t calls = torn.calls;
        for (torn.kill.call = 1; torn.kill.call < calls; torn.kill.call += 83) {
            setup.loopback.faults = &torn.kill;
            setup.loopback.fault_count = 1;
            run_transports(&setup, torn_body, &torn);
        }
        assert_true(torn.torn > 0 && torn.created > 0);
    }
}

/* ---- refusals ---- */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        sgp_mixer_options_t options;
        const char *text;
    } wrong[] = {
        {{.rounds = -2}, "rounds are -2: must be 1 to 64, or auto"},
        {{.rounds = 65}, "rounds are 65: must be 1 to 64, or auto"},
        {{.rounds = 2, .algorithm = SGP_ALGORITHM_ALLREDUCE}, "rounds work with sgp and dpsgd"},
        {{.rounds = SGP_ROUNDS_AUTO, .algorithm = SGP_ALGORITHM_ADPSGD}, "sgp and dpsgd"},
        {{.rounds = 2, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1}, "overlap 0"},
        {{.rounds = 2, .overlap = SGP_OVERLAP_ASYNC}, "overlap 0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sgp_mixer_options_t options = wrong[i].options;
        options.graph.size = 4;
        assert_int_equal(sgp_mixer_check(&options), SGP_ERR_INVALID);
        assert_non_null(strstr(sgp_last_error(), wrong[i].text));
    }
    sgp_mixer_options_t fine = {.rounds = 64, .graph.size = 4};
    assert_int_equal(sgp_mixer_check(&fine), SGP_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_over_shm_and_tcp),
        cmocka_unit_test(test_bits_of_a_large_vector),
        cmocka_unit_test(test_exact_means),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_steps_of_exchanges),
        cmocka_unit_test(test_mass),
        cmocka_unit_test(test_torn_messages),
        cmocka_unit_test(test_refusals),
    };
    sgp_log_set(NULL, NULL, SGP_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
