/* SPDX-License-Identifier: Apache-2.0 */
/* A step in parts: the bits of a whole step, whatever the parts, their order, and the order of arrival. */
#include "mixing/trial.h"

#include "base/random.h"

#include <sys/wait.h>

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

static void hold_against(const run_t *whole, const run_t *run, const char *name) {
    size_t length = run->length;
    for (size_t k = 0; k < STEPS * NODES; k++)
        for (size_t i = 0; i < length; i++)
            if (memcmp(&whole->z[k * length + i], &run->z[k * length + i], sizeof(float)))
                fail_msg("%s, seed %d: step %d, node %d, element %d: %.9g, not %.9g", name,
                         (int)run->seed, (int)(k / NODES), (int)(k % NODES), (int)i,
                         (double)run->z[k * length + i], (double)whole->z[k * length + i]);
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

static const setting_t settings[] = {
    ROW(.local_steps = 1),
    ROW(.graph.kind = SGP_GRAPH_COMPLETE),
    ROW(.graph.kind = SGP_GRAPH_RANDOM_UNEVEN),
    ROW(.graph = {.kind = SGP_GRAPH_RING, .peers = 2}, BF16),
    ROW(.graph.peers = 2, F16),
    ROW(BF16, .local_steps = 2),
    ROW(.local_steps = 3),
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
};
enum { SETTINGS = sizeof settings / sizeof *settings };

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

/* Chunks of the usual size, so large that a whole step with an overlap is copied by the progress thread. */
static void test_bits_of_a_large_vector(void **state) {
    (void)state;
    for (int s = 0; s < SETTINGS; s += 3) {
        ranks_setup_t setup = {.shm = s % 2, .loopback = {.size = 3}};
        run_t run = run_of(&settings[s], s % 3);
        run.options.count = (1 << 18) + 100;
        try_seeds(&setup, &run, settings[s].name, 1);
    }
}

/* ---- wrong calls ---- */

static sgp_mixer_t *small_mixer(sgp_group_t *group, sgp_mixer_options_t options) {
    sgp_mixer_t *mixer = NULL;
    options.count = LENGTH;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    return mixer;
}

#define REFUSED(call, text)                                                                        \
    do {                                                                                           \
        CHECK((call) == SGP_ERR_INVALID);                                                          \
        if (!strstr(sgp_last_error(), (text)))                                                     \
            fprintf(stderr, "%d: %s\n", __LINE__, sgp_last_error());                               \
        CHECK(strstr(sgp_last_error(), (text)) != NULL);                                           \
    } while (0)

static void refuse_in_the_middle(sgp_mixer_t *mixer, const float *gradient) {
    const char *text = "a step in parts has begun";
    REFUSED(sgp_mixer_begin(mixer, NULL, gradient, LR), text);
    REFUSED(sgp_mixer_step(mixer, NULL, gradient, LR), text);
    REFUSED(sgp_mixer_average(mixer, NULL, NULL), text);
    REFUSED(sgp_mixer_switch(mixer, &mixer->options), text);
    REFUSED(sgp_mixer_add(mixer, 0, 1, gradient), text);
    REFUSED(sgp_mixer_wait(mixer, 0, 1), "the step has not ended");
    REFUSED(sgp_mixer_part(mixer, 0, LENGTH + 1), "301 elements from element 0 on");
    REFUSED(sgp_mixer_part(mixer, LENGTH + 1, 0), "must lie within the 300");
    REFUSED(sgp_mixer_part(mixer, 5, SIZE_MAX), "must lie within the 300");
}

/* One step, with every wrong call in between. */
static void step_with_wrong_calls(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                                  const float *gradient, uint64_t step) {
    sgp_mixer_statistics_t statistics;
    REFUSED(sgp_mixer_part(mixer, 0, 1), "sgp_mixer_begin comes first");
    REFUSED(sgp_mixer_end(mixer), "sgp_mixer_begin comes first");
    REFUSED(sgp_mixer_wait(mixer, 0, LENGTH + 1), "must lie within the 300");
    REFUSED(sgp_mixer_begin(mixer, optimizer, NULL, LR), "needs a gradient");
    CHECK(sgp_mixer_wait(mixer, 0, LENGTH) == SGP_OK);
    CHECK(sgp_mixer_begin(mixer, optimizer, gradient, LR) == SGP_OK);
    refuse_in_the_middle(mixer, gradient);
    REFUSED(sgp_mixer_end(mixer), "element 0 of the vector has not been given");
    CHECK(sgp_mixer_part(mixer, 0, 0) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 0, 100) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 150, 1) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 152, 2) == SGP_OK);
    refuse_in_the_middle(mixer, gradient);
    REFUSED(sgp_mixer_part(mixer, 99, 2), "2 elements from element 99 on some");
    REFUSED(sgp_mixer_part(mixer, 100, 51), "have been given");
    REFUSED(sgp_mixer_part(mixer, 151, LENGTH - 151), "have been given");
    REFUSED(sgp_mixer_part(mixer, 153, 1), "have been given");
    REFUSED(sgp_mixer_part(mixer, 0, LENGTH), "have been given");
    REFUSED(sgp_mixer_end(mixer), "element 100 of");
    sgp_mixer_statistics(mixer, &statistics);
    CHECK(statistics.steps == step);
    CHECK(sgp_mixer_part(mixer, 100, 50) == SGP_OK);
    REFUSED(sgp_mixer_end(mixer), "element 151 of");
    CHECK(sgp_mixer_part(mixer, 151, 1) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 154, LENGTH - 154) == SGP_OK);
    CHECK(sgp_mixer_end(mixer) == SGP_OK);
    CHECK(sgp_mixer_wait(mixer, 20, 1) == SGP_OK);
    CHECK(sgp_mixer_wait(mixer, 20, 0) == SGP_OK);
}

