/* SPDX-License-Identifier: Apache-2.0 */
/* Bits that never change: the hash of the averaged parameters for every deterministic algorithm, graph,
 * encoding and overlap, against the table in hashes.h. The library alone, without oneDNN and libm: each
 * node follows a quadratic loss whose numbers come from a seeded generator, so every CPU gives the same
 * bits. `async` and `adpsgd` are left out: their result depends on timing.
 *
 *   test_mixing_hashes FILE
 *
 * writes the table's rows to FILE, after a change that is meant to change bits. */
#include "worker_ranks.h"

#include "hashes.h"

#include <sgp/mixer.h>
#include <sgp/optimizer.h>
#include <string.h>
#include <xxhash.h>

enum { TABLE = sizeof hashes / sizeof *hashes, NAME = 80, STEPS = 7, STEPS_OF_LARGE = 3 };

static FILE *written;  /* NULL: the table is compared */
static int row;        /* the next of the table */
static int mismatches; /* rows that differ */

/* ---- a node's gradient ---- */

static uint64_t mixed(uint64_t x) { /* splitmix64 */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* In [-1, 1), a multiple of 2^-23: exact in a float. */
static float number(uint64_t stream, uint64_t i) {
    return (float)((int64_t)(mixed(mixed(stream) + i) >> 40) - (1 << 23)) / (float)(1 << 23);
}

/* Of sum_i a_i (z_i - t_i)^2 / 2 with a node's own t, plus noise of the step. */
static void take_gradient(const float *z, size_t count, int rank, int step, float *gradient) {
    for (size_t i = 0; i < count; i++) {
        float curvature = 1.5f + number(1, i);
        float target = 3 * number(100 + (uint64_t)rank, i);
        float noise = number(10000 + (uint64_t)(rank * 1000 + step), i);
        gradient[i] = curvature * (z[i] - target) + 0.5f * noise;
    }
}

/* ---- one run ---- */

typedef struct run {
    sgp_mixer_options_t options;
    sgp_optimizer_options_t optimizer;
    int steps;
    sgp_mixer_options_t then; /* count > 0: switched to after half of the steps */
    uint64_t hash[64];        /* of the average, by rank of the process */
} run_t;

static void train(sgp_group_t *group, sgp_group_t *workers, int rank, run_t *run) {
    sgp_mixer_options_t options = run->options, then = run->then;
    size_t length = options.count + options.buffers;
    sgp_optimizer_options_t optimizer_options = run->optimizer;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    float *initial = calloc(length, sizeof *initial), *gradient = calloc(length, sizeof *gradient);
    options.workers = then.workers = workers;
    optimizer_options.count = options.count;
    for (size_t i = 0; i < length; i++) initial[i] = number(7, i);
    CHECK(sgp_optimizer_create(&optimizer_options, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &options, initial, &mixer) == SGP_OK);
    for (int step = 0; step < run->steps; step++) {
        float *z = sgp_mixer_parameters(mixer), *buffers = sgp_mixer_buffers(mixer);
        take_gradient(z, options.count, rank, step, gradient);
        for (size_t i = 0; i < options.buffers; i++)
            buffers[i] += 0.125f * number(50 + (uint64_t)rank, i);
        CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.0625f) == SGP_OK);
        if (then.count && step == run->steps / 2) CHECK(sgp_mixer_switch(mixer, &then) == SGP_OK);
    }
    CHECK(sgp_mixer_average(mixer, initial, NULL) == SGP_OK);
    run->hash[rank] = XXH3_64bits(initial, length * sizeof *initial);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(initial);
    free(gradient);
}

static void train_node(sgp_group_t *group, void *context) {
    train(group, NULL, sgp_group_rank(group), context);
}

static void train_worker(const workers_place_t *place, void *context) {
    train(place->nodes, place->workers, place->rank, context);
}

