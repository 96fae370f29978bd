/* SPDX-License-Identifier: Apache-2.0 */
/* A step in parts: the bits of a whole step, whatever the parts, their order, and the order of arrival. */
#include "mixing/trial.h"

#include "base/random.h"

enum { LENGTH = 300, BUFFERS = 33, ALL = LENGTH + BUFFERS, STEPS = 6, NODES = 6 };

/* Who steps in parts: nobody, all, or some nodes in some steps. */
typedef enum way { WHOLE, PARTS, MIXED } way_t;

typedef struct run {
    sgp_mixer_options_t options;
    sgp_optimizer_options_t optimizer;
    bool own_optimizer; /* the caller changes z */
    way_t way;
    uint64_t seed;            /* of the parts */
    bool lazy;                /* an average waits for the rest of a step */
    sgp_mixer_options_t then; /* from half of the steps on; count 0: no switch */
    int slice_ms;
    atomic_int left; /* times that a call returned in the middle */
    size_t length;   /* P + S */
    float *z;        /* (STEPS, NODES, length) after each step */
    float *mean;     /* (NODES, length) */
    sgp_mixer_consensus_t consensus[NODES];
    sgp_mixer_statistics_t statistics[NODES];
} run_t;

/* Makes a call until it is done. */
#define AGAIN(run, call)                                                                           \
    do {                                                                                           \
        sgp_status_t status_;                                                                      \
        while ((status_ = (call)) == SGP_ERR_AGAIN) atomic_fetch_add(&(run)->left, 1);             \
        CHECK(status_ == SGP_OK);                                                                  \
    } while (0)

/* ---- random parts ---- */

typedef struct range {
    size_t offset, count;
} range_t;

/* A partition of [0, length) into parts of random sizes, in random order. ranges: (length). Returns how many. */
static size_t partition(sgp_random_t *random, size_t length, range_t *ranges) {
    static const size_t most[] = {1, 5, 16, 40, 200, SIZE_MAX};
    size_t count = 0, limit = most[sgp_random_below(random, 6)];
    if (limit > length) limit = length;
    if (length / limit > 2000) limit = length / 2000;
    for (size_t at = 0; at < length; count++) {
        size_t size = limit == length ? length : 1 + (size_t)sgp_random_below(random, limit);
        if (size > length - at) size = length - at;
        ranges[count] = (range_t){at, size};
        at += size;
    }
    for (size_t i = 1; i < count; i++) {
        size_t j = (size_t)sgp_random_below(random, i + 1);
        range_t first = ranges[i];
        ranges[i] = ranges[j];
        ranges[j] = first;
    }
    return count;
}

/* ---- one node ---- */

typedef struct node {
    run_t *run;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer; /* NULL: the caller's own */
    int rank;
    float *gradient, *before;
    range_t *ranges;
    sgp_random_t random;
} node_t;

static void take_gradient(node_t *node, int step) {
    const float *z = sgp_mixer_parameters(node->mixer);
    for (size_t i = 0; i < node->run->options.count; i++)
        node->gradient[i] = z[i] - target_of(node->rank) +
                            0.125f * (float)((i * 7 + (size_t)step * 3 + (size_t)node->rank) % 11);
    for (size_t i = node->run->options.count; i < node->run->length; i++)
        sgp_mixer_parameters(node->mixer)[i] += 0.25f * (float)(node->rank + (int)i % 3);
}

/* Of a caller with an optimizer of its own. */
static void change_z(node_t *node, size_t offset, size_t count) {
    float *z = sgp_mixer_parameters(node->mixer);
    for (size_t i = offset; i < offset + count && i < node->run->options.count; i++)
        z[i] -= LR * node->gradient[i];
}

