/* SPDX-License-Identifier: Apache-2.0 */
/* A run that saves and goes on equals, bit for bit, one that saves, ends, and is resumed; and whatever is no state of this
 * mixer is refused and changes nothing. */
#include "worker_ranks.h"

#include "mixing/mixer_core.h"

#include <math.h>
#include <string.h>

enum {
    SIZE = 4,
    COUNT = 300,
    BUFFERS = 33,
    LARGE = (1 << 18) + 100,
    BEFORE = 5,
    AFTER = 6,
    MOST = 16
};

#define RATE 0.05f

typedef struct run {
    sgp_mixer_options_t options;
    sgp_mixer_options_t then; /* before the state is saved; count 0: no switch */
    bool hold;                /* steps of the caller's own optimizer */
    bool resumed;             /* the mixer and the optimizer are made anew */
    /* Results, by rank. */
    float *z[MOST], *mean[MOST];
    sgp_mixer_statistics_t statistics[MOST];
    sgp_mixer_consensus_t consensus[MOST];
} run_t;

typedef struct node {
    const run_t *run;
    sgp_group_t *nodes, *workers;
    int rank;
    sgp_mixer_options_t options; /* of now */
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    float *gradient;
    int step;
} node_t;

static sgp_optimizer_options_t optimizer_options(size_t count) {
    return (sgp_optimizer_options_t){.count = count, .momentum = 0.9f, .weight_decay = 0.01f};
}