/* Every process has the same average; its hash is the next of the table. */
static void hold_against_table(const char *name, const run_t *run, int processes) {
    for (int r = 1; r < processes; r++) assert_true(run->hash[r] == run->hash[0]);
    if (written) {
        fprintf(written, "    {\"%s\", 0x%016llx},\n", name, (unsigned long long)run->hash[0]);
        return;
    }
    if (row >= TABLE) fail_msg("%s is not in hashes.h", name);
    assert_string_equal(name, hashes[row].name);
    if (run->hash[0] != hashes[row].hash) {
        print_error("%s: 0x%016llx, but 0x%016llx in hashes.h\n", name,
                    (unsigned long long)run->hash[0], (unsigned long long)hashes[row].hash);
        mismatches++;
    }
    row++;
}

static const sgp_optimizer_options_t nesterov = {.momentum = 0.875f, .weight_decay = 0.0078125f};
enum { NODES = 6 };

static ranks_setup_t loopback(int size) {
    return (ranks_setup_t){.loopback = {.size = size, .chunk_bytes = 64}};
}

static run_t run_of(sgp_mixer_options_t options) {
    run_t run = {.options = options, .optimizer = nesterov, .steps = STEPS};
    if (!run.options.count) run.options.count = 203;
    if (!run.options.buffers) run.options.buffers = 5;
    return run;
}

static void try_options(const char *name, sgp_mixer_options_t options) {
    ranks_setup_t setup = loopback(NODES);
    run_t run = run_of(options);
    run_groups(&setup, train_node, &run);
    hold_against_table(name, &run, NODES);
}

static void try_combination(sgp_mixer_options_t options) {
    char name[NAME], overlap[16] = "";
    if (options.overlap) snprintf(overlap, sizeof overlap, " overlap %d", options.overlap);
    snprintf(name, sizeof name, "%s%s %s peers %d %s", sgp_algorithm_name(options.algorithm),
             overlap, sgp_graph_name(options.graph.kind),
             options.graph.peers ? options.graph.peers : 1, sgp_encoding_name(options.encoding));
    try_options(name, options);
}

static void begin(void) {
    mismatches = 0;
}

static void end(void) {
    assert_int_equal(mismatches, 0);
}

/* ---- the rows, in the order of the table ---- */

static void test_push(void **state) {
    (void)state;
    begin();
    for (int overlap = 0; overlap <= 2; overlap++)
        for (int kind = SGP_GRAPH_EXPONENTIAL; kind <= SGP_GRAPH_RANDOM_UNEVEN; kind++)
            for (int peers = 1; peers <= 2; peers++)
                for (int encoding = SGP_ENCODING_FLOAT32; encoding <= SGP_ENCODING_FLOAT16;
                     encoding++)
                    try_combination((sgp_mixer_options_t){
                        .algorithm = overlap ? SGP_ALGORITHM_OSGP : SGP_ALGORITHM_SGP,
                        .overlap = overlap,
                        .graph = {.kind = (sgp_graph_kind_t)kind, .peers = peers, .seed = 3},
                        .encoding = (sgp_encoding_t)encoding});
    end();
}

static void test_dpsgd(void **state) {
    (void)state;
    begin();
    for (int kind = SGP_GRAPH_EXPONENTIAL; kind <= SGP_GRAPH_RANDOM_UNEVEN; kind++)
        for (int peers = 1; peers <= 2; peers++)
            for (int encoding = SGP_ENCODING_FLOAT32; encoding <= SGP_ENCODING_FLOAT16;
                 encoding++) {
                sgp_graph_t graph = {.kind = (sgp_graph_kind_t)kind, .size = NODES, .peers = peers};
                if (!sgp_graph_symmetric(&graph)) continue;
                try_combination((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_DPSGD,
                                                      .graph = graph,
                                                      .encoding = (sgp_encoding_t)encoding});
            }
    end();
}

static void test_allreduce(void **state) {
    (void)state;
    begin();
    for (int encoding = SGP_ENCODING_FLOAT32; encoding <= SGP_ENCODING_FLOAT16; encoding++)
        try_combination((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_ALLREDUCE,
                                              .encoding = (sgp_encoding_t)encoding});
    end();
}

