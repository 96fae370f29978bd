/* SPDX-License-Identifier: Apache-2.0 */
/* Every sample once per epoch over all nodes, for any number of nodes and any batch. */
#include "data/support.h"

#include "data/sampler.h"

#define MAX_BATCH 64

static sampler_t make(uint32_t count, int rank, int size, int batch, uint64_t seed) {
    sampler_t sampler;
    sampler_options_t options = {
        .count = count, .rank = rank, .size = size, .batch = batch, .seed = seed};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    return sampler;
}

/* Adds the samples of all nodes in one step to taken (count). Returns their number. Shares in a
 * step differ by at most one, and lower ranks take more. */
static int take_step(sampler_t *nodes, int size, uint64_t step, uint8_t *taken) {
    uint64_t indices[MAX_BATCH];
    int total = 0, previous = nodes[0].options.batch, first = 0;
    for (int rank = 0; rank < size; rank++) {
        int valid = sampler_batch(&nodes[rank], step, indices);
        if (rank == 0) first = valid;
        assert_true(valid >= 0 && valid <= previous && first - valid <= 1);
        previous = valid;
        for (int i = 0; i < nodes[rank].options.batch; i++)
            assert_true(indices[i] < nodes[rank].options.count);
        for (int i = 0; i < valid; i++) taken[indices[i]]++;
        total += valid;
    }
    return total;
}

static void assert_partition(uint32_t count, int size, int batch) {
    sampler_t nodes[8];
    for (int rank = 0; rank < size; rank++) nodes[rank] = make(count, rank, size, batch, 5);
    uint64_t steps = sampler_steps(&nodes[0]);
    assert_int_equal(steps, (count + (uint32_t)(size * batch) - 1) / (uint32_t)(size * batch));
    uint8_t *taken = calloc(count, 1);
    for (uint64_t step = 0; step < steps; step++) {
        int total = take_step(nodes, size, step, taken);
        if (step + 1 < steps) assert_int_equal(total, size * batch);
        else assert_true(total > 0);
    }
    for (uint32_t i = 0; i < count; i++) assert_int_equal(taken[i], 1);
    free(taken);
    for (int rank = 0; rank < size; rank++) sampler_fini(&nodes[rank]);
}

static void every_sample_once_per_epoch(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 7, 8, 31, 32, 33, 100, 257, 1000};
    static const int batches[] = {1, 2, 5, 32, 64};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (int size = 1; size <= 8; size++)
            for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++)
                assert_partition(counts[c], size, batches[b]);
}

/* `before` nodes begin an epoch, and after each number of steps `after` others take the rest. */
static void assert_rest(uint32_t count, int before, int after, int batch) {
    sampler_t old[8], new[8];
    for (int rank = 0; rank < before; rank++) old[rank] = make(count, rank, before, batch, 5);
    for (int rank = 0; rank < after; rank++) new[rank] = make(count, rank, after, batch, 5);
    uint8_t *taken = calloc(2, count), *sum = taken + count;
    uint64_t steps = sampler_steps(&old[0]);
    for (uint64_t cut = 0; cut < steps; take_step(old, before, cut++, taken)) {
        for (int rank = 0; rank < after; rank++) {
            sampler_begin_epoch(&new[rank], 0);
            sampler_begin_rest(&new[rank], cut, cut * (uint64_t)(before * batch));
        }
        memcpy(sum, taken, count);
        uint64_t end = sampler_steps(&new[0]);
        for (uint64_t step = cut; step < end; step++)
            assert_true(take_step(new, after, step, sum) > 0);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(sum[i], 1);
    }
    free(taken);
    for (int rank = 0; rank < before; rank++) sampler_fini(&old[rank]);
    for (int rank = 0; rank < after; rank++) sampler_fini(&new[rank]);
}

static void every_sample_once_when_nodes_change(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 7, 33, 100, 257};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (int before = 1; before <= 5; before++)
            for (int after = 1; after <= 5; after++) {
                assert_rest(counts[c], before, after, 3);
                assert_rest(counts[c], before, after, 8);
            }
}

/* The whole batch, with its filling, depends only on the options, epoch and step: not on earlier
 * calls or other samplers. */
static void order_is_reproducible(void **state) {
    (void)state;
    sampler_t straight = make(103, 1, 3, 8, 42), jumping = make(103, 1, 3, 8, 42);
    uint64_t a[MAX_BATCH], b[MAX_BATCH];
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        sampler_begin_epoch(&straight, epoch);
        for (uint64_t step = 0; step < sampler_steps(&straight); step++) {
            sampler_begin_epoch(&jumping, 9);
            sampler_begin_epoch(&jumping, epoch);
            assert_int_equal(sampler_batch(&straight, step, a), sampler_batch(&jumping, step, b));
            assert_memory_equal(a, b, 8 * sizeof a[0]);
        }
    }
    sampler_fini(&straight);
    sampler_fini(&jumping);
}