static void wrong_calls(sgp_group_t *group, void *context) {
    float gradient[LENGTH], whole[LENGTH];
    for (int i = 0; i < LENGTH; i++) gradient[i] = (float)(i + sgp_group_rank(group));
    for (int way = WHOLE; way <= PARTS; way++) {
        sgp_mixer_t *mixer = small_mixer(group, *(sgp_mixer_options_t *)context);
        sgp_optimizer_t *optimizer = NULL, *other = NULL;
        CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = LENGTH}, &optimizer) ==
              SGP_OK);
        CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = 7}, &other) == SGP_OK);
        for (uint64_t k = 0; k < 3; k++)
            if (way == PARTS) step_with_wrong_calls(mixer, optimizer, gradient, k);
            else CHECK(sgp_mixer_step(mixer, optimizer, gradient, LR) == SGP_OK);
        CHECK(sgp_mixer_add(mixer, 0, 0, NULL) == SGP_OK); /* waits for the rest */
        REFUSED(sgp_mixer_begin(mixer, other, gradient, LR), "the optimizer is for 7");
        float *z = sgp_mixer_parameters(mixer);
        if (way == WHOLE) memcpy(whole, z, sizeof whole);
        else CHECK(!memcmp(whole, z, sizeof whole));
        sgp_mixer_destroy(mixer);
        sgp_optimizer_destroy(optimizer);
        sgp_optimizer_destroy(other);
    }
}

static void test_wrong_calls(void **state) {
    (void)state;
    sgp_mixer_options_t kinds[] = {
        {.overlap = 0}, {.overlap = 1}, {.algorithm = SGP_ALGORITHM_ALLREDUCE}};
    ranks_setup_t setups[] = {delays(3, 8, MILLISECOND), threads(3, true)};
    for (int s = 0; s < 6; s++) run_groups(&setups[s % 2], wrong_calls, &kinds[s / 2]);
}

static void unsupported(sgp_group_t *group, void *context) {
    (void)context;
    const sgp_mixer_options_t refused[] = {
        {.algorithm = SGP_ALGORITHM_ADPSGD},
        {.overlap = SGP_OVERLAP_ASYNC},
        {.slow_every = 1},
    };
    float gradient[LENGTH] = {0};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        sgp_mixer_t *mixer = small_mixer(group, refused[i]);
        CHECK(sgp_mixer_begin(mixer, NULL, gradient, LR) == SGP_ERR_UNSUPPORTED);
        CHECK(strstr(sgp_last_error(), "no step in parts with") != NULL);
        CHECK(sgp_mixer_step(mixer, NULL, gradient, LR) == SGP_OK);
        CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_OK);
        sgp_mixer_destroy(mixer);
    }
    sgp_mixer_t *mixer = small_mixer(group, (sgp_mixer_options_t){.slow_every = 2});
    for (int k = 0; k < 4; k++) { /* every second step is due */
        sgp_status_t status = sgp_mixer_begin(mixer, NULL, gradient, LR);
        CHECK(status == (k % 2 ? SGP_ERR_UNSUPPORTED : SGP_OK));
        if (k % 2) CHECK(sgp_mixer_step(mixer, NULL, gradient, LR) == SGP_OK);
        else CHECK(sgp_mixer_part(mixer, 0, LENGTH) == SGP_OK && sgp_mixer_end(mixer) == SGP_OK);
    }
    sgp_mixer_destroy(mixer);
}

