/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes with samples of their own: as many in each step as without, none but their own, and each as often as another. */
#include "data/support.h"

#include "data/sampler.h"

enum { COUNT = 1000, BATCH = 8, MOST = 64 };

/* The samples first, first + 3, ... */
typedef struct owned {
    uint64_t samples[COUNT], count;
} owned_t;

static owned_t own_of(uint64_t first, uint64_t count) {
    owned_t own = {.count = count};
    for (uint64_t i = 0; i < count; i++) own.samples[i] = (first + 3 * i) % COUNT;
    return own;
}

static sampler_t make(int rank, int size, int workers, const owned_t *own, uint64_t epoch) {
    sampler_t sampler;
    sampler_options_t options = {.count = COUNT,
                                 .rank = rank,
                                 .size = size,
                                 .workers = workers,
                                 .batch = BATCH,
                                 .seed = 5,
                                 .own = own != NULL};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    if (own)
        sampler_set_own(&sampler,
                        &(sampler_own_t){own->samples, own->count, 9 + (uint64_t)(rank / workers)});
    sampler_begin_epoch(&sampler, epoch);
    return sampler;
}

/* Adds the samples of a step to taken. Returns their number. */
static int take(const sampler_t *sampler, uint64_t step, int *taken /* (COUNT) */) {
    uint64_t indices[MOST];
    int valid = sampler_batch(sampler, step, indices);
    for (int i = 0; i < BATCH; i++) assert_true(indices[i] < COUNT);
    for (int i = 0; i < valid; i++) taken[indices[i]]++;
    return valid;
}

/* A node's samples of an epoch: of its own alone, and each as often as another or once more. */
static void assert_even(const owned_t *own, const int *taken, int total) {
    int listed = 0;
    for (uint64_t i = 0; i < own->count; i++) {
        int times = taken[own->samples[i]], least = total / (int)own->count;
        assert_true(times == least || times == least + 1);
        listed += times;
    }
    assert_int_equal(listed, total);
}

/* Workers of a node together. own_count from one sample to all of them. */
static void assert_epoch(uint64_t own_count, int nodes, int workers, uint64_t epoch) {
    owned_t own = own_of(1, own_count);
    int size = nodes * workers, node = nodes - 1, taken[COUNT] = {0}, total = 0;
    for (int worker = 0; worker < workers; worker++) {
        sampler_t mine = make(node * workers + worker, size, workers, &own, epoch);
        sampler_t even = make(node * workers + worker, size, workers, NULL, epoch);
        uint64_t steps = sampler_steps(&mine);
        assert_int_equal(steps, sampler_steps(&even));
        for (uint64_t step = 0; step < steps; step++) {
            int before[COUNT] = {0}, valid = take(&mine, step, taken);
            assert_int_equal(valid, take(&even, step, before));
            total += valid;
        }
        sampler_fini(&mine);
        sampler_fini(&even);
    }
    assert_even(&own, taken, total);
}

static void as_many_steps_and_only_its_own(void **state) {
    (void)state;
    static const uint64_t counts[] = {1, 2, 7, 40, 125, 126, 333, 1000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (int nodes = 1; nodes <= 9; nodes += 2)
            for (int workers = 1; workers <= 3; workers++)
                assert_epoch(counts[c], nodes, workers, 4);
}

/* Passes and epochs have different orders, and nodes with the same samples too. */
static void each_pass_is_shuffled_again(void **state) {
    (void)state;
    enum { OWN = 2 * BATCH };
    owned_t own = own_of(0, OWN);
    uint64_t orders[5][OWN];
    sampler_t one = make(0, 4, 1, &own, 0), next = make(0, 4, 1, &own, 1),
              other = make(1, 4, 1, &own, 0);
    for (uint64_t half = 0; half < 2; half++) {
        sampler_batch(&one, half, orders[0] + half * BATCH);
        sampler_batch(&one, 2 + half, orders[1] + half * BATCH);
        sampler_batch(&one, 4 + half, orders[2] + half * BATCH);
        sampler_batch(&next, half, orders[3] + half * BATCH);
        sampler_batch(&other, half, orders[4] + half * BATCH);
    }
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++) assert_memory_not_equal(orders[i], orders[j], sizeof orders[0]);
    sampler_fini(&one);
    sampler_fini(&next);
    sampler_fini(&other);
}

/* A node leaves after some steps: the others make the steps that they would make without samples of their own, and take
 * their own samples in them. */
static void a_lost_node_takes_its_samples_with_it(void **state) {
    (void)state;
    owned_t own = own_of(2, 200);
    sampler_t mine = make(1, 4, 1, &own, 0), even = make(1, 4, 1, NULL, 0);
    segments_event_t leaves = {
        .kind = SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = 10, .end = 12};
    uint64_t before = sampler_steps(&mine);
    assert_int_equal(sampler_tell(&mine, &leaves, 1, 12, NULL), SGP_OK);
    assert_int_equal(sampler_tell(&even, &leaves, 1, 12, NULL), SGP_OK);
    assert_true(sampler_steps(&mine) > before);
    assert_int_equal(sampler_steps(&mine), sampler_steps(&even));
    int taken[COUNT] = {0}, ignored[COUNT] = {0}, total = 0;
    for (uint64_t step = 0; step < sampler_steps(&mine); step++) {
        int valid = take(&mine, step, taken);
        assert_int_equal(valid, take(&even, step, ignored));
        total += valid;
    }
    assert_even(&own, taken, total);
    sampler_fini(&mine);
    sampler_fini(&even);
}

/* From the middle of a divided epoch on, a sampler that was saved and restored gives the same batches. */
static void a_restored_one_goes_on(void **state) {
    (void)state;
    owned_t own = own_of(2, 77);
    sampler_t whole = make(1, 4, 1, &own, 3), again = make(1, 4, 1, &own, 3);
    segments_event_t leaves = {
        .kind = SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = 8, .end = 8};
    assert_int_equal(sampler_tell(&whole, &leaves, 1, 8, NULL), SGP_OK);
    size_t size = sampler_state_bytes(&whole);
    unsigned char *bytes = malloc(size);
    sampler_save(&whole, bytes);
    assert_int_equal(sampler_restore(&again, bytes, size), SGP_OK);
    sampler_set_self(&again, segments_number(1, 0));
    assert_int_equal(sampler_steps(&whole), sampler_steps(&again));
    for (uint64_t step = 15; step < sampler_steps(&whole); step++) {
        uint64_t one[BATCH], other[BATCH];
        assert_int_equal(sampler_batch(&whole, step, one), sampler_batch(&again, step, other));
        assert_memory_equal(one, other, sizeof one);
    }
    free(bytes);
    sampler_fini(&whole);
    sampler_fini(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_steps_and_only_its_own),
        cmocka_unit_test(each_pass_is_shuffled_again),
        cmocka_unit_test(a_lost_node_takes_its_samples_with_it),
        cmocka_unit_test(a_restored_one_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