/* The global batch of a step is the same set of samples for any number of nodes. */
static void global_batch_does_not_depend_on_the_split(void **state) {
    (void)state;
    sampler_t one = make(90, 0, 1, 24, 3), nodes[4];
    for (int rank = 0; rank < 4; rank++) nodes[rank] = make(90, rank, 4, 6, 3);
    for (uint64_t step = 0; step < 4; step++) {
        uint8_t alone[90] = {0}, shared[90] = {0};
        take_step(&one, 1, step, alone);
        take_step(nodes, 4, step, shared);
        assert_memory_equal(alone, shared, 90);
    }
    sampler_fini(&one);
    for (int rank = 0; rank < 4; rank++) sampler_fini(&nodes[rank]);
}

static int count_equal(const sampler_t *a, const sampler_t *b) {
    int equal = 0;
    for (uint32_t i = 0; i < a->options.count; i++) equal += a->permutation[i] == b->permutation[i];
    return equal;
}

/* Two random permutations agree at one position on average; 30 of 1000 would not be chance. */
static void epochs_and_seeds_differ(void **state) {
    (void)state;
    sampler_t a = make(1000, 0, 1, 10, 1), b = make(1000, 0, 1, 10, 1), c = make(1000, 0, 1, 10, 2);
    assert_int_equal(count_equal(&a, &b), 1000);
    assert_true(count_equal(&a, &c) < 30);
    sampler_begin_epoch(&b, 1);
    assert_true(count_equal(&a, &b) < 30);
    sampler_fini(&a);
    sampler_fini(&b);
    sampler_fini(&c);
}

static void options_out_of_range_are_refused(void **state) {
    (void)state;
    sampler_t sampler;
    log_start();
    assert_int_equal(sampler_init(&sampler, &(sampler_options_t){.count = 9, .size = 2}),
                     SGP_ERR_INVALID);
    assert_logged("batch is 0", NULL);
    log_start();
    assert_int_equal(
        sampler_init(&sampler, &(sampler_options_t){.count = 9, .size = 2, .rank = 2, .batch = 1}),
        SGP_ERR_INVALID);
    assert_logged("rank is 2", "0 to 1", NULL);
    log_start();
    assert_int_equal(sampler_init(&sampler, &(sampler_options_t){.size = 1, .batch = 1}),
                     SGP_ERR_INVALID);
    assert_logged("0 samples", NULL);
    log_start();
    assert_int_equal(
        sampler_init(&sampler,
                     &(sampler_options_t){.count = 9, .size = 4, .workers = 3, .batch = 1}),
        SGP_ERR_INVALID);
    assert_logged("4 processes", "nodes of 3 workers", NULL);
}

/* The m workers of a node take, in order, the samples of a node with an m times larger batch. */
static void workers_share_the_samples_of_their_node(void **state) {
    (void)state;
    enum { WORKERS = 3, BATCH = 5 };
    for (uint32_t count = 1; count <= 100; count++)
        for (int node = 0; node < 2; node++) {
            sampler_t whole = make(count, node, 2, WORKERS * BATCH, 5);
            for (uint64_t step = 0; step < sampler_steps(&whole); step++) {
                uint64_t expected[MAX_BATCH], found[MAX_BATCH];
                int valid = sampler_batch(&whole, step, expected), total = 0;
                for (int m = 0; m < WORKERS; m++) {
                    sampler_options_t options = whole.options;
                    options.rank = node * WORKERS + m;
                    options.size = 2 * WORKERS;
                    options.workers = WORKERS;
                    options.batch = BATCH;
                    sampler_t part;
                    assert_int_equal(sampler_init(&part, &options), SGP_OK);
                    total += sampler_batch(&part, step, found + total);
                    sampler_fini(&part);
                }
                assert_int_equal(total, valid);
                assert_memory_equal(found, expected, (size_t)valid * sizeof *found);
            }
            sampler_fini(&whole);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_once_per_epoch),
        cmocka_unit_test(every_sample_once_when_nodes_change),
        cmocka_unit_test(order_is_reproducible),
        cmocka_unit_test(global_batch_does_not_depend_on_the_split),
        cmocka_unit_test(epochs_and_seeds_differ),
        cmocka_unit_test(workers_share_the_samples_of_their_node),
        cmocka_unit_test(options_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
