/* SPDX-License-Identifier: Apache-2.0 */
/* Every public call that fails leaves a text in sgp_last_error of the calling thread, and one that succeeds leaves none. */
#include "ranks.h"

#include <sgp/sgp.h>

#include <math.h>
#include <string.h>

enum { NODES = 2, COUNT = 64, LARGE = 300000 }; /* LARGE: a progress thread copies the vector */

/* The call returns that status, and its text has that part; "": it has none. */
#define LEAVES(call, expected, part)                                                               \
    do {                                                                                           \
        sgp_status_t status_ = (call);                                                             \
        const char *text_ = sgp_last_error();                                                      \
        bool fits_ = *(part) ? strstr(text_, (part)) != NULL : !*text_;                            \
        if (status_ != (expected) || !fits_)                                                       \
            fprintf(stderr, "%s: %s, \"%s\"\n", #call, sgp_status_name(status_), text_);           \
        CHECK(status_ == (expected) && fits_);                                                     \
    } while (0)

static sgp_mixer_t *make_mixer(sgp_group_t *group, const sgp_mixer_options_t *options) {
    sgp_mixer_t *mixer = NULL;
    LEAVES(sgp_mixer_create(group, options, NULL, &mixer), SGP_OK, "");
    return mixer;
}

/* ---- one thread, no other node ---- */

static void test_without_a_group(void **state) {
    (void)state;
    atomic_store(&ranks_failures, 0);
    sgp_group_t *group = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_graph_kind_t kind;
    sgp_algorithm_t algorithm;
    sgp_encoding_t encoding;
    sgp_graph_t graph = {.size = 0};
    LEAVES(sgp_graph_check(&graph), SGP_ERR_INVALID, "graph: 0 nodes");
    LEAVES(sgp_graph_parse("no such", &kind), SGP_ERR_NOT_FOUND, "");
    LEAVES(sgp_graph_check(&(sgp_graph_t){.size = 4, .kind = 99}), SGP_ERR_INVALID, "no kind 99");
    LEAVES(sgp_algorithm_parse("no such", &algorithm), SGP_ERR_NOT_FOUND, "");
    LEAVES(sgp_optimizer_create(&(sgp_optimizer_options_t){0}, &optimizer), SGP_ERR_INVALID,
           "count is 0");
    LEAVES(sgp_encoding_parse("no such", &encoding), SGP_ERR_NOT_FOUND, "");
    LEAVES(sgp_group_join(&(sgp_group_options_t){.timeout_ms = -1}, &group), SGP_ERR_INVALID,
           "time limits of 0, -1 and 0 ms");
    LEAVES(sgp_graph_parse("ring", &kind), SGP_OK, "");
    LEAVES(sgp_group_join(&(sgp_group_options_t){.size = 2, .rendezvous = "/no/such"}, &group),
           SGP_ERR_INVALID, "/no/such: No such file");
    LEAVES(sgp_encoding_parse("float16", &encoding), SGP_OK, "");
    LEAVES(sgp_algorithm_parse("sgp", &algorithm), SGP_OK, "");
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

/* ---- wrong arguments, and what this node alone cannot do ---- */

static void wrong_calls(sgp_group_t *group, sgp_mixer_t *mixer) {
    sgp_group_t *nodes, *workers;
    sgp_mixer_t *other = NULL;
    sgp_mixer_statistics_t statistics;
    unsigned char bytes[8] = {0};
    float bad[2] = {1, NAN};
    LEAVES(sgp_group_gather(group, bytes, 0, bytes), SGP_ERR_INVALID, "gather: 0 bytes");
    LEAVES(sgp_group_broadcast(group, bytes, 1, NODES), SGP_ERR_INVALID, "root is rank 2 of 2");
    LEAVES(sgp_group_split(group, 3, &nodes, &workers), SGP_ERR_INVALID, "nodes of 3 workers");
    LEAVES(sgp_group_split(group, 2, &nodes, &workers), SGP_ERR_UNSUPPORTED, "can be split");
    LEAVES(sgp_mixer_statistics_sized(mixer, &statistics, 3), SGP_ERR_INVALID, "3 bytes");
    LEAVES(sgp_mixer_add(mixer, COUNT, 1, bad), SGP_ERR_INVALID, "must lie within");
    LEAVES(sgp_mixer_add(mixer, 0, 2, bad), SGP_ERR_NOT_FINITE, "are not all finite");
    LEAVES(sgp_mixer_statistics_sized(mixer, &statistics, sizeof statistics), SGP_OK, "");
    LEAVES(sgp_mixer_create(group, &(sgp_mixer_options_t){0}, NULL, &other), SGP_ERR_INVALID,
           "count is 0");
    LEAVES(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = (size_t)1 << 60}, NULL, &other),
           SGP_ERR_NO_MEMORY, "no memory for 1152921504606846976 numbers");
    sgp_mixer_options_t library = {
        .count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE, .library_allreduce = true};
    LEAVES(sgp_mixer_create(group, &library, NULL, &other), SGP_ERR_UNSUPPORTED, "the transport");
}

static void wrong_body(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_t *mixer = make_mixer(group, &(sgp_mixer_options_t){.count = COUNT});
    wrong_calls(group, mixer);
    LEAVES(sgp_group_barrier(group), SGP_OK, "");
    sgp_mixer_destroy(mixer);
}