static void make(node_t *node, const float *initial) {
    sgp_optimizer_options_t options = optimizer_options(node->options.count);
    node->options.workers = node->workers;
    node->mixer = NULL;
    node->optimizer = NULL;
    CHECK(sgp_optimizer_create(&options, &node->optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(node->nodes, &node->options, initial, &node->mixer) == SGP_OK);
}

static void end(node_t *node) {
    sgp_mixer_destroy(node->mixer);
    sgp_optimizer_destroy(node->optimizer);
}

static void make_steps(node_t *node, int steps) {
    size_t count = node->options.count;
    float *z = sgp_mixer_parameters(node->mixer);
    for (int end = node->step + steps; node->step < end; node->step++) {
        for (size_t i = 0; i < count; i++)
            node->gradient[i] = 0.3f * (z[i] - (float)((node->rank * 5 + (int)i) % 7)) +
                                0.1f * (float)((node->step + (int)i) % 3);
        for (size_t i = 0; i < node->options.buffers; i++)
            sgp_mixer_buffers(node->mixer)[i] += 0.125f * (float)(node->rank + 1);
        if (node->run->hold) {
            sgp_mixer_statistics_t statistics;
            CHECK(sgp_mixer_hold(node->mixer) == SGP_OK);
            sgp_mixer_statistics(node->mixer, &statistics);
            sgp_optimizer_step(node->optimizer, z, node->gradient,
                               (float)(RATE / statistics.weight));
            CHECK(sgp_mixer_step(node->mixer, NULL, NULL, RATE) == SGP_OK);
        } else CHECK(sgp_mixer_step(node->mixer, node->optimizer, node->gradient, RATE) == SGP_OK);
    }
}

/* ---- save and resume ---- */

typedef struct saved {
    unsigned char *mixer, *optimizer;
    size_t mixer_size, optimizer_size;
} saved_t;

static saved_t save(node_t *node) {
    saved_t saved = {.mixer_size = sgp_mixer_state_size(node->mixer),
                     .optimizer_size = sgp_optimizer_state_size(node->optimizer)};
    saved.mixer = malloc(saved.mixer_size);
    saved.optimizer = malloc(saved.optimizer_size);
    CHECK(sgp_mixer_state_save(node->mixer, saved.mixer, saved.mixer_size) == SGP_OK);
    CHECK(sgp_optimizer_state_save(node->optimizer, saved.optimizer, saved.optimizer_size) ==
          SGP_OK);
    return saved;
}

static void resume(node_t *node, const saved_t *saved) {
    size_t length = node->options.count + node->options.buffers;
    float *other = calloc(length, sizeof *other);
    for (size_t i = 0; i < length; i++) other[i] = -1;
    end(node);
    make(node, other);
    CHECK(sgp_mixer_state_load(node->mixer, saved->mixer, saved->mixer_size) == SGP_OK);
    CHECK(sgp_optimizer_state_load(node->optimizer, saved->optimizer, saved->optimizer_size) ==
          SGP_OK);
    free(other);
    if (node->options.algorithm == SGP_ALGORITHM_ADPSGD)
        CHECK(sgp_group_barrier(node->nodes) == SGP_OK);
}

static void save_and_go_on(node_t *node) {
    saved_t saved = save(node);
    if (node->run->resumed) resume(node, &saved);
    free(saved.mixer);
    free(saved.optimizer);
}

static void train(sgp_group_t *nodes, sgp_group_t *workers, int number, int rank, run_t *run) {
    node_t node = {
        .run = run, .nodes = nodes, .workers = workers, .rank = rank, .options = run->options};
    size_t length = run->options.count + run->options.buffers;
    float *initial = malloc(length * sizeof *initial);
    node.gradient = malloc(length * sizeof *node.gradient);
    run->z[rank] = malloc(length * sizeof(float));
    run->mean[rank] = malloc(length * sizeof(float));
    for (size_t i = 0; i < length; i++) initial[i] = (float)(number + (int)i % 5);
    make(&node, initial);
    make_steps(&node, BEFORE);
    if (run->then.count) {
        CHECK(sgp_mixer_switch(node.mixer, &run->then) == SGP_OK);
        node.options = run->then;
        make_steps(&node, BEFORE);
    }
    save_and_go_on(&node);
    make_steps(&node, AFTER);
    save_and_go_on(&node);
    if (run->then.count) { /* and back */
        node.options = run->options;
        node.options.workers = workers;
        CHECK(sgp_mixer_switch(node.mixer, &node.options) == SGP_OK);
    }
    make_steps(&node, AFTER);
    sgp_mixer_statistics(node.mixer, &run->statistics[rank]);
    CHECK(sgp_mixer_average(node.mixer, run->mean[rank], &run->consensus[rank]) == SGP_OK);
    memcpy(run->z[rank], sgp_mixer_parameters(node.mixer), length * sizeof(float));
    end(&node);
    free(initial);
    free(node.gradient);
}

static void train_node(sgp_group_t *group, void *context) {
    train(group, NULL, sgp_group_rank(group), sgp_group_rank(group), context);
}

static void train_worker(const workers_place_t *place, void *context) {
    train(place->nodes, place->workers, place->node, place->rank, context);
}

static void hold_against(const run_t *on, const run_t *resumed, int ranks) {
    size_t bytes = (on->options.count + on->options.buffers) * sizeof(float);
    for (int r = 0; r < ranks; r++) {
        assert_memory_equal(on->z[r], resumed->z[r], bytes);
        assert_memory_equal(on->mean[r], resumed->mean[r], bytes);
        assert_true(on->statistics[r].weight == resumed->statistics[r].weight);
        assert_int_equal(on->statistics[r].steps, resumed->statistics[r].steps);
        assert_int_equal(on->statistics[r].sent, resumed->statistics[r].sent);
        assert_true(on->consensus[r].drift == resumed->consensus[r].drift);
        assert_true(on->consensus[r].drift < 1e-5);
    }
}

static void free_results(run_t *run) {
    for (int r = 0; r < MOST; r++) free(run->z[r]), free(run->mean[r]);
}

static void both(const ranks_setup_t *setup, run_t on) {
    run_t resumed = on;
    resumed.resumed = true;
    run_groups(setup, train_node, &on);
    run_groups(setup, train_node, &resumed);
    hold_against(&on, &resumed, setup->loopback.size);
    free_results(&on);
    free_results(&resumed);
}

static const sgp_mixer_options_t settings[] = {
    {.count = COUNT},
    {.count = COUNT, .buffers = BUFFERS, .encoding = SGP_ENCODING_BFLOAT16},
    {.count = COUNT, .graph = {.kind = SGP_GRAPH_RANDOM, .seed = 9}},
    {.count = COUNT, .graph = {.kind = SGP_GRAPH_RANDOM_UNEVEN}, .local_steps = 3},
    {.count = COUNT, .slow_every = 4, .slow_momentum = 0.5f, .buffers = BUFFERS},
    {.count = COUNT, .slow_every = 3, .slow_momentum = 0.5f, .slow_alone = true},
    {.count = COUNT, .rounds = 3, .buffers = BUFFERS},
    {.count = COUNT, .rounds = SGP_ROUNDS_AUTO, .local_steps = 2, .encoding = SGP_ENCODING_FLOAT16},
    {.count = COUNT, .biased = true},
    {.count = COUNT, .overlap = 1, .buffers = BUFFERS},
    {.count = COUNT, .overlap = 2, .graph = {.kind = SGP_GRAPH_COMPLETE}},
    {.count = COUNT, .overlap = 2, .encoding = SGP_ENCODING_FLOAT16, .local_steps = 2},
    {.count = COUNT, .overlap = 1, .encoding = SGP_ENCODING_BFLOAT16, .buffers = BUFFERS},
    {.count = COUNT, .overlap = 1, .slow_every = 4, .slow_momentum = 0.5f},
    {.count = COUNT, .overlap = 1, .biased = true},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_DPSGD, .encoding = SGP_ENCODING_FLOAT16},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE, .buffers = BUFFERS},
    {.count = COUNT,
     .algorithm = SGP_ALGORITHM_ALLREDUCE,
     .buffers = BUFFERS,
     .encoding = SGP_ENCODING_BFLOAT16},
    {.count = COUNT,
     .algorithm = SGP_ALGORITHM_ALLREDUCE,
     .local_steps = 2,
     .encoding = SGP_ENCODING_FLOAT16},
    {.count = COUNT, .encoding = SGP_ENCODING_INT8, .buffers = BUFFERS},
    {.count = COUNT, .overlap = 2, .encoding = SGP_ENCODING_INT8, .buffers = BUFFERS},
    {.count = COUNT,
     .algorithm = SGP_ALGORITHM_ALLREDUCE,
     .buffers = BUFFERS,
     .encoding = SGP_ENCODING_INT4},
    {.count = COUNT, .local_steps = 3, .outer_lr = 0.7f, .outer_momentum = 0.8f},
    {.count = COUNT,
     .algorithm = SGP_ALGORITHM_ALLREDUCE,
     .buffers = BUFFERS,
     .encoding = SGP_ENCODING_INT4,
     .local_steps = 3,
     .outer_lr = 0.7f,
     .outer_momentum = 0.8f},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static ranks_setup_t virtual_time(void) {
    return (ranks_setup_t){.loopback = {.size = SIZE,
                                        .chunk_bytes = 64,
                                        .virtual_time = true,
                                        .seed = 4,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = 20000000}};
}