static void test_other_options(void **state) {
    (void)state;
    begin();
    for (int encoding = SGP_ENCODING_FLOAT32; encoding <= SGP_ENCODING_BFLOAT16; encoding++) {
        sgp_mixer_options_t plain = {.encoding = (sgp_encoding_t)encoding}, options;
        char name[NAME];
        const char *travels = sgp_encoding_name(plain.encoding);
#define TRY(what, ...)                                                                             \
    options = plain;                                                                               \
    __VA_ARGS__;                                                                                   \
    snprintf(name, sizeof name, "%s %s", what, travels);                                           \
    try_options(name, options)
        TRY("biased", options.biased = true; options.graph.kind = SGP_GRAPH_RANDOM_UNEVEN);
        TRY("local steps", options.local_steps = 3);
        TRY("slow momentum", options.slow_momentum = 0.5f; options.slow_every = 4);
        TRY("slow momentum alone", options.slow_momentum = 0.5f; options.slow_every = 4;
            options.slow_alone = true);
        TRY("osgp local steps", options.overlap = 1; options.local_steps = 2);
        TRY("osgp slow momentum", options.overlap = 1; options.slow_momentum = 0.5f;
            options.slow_every = 4);
        TRY("allreduce local steps", options.algorithm = SGP_ALGORITHM_ALLREDUCE;
            options.local_steps = 2);
        TRY("outer steps", options.local_steps = 2; options.outer_lr = 0.7f;
            options.outer_momentum = 0.8f);
        TRY("allreduce outer steps", options.algorithm = SGP_ALGORITHM_ALLREDUCE;
            options.local_steps = 2; options.outer_lr = 0.7f; options.outer_momentum = 0.8f);
#undef TRY
    }
    end();
}

static void test_switches(void **state) {
    (void)state;
    static const sgp_algorithm_t pairs[][2] = {{SGP_ALGORITHM_ALLREDUCE, SGP_ALGORITHM_SGP},
                                               {SGP_ALGORITHM_SGP, SGP_ALGORITHM_OSGP},
                                               {SGP_ALGORITHM_SGP, SGP_ALGORITHM_SGP}};
    begin();
    for (int p = 0; p < 3; p++) {
        ranks_setup_t setup = loopback(NODES);
        run_t run = run_of((sgp_mixer_options_t){.algorithm = pairs[p][0]});
        char name[NAME];
        run.then = run.options;
        run.then.algorithm = pairs[p][1];
        run.then.overlap = pairs[p][1] == SGP_ALGORITHM_OSGP;
        run.then.graph.peers = 2;
        run_groups(&setup, train_node, &run);
        snprintf(name, sizeof name, "%s, then %s with 2 peers", sgp_algorithm_name(pairs[p][0]),
                 sgp_algorithm_name(pairs[p][1]));
        hold_against_table(name, &run, NODES);
    }
    end();
}

static void test_optimizers(void **state) {
    (void)state;
    static const sgp_optimizer_options_t optimizers[] = {
        {0}, {.momentum = 0.875f, .heavy_ball = true}, {.kind = SGP_OPTIMIZER_ADAM}};
    static const char *const names[] = {"plain SGD", "heavy ball", "Adam"};
    begin();
    for (int o = 0; o < 3; o++) {
        ranks_setup_t setup = loopback(NODES);
        run_t run = run_of((sgp_mixer_options_t){0});
        run.optimizer = optimizers[o];
        run_groups(&setup, train_node, &run);
        hold_against_table(names[o], &run, NODES);
    }
    end();
}

static void test_sizes(void **state) {
    (void)state;
    begin();
    for (int size = 1; size <= 8; size++) {
        ranks_setup_t setup = loopback(size);
        run_t run = run_of((sgp_mixer_options_t){0});
        char name[NAME];
        run_groups(&setup, train_node, &run);
        snprintf(name, sizeof name, "%d nodes", size);
        hold_against_table(name, &run, size);
    }
    end();
}

