/* SPDX-License-Identifier: Apache-2.0 */
/* A newcomer takes the state of a run in the middle of an epoch: from then on it counts as a node that was always there, and over
 * the epoch no sample is used twice or left out. The mixing is not part of these tests. A wrapper of sampler_batch (--wrap)
 * notes the samples. */
#include "run/run_fixture.h"

#include "data/sampler.h"
#include "run/handover.h"
#include "run/run_data.h"

#include <math.h>

enum { PLACES = 5, FOUNDERS = 2, TRAIN = 203, TESTS = 10, SIDE = 8, BATCH = 4 };

static int taken[TRAIN]; /* in the present epoch */
static bool counts;

int __real_sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices);
int __wrap_sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices);

int __wrap_sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices) {
    int count = __real_sampler_batch(sampler, step, indices);
    for (int i = 0; i < count && counts; i++) taken[indices[i]]++;
    return count;
}

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

static train_options_t small_run(const fixture_t *fixture) {
    train_options_t options = fixture_run(fixture, FOUNDERS);
    options.batch_size = BATCH;
    return options;
}

static void *zeros(size_t count, size_t size) {
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

/* A node of such a run without a group. */
static run_t *make_run(const train_options_t *options, int rank) {
    run_t *run = zeros(1, sizeof *run);
    run->options = options;
    run->rank = run->node = rank;
    run->size = PLACES;
    run->founders = FOUNDERS;
    run->mixed_nodes = FOUNDERS;
    strcpy(run->id, "0123456789abcdef0123456789abcdef");
    assert_int_equal(replica_init(&run->replica, options, rank < FOUNDERS ? rank : 0), SGP_OK);
    run_data_init(run);
    metrics_init(&run->metrics, run->replica.steps_per_epoch, run->replica.parameters);
    assert_int_equal(times_init(&run->times, epochs_total(&run->replica.epochs)), SGP_OK);
    run->losses.members = zeros(PLACES, sizeof *run->losses.members);
    run->losses.uses = zeros(PLACES, sizeof *run->losses.uses);
    run->losses.apart = zeros(PLACES, sizeof *run->losses.apart);
    run->losses.there = zeros(RUN_DIVISIONS * PLACES, sizeof *run->losses.there);
    run->losses.noted = zeros(PLACES, sizeof *run->losses.noted);
    run->losses.agreed = zeros(PLACES, sizeof *run->losses.agreed);
    run->losses.room = PLACES;
    run->arrivals.first = zeros(PLACES, sizeof *run->arrivals.first);
    run->arrivals.met = zeros(PLACES, sizeof *run->arrivals.met);
    return run;
}

static run_t *make_founder(const train_options_t *options, int rank) {
    run_t *run = make_run(options, rank);
    for (int r = 0; r < FOUNDERS; r++) run_losses_arrive(&run->losses, r);
    /* One newcomer was met, and one has not come yet. */
    run->arrivals.met[PLACES - 2] = run->arrivals.met[PLACES - 1] = 3;
    run->arrivals.first[PLACES - 1] = 1000;
    assert_int_equal(run_data_begin(run, 0, 0), SGP_OK);
    return run;
}

static void destroy(run_t *run) {
    run_data_fini(run);
    times_fini(&run->times);
    replica_fini(&run->replica);
    run_losses_fini(&run->losses);
    run_joins_fini(&run->joins);
    free(run->arrivals.first);
    free(run->arrivals.met);
    free(run);
}

/* So many steps of each, or all of the epoch. */
static void make_steps(run_t **runs, int count, uint64_t steps) {
    static const float z[1000000];
    feed_batch_t batch;
    counts = true;
    for (; steps > 0 && run_data_step(runs[0]) < feed_steps(runs[0]->replica.feed); steps--)
        for (int i = 0; i < count; i++) {
            assert_int_equal(feed_next(runs[i]->replica.feed, &batch), SGP_OK);
            runs[i]->step++;
            times_add(&runs[i]->times, 1);
            metrics_add(&runs[i]->metrics, &(metrics_step_t){.samples = 1}, z, runs[i]->step);
        }
    counts = false;
}

static void check_taken(void) {
    for (int i = 0; i < TRAIN; i++)
        if (taken[i] != 1) fail_msg("sample %d is taken %d times", i, taken[i]);
    memset(taken, 0, sizeof taken);
}

/* Joins the runs of others, from the state of the first. */
static run_t *join(const train_options_t *options, run_t **others, int count, int rank) {
    run_t *run = make_run(options, rank);
    void *bytes;
    size_t size;
    assert_int_equal(handover_save(others[0], &bytes, &size), SGP_OK);
    assert_int_equal(handover_load(run, bytes, size), SGP_OK);
    free(bytes);
    train_join_t now = {.node = rank, .rejoined = rank % 2, .step = run->step};
    run_losses_arrive(&run->losses, rank);
    assert_int_equal(run_data_arrive(run), SGP_OK);
    assert_int_equal(run_data_admit(run, &rank, 1), SGP_OK);
    assert_int_equal(run_joins_add(&run->joins, &now, 1), SGP_OK);
    for (int i = 0; i < count; i++) {
        assert_int_equal(run_joins_add(&others[i]->joins, &now, 1), SGP_OK);
        run_losses_arrive(&others[i]->losses, rank);
        assert_int_equal(run_data_admit(others[i], &rank, 1), SGP_OK);
    }
    return run;
}

/* All nodes agree that it is lost, after the present step. */
static void lose(run_t **runs, int count, int rank) {
    for (int i = 0; i < count; i++) {
        run_losses_t *losses = &runs[i]->losses;
        losses->agreed[losses->count++] =
            (train_loss_t){.node = rank, .step = runs[i]->step, .next = runs[i]->step};
        losses->members[rank] = false;
        assert_int_equal(run_data_follow(runs[i]), SGP_OK);
    }
}

static void assert_alike(const run_t *one, const run_t *other) {
    assert_int_equal(one->step, other->step);
    assert_int_equal(one->times.count, other->times.count);
    assert_int_equal(one->metrics.count, other->metrics.count);
    assert_int_equal(one->metrics.open_steps, other->metrics.open_steps);
    assert_int_equal(run_data_step(one), run_data_step(other));
    assert_int_equal(feed_steps(one->replica.feed), feed_steps(other->replica.feed));
    assert_memory_equal(&one->replica.epochs, &other->replica.epochs, sizeof(epochs_t));
    assert_true(replica_rate(&one->replica, one->step) ==
                replica_rate(&other->replica, other->step));
    assert_int_equal(one->losses.count, other->losses.count);
    assert_int_equal(one->joins.count, other->joins.count);
    for (int i = 0; i < one->joins.count; i++)
        assert_memory_equal(&one->joins.list[i], &other->joins.list[i], sizeof(train_join_t));
    assert_memory_equal(one->arrivals.first, other->arrivals.first, PLACES * sizeof(uint64_t));
    assert_memory_equal(one->arrivals.met, other->arrivals.met, PLACES * sizeof(uint64_t));
    for (int r = 0; r < PLACES; r++)
        assert_int_equal(one->losses.members[r], other->losses.members[r]);
}

static void begin_epoch(run_t **runs, int count, uint64_t epoch) {
    for (int i = 0; i < count; i++) {
        metrics_end(&runs[i]->metrics, runs[i]->replica.average);
        runs[i]->metrics.count = 0;
        assert_int_equal(run_data_begin(runs[i], epoch, 0), SGP_OK);
    }
}

static void newcomers_take_samples_from_their_first_step_on(void **state) {
    train_options_t options = small_run(*state);
    for (uint64_t before = 1; before < 24; before += 3) {
        run_t *runs[] = {make_founder(&options, 0), make_founder(&options, 1), NULL, NULL};
        memset(taken, 0, sizeof taken);
        make_steps(runs, 2, before);
        runs[2] = join(&options, runs, 2, 4);
        assert_alike(runs[2], runs[0]);
        make_steps(runs, 3, 1);
        runs[3] = join(&options, runs, 3, 2);
        assert_alike(runs[3], runs[1]);
        make_steps(runs, 4, UINT64_MAX);
        check_taken();
        begin_epoch(runs, 4, 1);
        for (int i = 1; i < 4; i++) assert_alike(runs[i], runs[0]);
        assert_int_equal(feed_steps(runs[0]->replica.feed), (TRAIN + 4 * BATCH - 1) / (4 * BATCH));
        make_steps(runs, 4, UINT64_MAX);
        check_taken();
        for (int i = 0; i < 4; i++) destroy(runs[i]);
    }
}

/* The learning rate follows the nodes that there are. */
static void the_rate_is_that_of_all_nodes(void **state) {
    train_options_t options = small_run(*state);
    options.lr_schedule = "step";
    options.warmup_epochs = 0;
    run_t *runs[] = {make_founder(&options, 0), make_founder(&options, 1), NULL};
    make_steps(runs, 2, 3);
    double before = replica_rate(&runs[0]->replica, 3);
    runs[2] = join(&options, runs, 2, 2);
    assert_true(fabs(replica_rate(&runs[2]->replica, 3) / before - 1.5) < 1e-12);
    for (int i = 0; i < 3; i++) destroy(runs[i]);
}

/* A node is gone, and the others divide the samples without it before they agree on its loss. A newcomer that comes between learns
 * both, and so does one that comes later. */
static void samples_are_divided_before_a_loss_is_agreed_on(void **state) {
    train_options_t options = small_run(*state);
    options.lr_schedule = "step";
    options.warmup_epochs = 0;
    for (uint64_t before = 1; before < 20; before += 3) {
        run_t *runs[] = {make_founder(&options, 0), make_founder(&options, 1), NULL, NULL};
        bool there[PLACES] = {true, false};
        memset(taken, 0, sizeof taken);
        double rate = replica_rate(&runs[0]->replica, before);
        make_steps(runs, 2, before);
        memcpy(runs[0]->losses.there, there, sizeof there);
        runs[0]->data.divided_from[runs[0]->data.divisions++] = before;
        assert_int_equal(run_data_divide(runs[0]), SGP_OK);
        destroy(runs[1]);
        assert_true(fabs(replica_rate(&runs[0]->replica, before) / rate - 0.5) < 1e-12);
        make_steps(runs, 1, 2);
        runs[1] = join(&options, runs, 1, 3);
        assert_alike(runs[1], runs[0]);
        make_steps(runs, 2, 1);
        lose(runs, 2, 1);
        assert_alike(runs[1], runs[0]);
        assert_int_equal(runs[0]->data.apart, 0);
        runs[2] = join(&options, runs, 2, 2);
        assert_alike(runs[2], runs[1]);
        make_steps(runs, 3, UINT64_MAX);
        check_taken();
        for (int i = 0; i < 3; i++) destroy(runs[i]);
    }
}

/* The place of a lost node is given again: its samples are not those of the one before. */
static void a_place_is_used_again(void **state) {
    train_options_t options = small_run(*state);
    run_t *runs[] = {make_founder(&options, 0), make_founder(&options, 1)};
    memset(taken, 0, sizeof taken);
    make_steps(runs, 2, 4);
    lose(runs, 2, 1);
    destroy(runs[1]);
    make_steps(runs, 1, 3);
    runs[1] = join(&options, runs, 1, 1);
    assert_int_equal(runs[1]->losses.uses[1], 2);
    assert_int_equal(feed_samples(runs[1]->replica.feed, run_data_step(runs[1])), BATCH);
    assert_alike(runs[1], runs[0]);
    make_steps(runs, 2, 2);
    lose(runs, 2, 1);
    destroy(runs[1]);
    make_steps(runs, 1, UINT64_MAX);
    check_taken();
    destroy(runs[0]);
}

/* Every byte changed and every beginning: refused, or a state that a run can have. */
static void damaged_states_are_refused(void **state) {
    train_options_t options = small_run(*state);
    run_t *founder = make_founder(&options, 0), *run = make_run(&options, 2);
    unsigned char *bytes;
    size_t size;
    make_steps(&founder, 1, 3);
    assert_int_equal(handover_save(founder, (void **)&bytes, &size), SGP_OK);
    for (size_t i = 0; i < size; i++) {
        assert_int_not_equal(handover_load(run, bytes, i), SGP_OK);
        bytes[i] ^= 1 << (i % 8);
        assert_int_not_equal(handover_load(run, bytes, size), SGP_OK);
        bytes[i] ^= 1 << (i % 8);
    }
    strcpy(run->id, "another run");
    assert_int_equal(handover_load(run, bytes, size), SGP_ERR_MISMATCH);
    free(bytes);
    destroy(run);
    destroy(founder);
}

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newcomers_take_samples_from_their_first_step_on),
        cmocka_unit_test(the_rate_is_that_of_all_nodes),
        cmocka_unit_test(samples_are_divided_before_a_loss_is_agreed_on),
        cmocka_unit_test(a_place_is_used_again),
        cmocka_unit_test(damaged_states_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, fixture_tear_down);
}