static void test_resumed_bit_for_bit(void **state) {
    (void)state;
    ranks_setup_t setups[] = {virtual_time(), {.shm = true, .loopback = {.size = SIZE}}};
    for (int s = 0; s < 2 * SETTINGS; s++)
        both(&setups[s % 2], (run_t){.options = settings[s / 2]});
    for (int s = 0; s < SETTINGS; s++)
        if (!settings[s].biased) both(&setups[0], (run_t){.options = settings[s], .hold = true});
}

static void test_with_a_progress_thread(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 3}};
    static const sgp_mixer_options_t large[] = {
        {.count = LARGE, .overlap = 1, .buffers = BUFFERS},
        {.count = LARGE, .overlap = 2, .encoding = SGP_ENCODING_BFLOAT16},
        {.count = LARGE, .overlap = 1, .encoding = SGP_ENCODING_INT8, .buffers = BUFFERS},
    };
    for (int s = 0; s < 3; s++)
        for (int hold = 0; hold < 2; hold++)
            both(&setup, (run_t){.options = large[s], .hold = hold});
}

/* Also away from slow momentum and back to it: it begins anew, whether or not the run was resumed. */
static void test_after_a_switch(void **state) {
    (void)state;
    ranks_setup_t setup = virtual_time();
    static const int pairs[][2] = {{0, 7}, {4, 8}, {4, 0}, {7, 15}, {15, 4}, {13, 11}};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        run_t run = {.options = settings[pairs[p][0]], .then = settings[pairs[p][1]]};
        run.options.buffers = run.then.buffers = BUFFERS;
        both(&setup, run);
    }
}