static void test_wrong_calls(void **state) {
    (void)state;
    run_groups(&(ranks_setup_t){.loopback = {.size = NODES}}, wrong_body, NULL);
}

/* ---- numbers that are not finite ---- */

static void not_finite_body(sgp_group_t *group, void *context) {
    sgp_mixer_options_t options = *(const sgp_mixer_options_t *)context;
    sgp_mixer_t *mixer = make_mixer(group, &options);
    for (size_t i = 0; i < options.count; i++) sgp_mixer_parameters(mixer)[i] = INFINITY;
    sgp_status_t status = SGP_OK; /* the progress thread can be the one that finds it */
    for (int step = 0; step < 1000000 && status == SGP_OK; step++)
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
    LEAVES(status, SGP_ERR_NOT_FINITE, "are not all finite");
    sgp_mixer_destroy(mixer);
}

static void test_not_finite(void **state) {
    (void)state;
    const sgp_mixer_options_t options[] = {
        {.count = COUNT},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE},
        {.count = LARGE, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        run_groups(&(ranks_setup_t){.loopback = {.size = NODES}}, not_finite_body,
                   (void *)&options[i]);
}

/* ---- errors that come from the other node ---- */

static void disagree(sgp_group_t *group, void *context) {
    (void)context;
    int rank = sgp_group_rank(group);
    size_t count = rank ? COUNT : 2 * COUNT;
    char bytes[4];
    sgp_mixer_t *mixer = make_mixer(group, &(sgp_mixer_options_t){.count = count});
    LEAVES(sgp_group_broadcast(group, bytes, (size_t)rank + 1, 0), SGP_ERR_MISMATCH, "broadcasts");
    LEAVES(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_ERR_MISMATCH, "the same model");
    sgp_mixer_destroy(mixer);
}

static void test_mismatch(void **state) {
    (void)state;
    run_groups(&(ranks_setup_t){.loopback = {.size = NODES}}, disagree, NULL);
}

/* Node 1 cannot switch, so no node does. In slices: the text of an error is kept while the call is in the middle. */
static void switch_body(sgp_group_t *group, void *context) {
    int rank = sgp_group_rank(group);
    sgp_mixer_options_t options = {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE};
    sgp_mixer_t *mixer = make_mixer(group, &options);
    options.library_allreduce = rank == 1;
    sgp_group_set_slice(group, *(const int *)context);
    sgp_status_t status;
    while ((status = sgp_mixer_switch(mixer, &options)) == SGP_ERR_AGAIN) CHECK(!*sgp_last_error());
    LEAVES(status, SGP_ERR_UNSUPPORTED, rank ? "the transport" : "node 1 cannot");
    sgp_group_set_slice(group, 0);
    LEAVES(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_OK, "");
    sgp_mixer_destroy(mixer);
}

static void test_a_refused_switch(void **state) {
    (void)state;
    ranks_setup_t setup = {
        .loopback = {
            .size = NODES, .virtual_time = true, .delay_min_ns = 5000000, .delay_max_ns = 9000000}};
    for (int slice = 0; slice < 2; slice++) run_groups(&setup, switch_body, &slice);
}

/* ---- silence and losses ---- */

static void time_out(sgp_group_t *group, void *context) {
    (void)context;
    sgp_mixer_t *mixer = make_mixer(group, &(sgp_mixer_options_t){.count = COUNT, .timeout_ms = 1});
    if (sgp_group_rank(group) == 0)
        LEAVES(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_ERR_TIMEOUT, "gave up waiting for");
    LEAVES(sgp_group_barrier(group), SGP_OK, "");
    sgp_mixer_destroy(mixer);
}

static void test_timeout(void **state) {
    (void)state;
    run_groups(&(ranks_setup_t){.loopback = {.size = NODES}}, time_out, NULL);
}

static void lose(sgp_transport_t *transport, void *context) {
    sgp_group_t *group = NULL;
    sgp_status_t status = SGP_OK;
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    sgp_mixer_t *mixer = make_mixer(group, context);
    if (sgp_group_rank(group) == 1) {
        sgp_mixer_destroy(mixer);
        sgp_group_abort(group);
        return;
    }
    for (int step = 0; step < 100000000 && status == SGP_OK; step++)
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
    LEAVES(status, SGP_ERR_PEER_LOST, "node 1 is lost");
    LEAVES(sgp_mixer_step(mixer, NULL, NULL, 0), SGP_ERR_PEER_LOST, "node 1 is lost");
    LEAVES(sgp_group_barrier(group), SGP_ERR_PEER_LOST, "node 1 is lost");
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
}

static void test_losses(void **state) {
    (void)state;
    sgp_mixer_options_t options[] = {
        {.count = COUNT},
        {.count = LARGE, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
        {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE},
    };
    const ranks_setup_t setups[] = {{.loopback = {.size = NODES}},
                                    {.shm = true, .loopback = {.size = NODES}},
                                    {.tcp = true, .loopback = {.size = NODES}}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (int s = 0; s < 3; s++) run_transports(&setups[s], lose, &options[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_group),  cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_not_finite),       cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_a_refused_switch), cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