static void test_unsupported(void **state) {
    (void)state;
    for (int nodes = 1; nodes <= 2; nodes++) {
        ranks_setup_t setup = {.loopback = {.size = nodes, .chunk_bytes = 64}};
        run_groups(&setup, unsupported, NULL);
    }
}

/* ---- ends in the middle ---- */

/* A mixer that is destroyed in the middle of a step gives its room back: the next one needs all of it. */
static void destroys(sgp_group_t *group, void *context) {
    const sgp_mixer_options_t *options = context;
    float gradient[LENGTH] = {0};
    for (int time = 0; time < 30; time++) {
        sgp_mixer_t *mixer = small_mixer(group, *options);
        for (int k = 0; k < 3; k++) CHECK(sgp_mixer_step(mixer, NULL, gradient, LR) == SGP_OK);
        CHECK(sgp_mixer_begin(mixer, NULL, gradient, LR) == SGP_OK);
        for (size_t at = 0; at < (size_t)(time % 5) * 60; at += 20)
            CHECK(sgp_mixer_part(mixer, at, 20) == SGP_OK);
        sgp_mixer_destroy(mixer);
        CHECK(sgp_group_barrier(group) == SGP_OK);
    }
}

static void test_destroy_in_the_middle(void **state) {
    (void)state;
    sgp_mixer_options_t kinds[] = {{.overlap = 0},
                                   {.overlap = 1},
                                   {.overlap = 1, BF16},
                                   {.algorithm = SGP_ALGORITHM_ALLREDUCE}};
    for (int k = 0; k < 4; k++) {
        ranks_setup_t setups[] = {
            threads(3, true),
            {.tcp = true, .loopback = {.size = 3, .chunk_bytes = 256}},
            {.loopback = {.size = 3, .chunk_bytes = 64, .capacity = 200}},
        };
        for (int s = 0; s < 3; s++) run_groups(&setups[s], destroys, &kinds[k]);
    }
}

/* A part that is not finite: its chunk is not sent, and the run is over for this mixer. */
static void not_finite(sgp_group_t *group, void *context) {
    int chunk = *(int *)context;
    float gradient[LENGTH] = {0};
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_t *mixer = small_mixer(group, (sgp_mixer_options_t){.timeout_ms = 1000});
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = LENGTH}, &optimizer) == SGP_OK);
    gradient[50] = sgp_group_rank(group) == 0 ? INFINITY : 0;
    CHECK(sgp_mixer_begin(mixer, optimizer, gradient, LR) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 100, 150) == SGP_OK);
    sgp_status_t status = sgp_mixer_part(mixer, chunk ? 48 : 49, chunk ? 16 : 3);
    if (sgp_group_rank(group) == 0) {
        CHECK(status == SGP_ERR_NOT_FINITE);
        CHECK(sgp_mixer_part(mixer, 0, 10) == SGP_ERR_NOT_FINITE);
        CHECK(strstr(sgp_last_error(), "the run is over for this mixer") != NULL);
        CHECK(sgp_mixer_end(mixer) == SGP_ERR_NOT_FINITE);
        CHECK(sgp_mixer_wait(mixer, 100, 1) == SGP_ERR_NOT_FINITE);
        CHECK(sgp_mixer_begin(mixer, optimizer, gradient, LR) == SGP_ERR_NOT_FINITE);
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, LR) == SGP_ERR_NOT_FINITE);
        CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_ERR_NOT_FINITE);
    } else {
        CHECK(status == SGP_OK);
        sgp_chunk_t *arrived = NULL; /* the chunk with element 50 never arrives */
        sgp_inbox_key_t key = {.channel = mixer->channel, .kind = SGP_KIND_PUSH, .offset = 48};
        CHECK(sgp_mixer_part(mixer, 0, chunk ? 48 : 49) == SGP_OK);
        CHECK(sgp_mixer_part(mixer, chunk ? 64 : 52, chunk ? 36 : 48) == SGP_OK);
        CHECK(sgp_mixer_part(mixer, 250, 50) == SGP_OK);
        CHECK(sgp_mixer_end(mixer) == SGP_OK);
        CHECK(sgp_mixer_wait(mixer, 0, LENGTH) == SGP_ERR_TIMEOUT);
        arrived = sgp_inbox_find(mixer->inbox, &key);
        CHECK(arrived == NULL);
        CHECK(sgp_mixer_wait(mixer, 0, LENGTH) == SGP_ERR_TIMEOUT);
        CHECK(sgp_mixer_average(mixer, NULL, NULL) == SGP_ERR_TIMEOUT);
    }
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void test_not_finite(void **state) {
    (void)state;
    for (int chunk = 0; chunk < 2; chunk++) {
        ranks_setup_t setup = delays(2, 4, MILLISECOND);
        run_groups(&setup, not_finite, &chunk);
    }
}