static void test_workers(void **state) {
    (void)state;
    workers_setup_t setup = {.nodes = 3, .workers = 2, .chunk_bytes = 64};
    for (int s = 0; s < SETTINGS; s++) {
        run_t on = {.options = settings[s]}, resumed = on;
        resumed.resumed = true;
        run_workers(&setup, train_worker, &on);
        run_workers(&setup, train_worker, &resumed);
        hold_against(&on, &resumed, 6);
        free_results(&on);
        free_results(&resumed);
    }
}

/* Where the bits depend on time no mass is lost. */
static void test_without_lock_step(void **state) {
    (void)state;
    static const sgp_mixer_options_t loose[] = {
        {.count = COUNT, .overlap = SGP_OVERLAP_ASYNC},
        {.count = COUNT, .overlap = SGP_OVERLAP_ASYNC, .encoding = SGP_ENCODING_BFLOAT16},
        {.count = COUNT, .overlap = SGP_OVERLAP_ASYNC, .encoding = SGP_ENCODING_INT8},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
    };
    ranks_setup_t setups[] = {virtual_time(), {.shm = true, .loopback = {.size = SIZE}}};
    for (size_t s = 0; s < 2 * sizeof loose / sizeof *loose; s++) {
        run_t run = {.options = loose[s / 2], .resumed = true};
        run_groups(&setups[s % 2], train_node, &run);
        for (int r = 0; r < SIZE; r++) {
            assert_true(fabs(run.consensus[r].w_total - SIZE) < 1e-9);
            assert_true(run.consensus[r].drift < 1e-5);
            assert_int_equal(run.statistics[r].steps, BEFORE + 2 * AFTER);
        }
        free_results(&run);
    }
}

/* ---- refusals ---- */

static void refused(sgp_mixer_t *mixer, const void *bytes, size_t size, sgp_status_t status,
                    const char *text) {
    CHECK(sgp_mixer_state_load(mixer, bytes, size) == status);
    if (strstr(sgp_last_error(), text)) return;
    fprintf(stderr, "%s, but not \"%s\"\n", sgp_last_error(), text);
    CHECK(false);
}

/* Each into a mixer made with other options; every other process has the state of its own. */
static void refuse_of_others(sgp_group_t *group, const saved_t *saved) {
    static const struct {
        sgp_mixer_options_t options;
        const char *text;
    } others[] = {
        {{.count = COUNT, .algorithm = SGP_ALGORITHM_DPSGD, .overlap = 0}, "algorithm=osgp"},
        {{.count = COUNT + 1, .overlap = 1}, "count=300, this one has count=301"},
        {{.count = COUNT, .buffers = 3, .overlap = 1}, "buffers=0, this one has buffers=3"},
        {{.count = COUNT, .overlap = 2}, "overlap=1, this one has overlap=2"},
        {{.count = COUNT, .overlap = 1, .encoding = SGP_ENCODING_FLOAT16}, "encoding=float32"},
        {{.count = COUNT, .overlap = 1, .local_steps = 2}, "local_steps=1"},
        {{.count = COUNT, .overlap = 1, .graph = {.kind = SGP_GRAPH_RING}}, "graph=exponential"},
        {{.count = COUNT, .overlap = 1, .graph = {.seed = 5}}, "seed=0, this one has seed=5"},
        {{.count = COUNT, .overlap = 1, .slow_every = 4}, "slow_every=0"},
        {{.count = COUNT, .algorithm = SGP_ALGORITHM_DPSGD, .outer_lr = 1}, "algorithm=osgp"},
    };
    for (size_t o = 0; o < sizeof others / sizeof *others; o++) {
        sgp_mixer_options_t options = others[o].options;
        sgp_mixer_t *mixer = NULL;
        if (options.algorithm == SGP_ALGORITHM_SGP) options.algorithm = SGP_ALGORITHM_OSGP;
        CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
        refused(mixer, saved->mixer, saved->mixer_size, SGP_ERR_MISMATCH, others[o].text);
        for (int step = 0; step < 3; step++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
        sgp_mixer_destroy(mixer);
    }
}

static void refuse_what_is_no_state(sgp_mixer_t *mixer, const saved_t *saved) {
    unsigned char *bytes = saved->mixer;
    size_t size = saved->mixer_size;
    refused(mixer, NULL, size, SGP_ERR_INVALID, "there is no state");
    refused(mixer, bytes, 0, SGP_ERR_INVALID, "no saved state");
    refused(mixer, bytes, size - 1, SGP_ERR_INVALID, "are given");
    refused(mixer, bytes, size / 2, SGP_ERR_INVALID, "are given");
    bytes[size / 2] ^= 4;
    refused(mixer, bytes, size, SGP_ERR_INVALID, "damaged");
    bytes[size / 2] ^= 4;
    bytes[8]++;
    refused(mixer, bytes, size, SGP_ERR_MISMATCH, "version 2");
    bytes[8]--;
    refused(mixer, saved->optimizer, saved->optimizer_size, SGP_ERR_MISMATCH, "kind=sgd");
}

static void refuse_save(node_t *node, const saved_t *saved) {
    sgp_mixer_t *mixer = node->mixer;
    CHECK(sgp_mixer_state_save(mixer, saved->mixer, saved->mixer_size - 8) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "the state has") != NULL);
    CHECK(sgp_mixer_state_save(mixer, NULL, saved->mixer_size) == SGP_ERR_INVALID);
    CHECK(sgp_mixer_hold(mixer) == SGP_OK);
    CHECK(sgp_mixer_state_save(mixer, saved->mixer, saved->mixer_size) == SGP_ERR_INVALID);
    CHECK(strstr(sgp_last_error(), "state_save: the mixer is held") != NULL);
    CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    node->step++;
    refused(mixer, saved->mixer, saved->mixer_size, SGP_ERR_INVALID, "has made 12 steps");
}