/* An element that has not been given is the caller's: nothing changes it. */
static void step_in_parts(node_t *node, bool waits) {
    run_t *run = node->run;
    sgp_mixer_t *mixer = node->mixer;
    const float *z = sgp_mixer_parameters(mixer);
    memcpy(node->before, z, run->length * sizeof *z);
    AGAIN(run, sgp_mixer_begin(mixer, node->optimizer, node->gradient, LR));
    size_t parts = partition(&node->random, run->length, node->ranges);
    for (size_t i = 0; i < parts; i++) {
        range_t range = node->ranges[i];
        CHECK(!memcmp(node->before + range.offset, z + range.offset, range.count * sizeof *z));
        if (!node->optimizer) change_z(node, range.offset, range.count);
        AGAIN(run, sgp_mixer_part(mixer, range.offset, range.count));
    }
    AGAIN(run, sgp_mixer_end(mixer));
    if (!waits) return;
    parts = partition(&node->random, run->length, node->ranges);
    for (size_t i = 0; i < parts; i++)
        AGAIN(run, sgp_mixer_wait(mixer, node->ranges[i].offset, node->ranges[i].count));
}

static void one_way_or_the_other(node_t *node, int step, bool waits) {
    run_t *run = node->run;
    bool parts = run->way == PARTS || (run->way == MIXED && (node->rank + step) % 3 != 0);
    take_gradient(node, step);
    if (parts) {
        step_in_parts(node, waits);
        return;
    }
    if (!node->optimizer) change_z(node, 0, run->length);
    AGAIN(run, sgp_mixer_step(node->mixer, node->optimizer, node->gradient, LR));
}

static void make_steps(node_t *node) {
    run_t *run = node->run;
    float *mean = run->mean + (size_t)node->rank * run->length;
    for (int k = 0; k < STEPS; k++) {
        bool averages = run->lazy && k % 2 == 1;
        one_way_or_the_other(node, k, !averages);
        if (averages) AGAIN(run, sgp_mixer_average(node->mixer, mean, NULL));
        if (run->then.count && k == STEPS / 2)
            AGAIN(run, sgp_mixer_switch(node->mixer, &run->then));
        memcpy(run->z + ((size_t)k * NODES + (size_t)node->rank) * run->length,
               sgp_mixer_parameters(node->mixer), run->length * sizeof(float));
        sgp_mixer_statistics_t statistics;
        sgp_mixer_statistics(node->mixer, &statistics);
        CHECK(statistics.steps == (uint64_t)k + 1);
    }
    AGAIN(run, sgp_mixer_average(node->mixer, mean, &run->consensus[node->rank]));
    sgp_mixer_statistics(node->mixer, &run->statistics[node->rank]);
}

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    node_t node = {.run = run, .rank = sgp_group_rank(group)};
    sgp_optimizer_t *optimizer = NULL;
    sgp_optimizer_options_t options = run->optimizer;
    options.count = run->options.count;
    node.gradient = calloc(run->length, sizeof(float));
    node.before = calloc(run->length, sizeof(float));
    node.ranges = calloc(run->length, sizeof *node.ranges);
    sgp_random_init(&node.random, run->seed, (uint64_t)node.rank);
    for (size_t i = 0; i < run->length; i++) node.before[i] = (float)(node.rank + (int)(i % 5));
    CHECK(sgp_optimizer_create(&options, &optimizer) == SGP_OK);
    node.optimizer = run->own_optimizer ? NULL : optimizer;
    sgp_group_set_slice(group, run->slice_ms);
    AGAIN(run, sgp_mixer_create(group, &run->options, node.before, &node.mixer));
    if (node.mixer) make_steps(&node);
    sgp_group_set_slice(group, 0);
    sgp_mixer_destroy(node.mixer);
    sgp_optimizer_destroy(optimizer);
    free(node.gradient);
    free(node.before);
    free(node.ranges);
}

/* ---- runs, held against each other ---- */

static void begin_run(run_t *run) {
    run->length = run->options.count + run->options.buffers;
    run->z = calloc(STEPS * NODES * run->length, sizeof *run->z);
    run->mean = calloc(NODES * run->length, sizeof *run->mean);
}

static void end_run(run_t *run) {
    free(run->z);
    free(run->mean);
}

static void hold_rows(const run_t *whole, const run_t *run, size_t row, const char *name) {
    const float *a = whole->z + row * run->length, *b = run->z + row * run->length;
    if (!memcmp(a, b, run->length * sizeof *a)) return;
    size_t i = 0;
    while (!memcmp(&a[i], &b[i], sizeof *a)) i++;
    fail_msg("%s, seed %d: step %d, node %d, element %d: %.9g, not %.9g", name, (int)run->seed,
             (int)(row / NODES), (int)(row % NODES), (int)i, (double)b[i], (double)a[i]);
}