static void test_workers(void **state) {
    (void)state;
    static const sgp_mixer_options_t options[] = {
        {0},
        {.overlap = 1},
        {.algorithm = SGP_ALGORITHM_DPSGD, .graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL},
        {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    };
    begin();
    for (int o = 0; o < 4; o++) {
        workers_setup_t setup = {.nodes = 3, .workers = 2, .chunk_bytes = 64};
        run_t run = run_of(options[o]);
        char name[NAME];
        run_workers(&setup, train_worker, &run);
        snprintf(name, sizeof name, "3 nodes of 2 workers, %s overlap %d",
                 sgp_algorithm_name(options[o].algorithm), options[o].overlap);
        hold_against_table(name, &run, 6);
    }
    end();
}

/* Vectors that a second thread copies, over every transport: the transport's name is not in the
 * table, for the bits are the same. */
static void test_transports(void **state) {
    (void)state;
    static const sgp_mixer_options_t options[] = {
        {.count = 270001},
        {.count = 270001, .overlap = 1},
        {.count = 270001, .overlap = 1, .encoding = SGP_ENCODING_BFLOAT16, .graph.peers = 2},
        {.count = 270001, .algorithm = SGP_ALGORITHM_ALLREDUCE},
    };
    static const char *const names[] = {"large sgp", "large osgp",
                                        "large osgp with 2 peers and bfloat16", "large allreduce"};
    begin();
    for (int o = 0; o < 4; o++) {
        uint64_t first = 0;
        for (int transport = 0; transport < 3; transport++) {
            ranks_setup_t setup = {.shm = transport == 1,
                                   .tcp = transport == 2,
                                   .loopback = {.size = 4, .chunk_bytes = 65536}};
            run_t run = run_of(options[o]);
            run.steps = STEPS_OF_LARGE;
            run_groups(&setup, train_node, &run);
            if (transport == 0) {
                first = run.hash[0];
                hold_against_table(names[o], &run, 4);
            }
            assert_true(run.hash[0] == first);
        }
    }
    end();
}

/* transport 0: a small vector over loopback; 1 to 3: a large one over each. */
static void try_blocks(sgp_mixer_options_t options, int transport) {
    static uint64_t first;
    ranks_setup_t setup = {.shm = transport == 2,
                           .tcp = transport == 3,
                           .loopback = {.size = NODES, .chunk_bytes = transport ? 65536 : 64}};
    run_t run = run_of(options);
    if (transport) run.options.count = 60001;
    run.steps = transport ? STEPS_OF_LARGE : STEPS;
    run_groups(&setup, train_node, &run);
    if (transport < 2) {
        char name[NAME];
        first = run.hash[0];
        snprintf(name, sizeof name, "%s%s %s peers %d overlap %d %s", transport ? "large " : "",
                 sgp_algorithm_name(options.algorithm), sgp_graph_name(options.graph.kind),
                 options.graph.peers, options.overlap, sgp_encoding_name(options.encoding));
        hold_against_table(name, &run, NODES);
    }
    assert_true(run.hash[0] == first);
}

/* Chunks of short blocks and of whole ones, over every transport. */
static void test_blocks(void **state) {
    (void)state;
    const sgp_encoding_t int8 = SGP_ENCODING_INT8;
    const sgp_graph_t uneven = {.kind = SGP_GRAPH_RANDOM_UNEVEN, .seed = 3};
    const sgp_mixer_options_t options[] = {
        {.encoding = int8},
        {.encoding = int8, .graph = uneven},
        {.encoding = int8, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 2, .graph.peers = 2},
        {.encoding = int8,
         .algorithm = SGP_ALGORITHM_DPSGD,
         .graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL},
        {.encoding = int8, .algorithm = SGP_ALGORITHM_ALLREDUCE},
        {.encoding = SGP_ENCODING_INT4, .algorithm = SGP_ALGORITHM_ALLREDUCE},
    };
    begin();
    for (size_t o = 0; o < sizeof options / sizeof *options; o++)
        for (int transport = 0; transport < 4; transport++) try_blocks(options[o], transport);
    workers_setup_t setup = {.nodes = 3, .workers = 2, .chunk_bytes = 1024};
    run_t run = run_of(options[0]);
    run_workers(&setup, train_worker, &run);
    hold_against_table("3 nodes of 2 workers, int8", &run, 6);
    end();
}

/* The table has no row that no test runs. */
static void test_table_is_used_up(void **state) {
    (void)state;
    if (!written) assert_int_equal(row, TABLE);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_dpsgd),
        cmocka_unit_test(test_allreduce),
        cmocka_unit_test(test_other_options),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_transports),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_table_is_used_up),
    };
    if (argc > 1 && !(written = fopen(argv[1], "w"))) return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return written && fclose(written) ? 2 : failed;
}