static void refuse_of_another_node(const node_t *node, const saved_t *saved) {
    unsigned char mine[16384], all[SIZE][sizeof mine];
    CHECK(saved->mixer_size <= sizeof mine);
    memcpy(mine, saved->mixer, saved->mixer_size);
    CHECK(sgp_group_gather(node->nodes, mine, saved->mixer_size, all) == SGP_OK);
    const unsigned char *first = all[0];
    int other = (node->rank + 1) % SIZE;
    refused(node->mixer, first + (size_t)other * saved->mixer_size, saved->mixer_size,
            SGP_ERR_MISMATCH, "node=");
}

/* A mixer that has refused goes on, and loads the right state. */
static void refuse(sgp_group_t *group, void *context) {
    sgp_mixer_options_t options = {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1};
    run_t run = {.options = options};
    node_t node = {.run = &run, .nodes = group, .rank = sgp_group_rank(group), .options = options};
    float initial[COUNT], z[COUNT];
    (void)context;
    node.gradient = malloc(sizeof initial);
    for (int i = 0; i < COUNT; i++) initial[i] = (float)(node.rank + i);
    make(&node, initial);
    make_steps(&node, BEFORE);
    saved_t saved = save(&node);
    memcpy(z, sgp_mixer_parameters(node.mixer), sizeof z);
    make_steps(&node, AFTER);
    refuse_save(&node, &saved);
    end(&node);
    refuse_of_others(group, &saved);
    make(&node, initial);
    refuse_what_is_no_state(node.mixer, &saved);
    refuse_of_another_node(&node, &saved);
    CHECK(sgp_mixer_hold(node.mixer) == SGP_OK);
    refused(node.mixer, saved.mixer, saved.mixer_size, SGP_ERR_INVALID, "the mixer is held");
    CHECK(!memcmp(sgp_mixer_parameters(node.mixer), initial, sizeof initial));
    end(&node);
    make(&node, initial);
    CHECK(sgp_mixer_state_load(node.mixer, saved.mixer, saved.mixer_size) == SGP_OK);
    CHECK(!memcmp(sgp_mixer_parameters(node.mixer), z, sizeof z));
    make_steps(&node, 2);
    CHECK(sgp_mixer_average(node.mixer, NULL, NULL) == SGP_OK);
    end(&node);
    free(saved.mixer);
    free(saved.optimizer);
    free(node.gradient);
}

static void test_refused(void **state) {
    (void)state;
    ranks_setup_t setups[] = {virtual_time(), {.shm = true, .loopback = {.size = SIZE}}};
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    for (int s = 0; s < 2; s++) run_groups(&setups[s], refuse, NULL);
    sgp_log_set(NULL, NULL, SGP_LOG_WARNING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumed_bit_for_bit), cmocka_unit_test(test_with_a_progress_thread),
        cmocka_unit_test(test_after_a_switch),      cmocka_unit_test(test_workers),
        cmocka_unit_test(test_without_lock_step),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
