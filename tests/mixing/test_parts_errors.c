/* SPDX-License-Identifier: Apache-2.0 */
/* A step in parts: calls that are refused, and steps that end in the middle. */
#include "mixing/trial.h"

#include <sys/wait.h>

enum { LENGTH = 300 };

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
    char state[16];
    REFUSED(sgp_mixer_hold(mixer), text);
    REFUSED(sgp_mixer_state_save(mixer, state, sizeof state), text);
    REFUSED(sgp_mixer_state_load(mixer, state, sizeof state), text);
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
    for (int parts = 0; parts < 2; parts++) {
        sgp_mixer_t *mixer = small_mixer(group, *(sgp_mixer_options_t *)context);
        sgp_optimizer_t *optimizer = NULL, *other = NULL;
        CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = LENGTH}, &optimizer) ==
              SGP_OK);
        CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = 7}, &other) == SGP_OK);
        for (uint64_t k = 0; k < 3; k++)
            if (parts) step_with_wrong_calls(mixer, optimizer, gradient, k);
            else CHECK(sgp_mixer_step(mixer, optimizer, gradient, LR) == SGP_OK);
        CHECK(sgp_mixer_add(mixer, 0, 0, NULL) == SGP_OK); /* waits for the rest */
        REFUSED(sgp_mixer_begin(mixer, other, gradient, LR), "the optimizer is for 7");
        CHECK(sgp_mixer_hold(mixer) == SGP_OK);
        REFUSED(sgp_mixer_begin(mixer, NULL, gradient, LR), "the mixer is held");
        CHECK(sgp_mixer_step(mixer, NULL, NULL, LR) == SGP_OK);
        float *z = sgp_mixer_parameters(mixer);
        if (!parts) memcpy(whole, z, sizeof whole);
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
                                   {.overlap = 1, .encoding = SGP_ENCODING_BFLOAT16},
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

/* ---- two mixers ---- */

enum { LARGE = (1 << 18) + 100 };

typedef struct pair {
    bool parts;
    float z[2][3][LARGE]; /* of each mixer, by rank */
} pair_t;

static void begin_part(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient) {
    CHECK(sgp_mixer_begin(mixer, optimizer, gradient, LR) == SGP_OK);
    CHECK(sgp_mixer_part(mixer, 1000, LARGE - 1000) == SGP_OK);
}

static void end_part(sgp_mixer_t *mixer) {
    CHECK(sgp_mixer_part(mixer, 0, 1000) == SGP_OK);
    CHECK(sgp_mixer_end(mixer) == SGP_OK);
}

/* Both overlap. In parts, the first one has begun a step while the second one makes a whole one. */
static void two_mixers(sgp_group_t *group, void *context) {
    pair_t *pair = context;
    int rank = sgp_group_rank(group);
    float *gradient = calloc(LARGE, sizeof *gradient);
    sgp_mixer_t *mixers[2] = {NULL, NULL};
    sgp_optimizer_t *optimizers[2] = {NULL, NULL};
    for (int m = 0; m < 2; m++) {
        sgp_mixer_options_t options = {.count = LARGE, .overlap = 1 + m};
        CHECK(sgp_mixer_create(group, &options, NULL, &mixers[m]) == SGP_OK);
        CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = LARGE, .momentum = 0.5f},
                                   &optimizers[m]) == SGP_OK);
    }
    for (int k = 0; k < 5; k++) {
        for (size_t i = 0; i < LARGE; i++) gradient[i] = (float)((int)(i % 7) + rank * k);
        bool parts = pair->parts && k % 2 == 0;
        if (parts) begin_part(mixers[0], optimizers[0], gradient);
        CHECK(sgp_mixer_step(mixers[1], optimizers[1], gradient, LR) == SGP_OK);
        if (parts) end_part(mixers[0]);
        else CHECK(sgp_mixer_step(mixers[0], optimizers[0], gradient, LR) == SGP_OK);
    }
    for (int m = 0; m < 2; m++) {
        CHECK(sgp_mixer_average(mixers[m], NULL, NULL) == SGP_OK);
        memcpy(pair->z[m][rank], sgp_mixer_parameters(mixers[m]), sizeof pair->z[m][rank]);
    }
    for (int m = 0; m < 2; m++) sgp_mixer_destroy(mixers[m]), sgp_optimizer_destroy(optimizers[m]);
    free(gradient);
}

static void test_two_mixers(void **state) {
    (void)state;
    static pair_t whole, parts = {.parts = true};
    ranks_setup_t setups[] = {{.shm = true, .loopback.size = 3}, {.tcp = true, .loopback.size = 3}};
    for (int s = 0; s < 2; s++) {
        run_groups(&setups[s], two_mixers, &whole);
        run_groups(&setups[s], two_mixers, &parts);
        assert_memory_equal(whole.z, parts.z, sizeof whole.z);
    }
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
#ifdef __SANITIZE_THREAD__
    skip(); /* in a child it does not see that a call switches stacks */
#endif
    ranks_setup_t setup = threads(2, true);
    run_groups(&setup, forks, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_destroy_in_the_middle),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_a_loss),
        cmocka_unit_test(test_two_mixers),
        cmocka_unit_test(test_a_forked_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
