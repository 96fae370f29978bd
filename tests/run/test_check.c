/* SPDX-License-Identifier: Apache-2.0 */
/* Each mistake in the options gets one line with the option, its value, and what would be right. */
#include "data/support.h"

#include "run/mixing_plan.h"
#include "run/train.h"

#include <math.h>

static char directory[64];

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    write_dataset(directory, 40, 10, 16);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

static train_options_t valid(void) {
    train_options_t options;
    train_options_init(&options);
    options.model = "mlp";
    options.data = directory;
    return options;
}

static void assert_refused(const train_options_t *options, const char *what, const char *right) {
    log_start();
    assert_int_equal(train_check(options), SGP_ERR_INVALID);
    assert_logged(what, right, NULL);
}

#define ASSERT_REFUSED(field, value, what, right)                                                  \
    do {                                                                                           \
        train_options_t options = valid();                                                         \
        options.field = value;                                                                     \
        assert_refused(&options, what, right);                                                     \
    } while (0)

static void the_defaults_are_valid(void **state) {
    (void)state;
    train_options_t options = valid();
    log_start();
    assert_int_equal(train_check(&options), SGP_OK);
    options.nodes = 1;
    assert_int_equal(train_check(&options), SGP_OK);
    options.algorithm = train_stages_of(SGP_ALGORITHM_ALLREDUCE);
    assert_int_equal(train_check(&options), SGP_OK);
    assert_int_equal(captured.lines, 0);
}

static void a_run_that_takes_newcomers(void **state) {
    (void)state;
    ASSERT_REFUSED(max_nodes, 3, "max-nodes is 3", "at least the 4 nodes");
    train_options_t options = valid();
    options.transport = "shm";
    options.max_nodes = 8;
    assert_refused(&options, "max-nodes is 8, of 4 nodes", "must be tcp or auto");
    assert_int_equal(train_most_nodes(&options, true), 4);
    options.transport = "tcp";
    assert_int_equal(train_check(&options), SGP_OK);
    assert_int_equal(train_most_nodes(&options, false), 8);
    options.on_loss = "stop";
    assert_refused(&options, "max-nodes is 8, of 4 nodes", "goes on without lost ones");
    options = valid();
    options.transport = "tcp";
    options.overlap = SGP_OVERLAP_ASYNC;
    assert_int_equal(train_most_nodes(&options, true), 4);
    options = valid();
    options.transport = "tcp";
    assert_int_equal(train_most_nodes(&options, false), 4);
    assert_int_equal(train_most_nodes(&options, true), 8);
    options.transport = "auto";
    assert_int_equal(train_most_nodes(&options, true), 4);
    options.max_nodes = 6;
    assert_int_equal(train_most_nodes(&options, true), 6);
}

static void sizes_out_of_range(void **state) {
    (void)state;
    ASSERT_REFUSED(quorum, 1.5, "quorum is 1.5", "0 to 1");
    ASSERT_REFUSED(pause_limit, -1, "pause-limit is -1", "0 or more");
    ASSERT_REFUSED(nodes, 0, "nodes is 0", "from 1 to 65536");
    ASSERT_REFUSED(nodes, 65537, "nodes is 65537", "from 1 to 65536");
    ASSERT_REFUSED(workers, 0, "workers-per-node is 0", "from 1 to 65536");
    ASSERT_REFUSED(workers, 16385, "workers-per-node is 16385",
                   "must be 1 to 16384 with 4 nodes (65536 processes)");
    ASSERT_REFUSED(epochs, 0, "epochs is 0", "from 1 to 100000");
    ASSERT_REFUSED(epochs, 2000000, "epochs is 2000000", "from 1 to 100000");
    ASSERT_REFUSED(batch_size, -3, "batch-size is -3", "from 1 to 65536");
    ASSERT_REFUSED(limit_samples, -1, "limit-samples is -1", "from 1 to");
    ASSERT_REFUSED(limit_samples, 41, "limit-samples is 41", "at most 40");
    ASSERT_REFUSED(slow_rank, 4, "slow-node is 4", "at most 3");
    ASSERT_REFUSED(peers, train_stages_of(4), "peers", "4");
}

static void numbers_out_of_range(void **state) {
    (void)state;
    ASSERT_REFUSED(lr, 0, "lr is 0", "above 0");
    ASSERT_REFUSED(lr, (double)NAN, "lr is nan", "above 0");
    ASSERT_REFUSED(lr, (double)INFINITY, "lr is inf", "above 0");
    ASSERT_REFUSED(warmup_epochs, 6, "warmup-epochs is 6", "at most the 5");
    ASSERT_REFUSED(momentum, 1, "momentum is 1", "below 1");
    ASSERT_REFUSED(weight_decay, -1, "weight-decay is -1", "0 or more");
    ASSERT_REFUSED(compute_ms, -1, "compute-ms is -1", "above 0");
    train_options_t options = valid();
    options.slow_rank = 1;
    options.slow_factor = 0.5;
    assert_refused(&options, "slow-node is 0.5", "1 to");
}

static void names_that_nobody_knows(void **state) {
    (void)state;
    ASSERT_REFUSED(lr_schedule, "linear", "lr-schedule is linear", "auto, step, cosine, constant");
    ASSERT_REFUSED(optimizer, "lamb", "optimizer is lamb", "sgd, adam");
    ASSERT_REFUSED(transport, "pigeon", "transport is pigeon", "auto, shm, tcp, mpi, loopback");
    ASSERT_REFUSED(allreduce, "theirs", "allreduce is theirs", "own, library");
    ASSERT_REFUSED(allreduce, "library", "allreduce is library", "transport mpi");
    ASSERT_REFUSED(model, "perceptron", "perceptron", "mlp");
    ASSERT_REFUSED(model, NULL, "model is missing", "mlp");
}

static void data_that_is_not_there(void **state) {
    (void)state;
    train_options_t options = valid();
    options.data = "/nowhere/at/all";
    log_start();
    assert_int_equal(train_check(&options), SGP_ERR_NOT_FOUND);
    assert_logged("/nowhere/at/all", NULL);
}

static void more_memory_than_there_is(void **state) {
    (void)state;
    train_options_t options = valid();
    options.nodes = 60000;
    assert_refused(&options, "60000 nodes of mlp", "GiB");
    options.here = 1; /* the others have machines of their own */
    assert_int_equal(train_check(&options), SGP_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_valid),     cmocka_unit_test(sizes_out_of_range),
        cmocka_unit_test(a_run_that_takes_newcomers), cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(names_that_nobody_knows),    cmocka_unit_test(data_that_is_not_there),
        cmocka_unit_test(more_memory_than_there_is),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