static void hold_against(const run_t *whole, const run_t *run, const char *name) {
    size_t length = run->length;
    for (size_t row = 0; row < (size_t)STEPS * NODES; row++) hold_rows(whole, run, row, name);
    assert_memory_equal(whole->mean, run->mean, NODES * length * sizeof(float));
    for (int r = 0; r < NODES; r++) {
        const sgp_mixer_statistics_t *a = &whole->statistics[r], *b = &run->statistics[r];
        assert_true(whole->consensus[r].drift == run->consensus[r].drift);
        assert_true(run->consensus[r].drift < 1e-5);
        assert_true(whole->consensus[r].w_total == run->consensus[r].w_total);
        assert_true(a->sent == b->sent && a->received == b->received && a->late == b->late);
        assert_true(a->bytes_sent == b->bytes_sent && a->steps == b->steps);
        assert_true(a->weight == b->weight && b->refused == 0);
    }
}

/* The same run in parts and mixed; in each of the setups all ways give the same bits. */
static void try_seeds(const ranks_setup_t *setup, const run_t *what, const char *name, int seeds) {
    run_t whole = *what;
    sgp_graph_t graph = what->options.graph;
    graph.size = setup->loopback.size;
    if (sgp_graph_check(&graph) != SGP_OK) return; /* more peers than other nodes */
    whole.way = WHOLE;
    begin_run(&whole);
    run_groups(setup, body, &whole);
    for (int seed = 1; seed <= seeds; seed++)
        for (way_t way = PARTS; way <= MIXED; way++) {
            run_t run = *what;
            run.way = way;
            run.seed = (uint64_t)seed;
            begin_run(&run);
            run_groups(setup, body, &run);
            hold_against(&whole, &run, name);
            if (run.slice_ms && setup->loopback.size > 1) assert_true(run.left > 0);
            end_run(&run);
        }
    end_run(&whole);
}

typedef struct setting {
    const char *name;
    sgp_mixer_options_t options;
} setting_t;

#define ROW(...)                                                                                   \
    {                                                                                              \
#__VA_ARGS__, {                                                                            \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define F16  .encoding = SGP_ENCODING_FLOAT16
#define BF16 .encoding = SGP_ENCODING_BFLOAT16
#define I8   .encoding = SGP_ENCODING_INT8
#define I4   .encoding = SGP_ENCODING_INT4

static const setting_t settings[] = {
    ROW(.local_steps = 1),
    ROW(.graph.kind = SGP_GRAPH_COMPLETE),
    ROW(.graph.kind = SGP_GRAPH_RANDOM_UNEVEN),
    ROW(.graph = {.kind = SGP_GRAPH_RING, .peers = 2}, BF16),
    ROW(.graph.peers = 2, F16),
    ROW(BF16, .local_steps = 2),
    ROW(.local_steps = 3),
    ROW(.rounds = 3),
    ROW(.rounds = 2, BF16, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN),
    ROW(.rounds = SGP_ROUNDS_AUTO, .graph.kind = SGP_GRAPH_BASE, .local_steps = 2),
    ROW(.rounds = 2, .algorithm = SGP_ALGORITHM_DPSGD, F16),
    ROW(.biased = true),
    ROW(.biased = true, F16),
    ROW(.overlap = 1),
    ROW(.overlap = 2, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN),
    ROW(.overlap = 1, BF16),
    ROW(.overlap = 2, F16, .graph.peers = 2),
    ROW(.overlap = 1, F16, .local_steps = 2),
    ROW(.overlap = 1, .biased = true),
    ROW(.overlap = 2, .biased = true, BF16),
    ROW(.algorithm = SGP_ALGORITHM_DPSGD),
    ROW(.algorithm = SGP_ALGORITHM_DPSGD, F16),
    ROW(.slow_every = 100, .slow_momentum = 0.5f),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE, BF16),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE, F16, .local_steps = 2),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE, .local_steps = 3),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE, F16, .local_steps = 2, .outer_lr = 0.7f,
        .outer_momentum = 0.8f),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE, .outer_lr = 0.7f),
    ROW(.local_steps = 100, .outer_lr = 0.7f, .outer_momentum = 0.8f),
    ROW(I8),
    ROW(.overlap = 1, I8),
    ROW(.rounds = 2, I8),
    ROW(.overlap = 2, I8, .graph.peers = 2, .local_steps = 2),
    ROW(.algorithm = SGP_ALGORITHM_ALLREDUCE, I4),
};
enum { SETTINGS = sizeof settings / sizeof *settings, FIRST_IN_BLOCKS = SETTINGS - 5 };