/* Node 1 ends in the middle of its step: the message of the others' step is torn. Today that ends the run. */
static void dies(sgp_transport_t *transport, void *context) {
    (void)context;
    float gradient[LENGTH] = {0};
    sgp_group_t *group = NULL;
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    sgp_mixer_t *mixer = small_mixer(group, (sgp_mixer_options_t){.timeout_ms = 60000});
    CHECK(sgp_mixer_begin(mixer, NULL, gradient, LR) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 32, 64) == SGP_OK);
    if (sgp_group_rank(group) == 1) {
        CHECK(sgp_group_barrier(group) == SGP_OK);
        sgp_mixer_destroy(mixer);
        sgp_group_abort(group);
        return;
    }
    CHECK(sgp_mixer_part(mixer, 96, LENGTH - 96) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 0, 32) == SGP_OK);
    CHECK(sgp_mixer_end(mixer) == SGP_OK);
    sgp_group_barrier(group); /* may see the loss already */
    CHECK(sgp_mixer_wait(mixer, 0, 1) == SGP_ERR_PEER_LOST);
    CHECK(sgp_mixer_wait(mixer, 40, 1) == SGP_ERR_PEER_LOST);
    CHECK(sgp_mixer_step(mixer, NULL, gradient, LR) == SGP_ERR_PEER_LOST);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void test_a_loss(void **state) {
    (void)state;
    ranks_setup_t setups[] = {delays(2, 3, MILLISECOND), threads(2, true)};
    setups[1].loopback.chunk_bytes = 64;
    for (int s = 0; s < 2; s++) run_transports(&setups[s], dies, NULL);
}

/* ---- a forked child ---- */

/* A child cannot go on with the step of its parent, which does. */
static void forks(sgp_group_t *group, void *context) {
    (void)context;
    float gradient[LENGTH] = {0};
    sgp_mixer_t *mixer = small_mixer(group, (sgp_mixer_options_t){.overlap = 0});
    CHECK(sgp_mixer_begin(mixer, NULL, gradient, LR) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 0, 100) == SGP_OK);
    pid_t child = fork();
    if (child == 0) {
        bool fails = sgp_mixer_part(mixer, 100, 100) == SGP_ERR_UNSUPPORTED &&
                     sgp_mixer_end(mixer) == SGP_ERR_UNSUPPORTED;
        _exit(fails ? 0 : 1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(sgp_mixer_part(mixer, 100, 200) == SGP_OK);
    CHECK(sgp_mixer_end(mixer) == SGP_OK);
    CHECK(sgp_mixer_wait(mixer, 0, LENGTH) == SGP_OK);
    sgp_mixer_destroy(mixer);
}

static void test_a_forked_child(void **state) {
    (void)state;
    ranks_setup_t setup = threads(2, true);
    run_groups(&setup, forks, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_with_slices),
        cmocka_unit_test(test_bits_with_switches),
        cmocka_unit_test(test_bits_over_shm_and_tcp),
        cmocka_unit_test(test_bits_of_a_large_vector),
        cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_destroy_in_the_middle),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_a_loss),
        cmocka_unit_test(test_a_forked_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