/* SGD with momentum, Adam, and none. */
static run_t run_of(const setting_t *setting, int optimizer) {
    run_t run = {.options = setting->options};
    run.options.count = LENGTH;
    run.options.buffers = BUFFERS;
    if (optimizer == 0) run.optimizer = (sgp_optimizer_options_t){.momentum = 0.875f};
    if (optimizer == 1)
        run.optimizer =
            (sgp_optimizer_options_t){.kind = SGP_OPTIMIZER_ADAM, .weight_decay = 0.01f};
    run.own_optimizer = optimizer == 2;
    return run;
}

/* Chunks of 16 or 32 elements in virtual time. A message takes up to 3 ms, and no time passes in a step but that. */
static void test_bits(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++)
        for (int nodes = 1; nodes <= NODES; nodes++) {
            ranks_setup_t setup = delays(nodes, 5, 3 * MILLISECOND);
            run_t run = run_of(&settings[s], (s + nodes) % 3);
            run.lazy = (s + nodes / 2) % 2;
            try_seeds(&setup, &run, settings[s].name, 1);
        }
}

static void test_bits_with_slices(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++) {
        ranks_setup_t setup = delays(5, 6, 20 * MILLISECOND);
        run_t run = run_of(&settings[s], s % 3);
        run.slice_ms = 1;
        try_seeds(&setup, &run, settings[s].name, 1);
    }
}

static void test_bits_with_switches(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++) {
        ranks_setup_t setup = delays(4, 7, 2 * MILLISECOND);
        run_t run = run_of(&settings[s], 0);
        run.then = run_of(&settings[(s * 7 + 3) % SETTINGS], 0).options;
        try_seeds(&setup, &run, settings[s].name, 1);
    }
}

static void test_bits_over_shm_and_tcp(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s++)
        for (int tcp = 0; tcp < 2; tcp++) {
            ranks_setup_t setup = {.shm = !tcp,
                                   .tcp = tcp,
                                   .machines = tcp && s % 2 ? 2 : 0,
                                   .loopback = {.size = 4, .chunk_bytes = 256}};
            run_t run = run_of(&settings[s], s % 3);
            try_seeds(&setup, &run, settings[s].name, 1);
        }
}

/* Parts that end inside of blocks of the encoding, and a block across the end of the parameters. */
static void test_bits_of_whole_blocks(void **state) {
    (void)state;
    for (int s = FIRST_IN_BLOCKS; s < SETTINGS; s++)
        for (int way = 0; way < 2; way++) {
            ranks_setup_t setup = delays(4, 8, 2 * MILLISECOND);
            setup.loopback.chunk_bytes = way ? 4096 : 1024;
            run_t run = run_of(&settings[s], way);
            try_seeds(&setup, &run, settings[s].name, 3);
        }
}

/* Chunks of the usual size, so large that a whole step with an overlap is copied by the progress thread. */
static void test_bits_of_a_large_vector(void **state) {
    (void)state;
    /* lock step, rounds, overlap twice, all-reduce; overlap in blocks */
    const int few[] = {0, 7, 13, 15, 24, FIRST_IN_BLOCKS + 1};
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        int s = few[i];
        ranks_setup_t setup = {.shm = s % 2, .loopback = {.size = 3}};
        run_t run = run_of(&settings[s], s % 3);
        run.options.count = (1 << 18) + 100;
        try_seeds(&setup, &run, settings[s].name, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_with_slices),
        cmocka_unit_test(test_bits_with_switches),
        cmocka_unit_test(test_bits_over_shm_and_tcp),
        cmocka_unit_test(test_bits_of_whole_blocks),
        cmocka_unit_test(test_bits_of_a_large_vector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
