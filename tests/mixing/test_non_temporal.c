/* SPDX-License-Identifier: Apache-2.0 */
/* Non-temporal stores change no bit of a message: the same run over shared memory with them alone, and over another
 * transport without. */
#include "ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"
#include "transport/slots/stores.h"

#include <sgp/optimizer.h>
#include <string.h>

/* Several chunks, each of several stretches of base/stream.h, and a last one of odd length. */
enum { SIZE = 3, CHUNK = 32 << 10, COUNT = 30011, BUFFERS = 301, STEPS = 5 };

typedef struct run {
    sgp_mixer_options_t options;
    bool optimizer; /* the mixer's, and not the caller */
    float z[SIZE][COUNT + BUFFERS];
} run_t;

static void body(sgp_group_t *group, void *context) {
    run_t *run = context;
    int rank = sgp_group_rank(group);
    sgp_mixer_options_t options = run->options;
    options.count = COUNT;
    options.buffers = BUFFERS;
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    sgp_range_t no_decay[] = {{7, 1001}, {20000, 9000}};
    sgp_optimizer_options_t momentum = {.count = COUNT,
                                        .momentum = 0.9f,
                                        .weight_decay = 0.01f,
                                        .no_decay = no_decay,
                                        .no_decay_count = 2};
    sgp_optimizer_t *optimizer = NULL;
    CHECK(sgp_optimizer_create(&momentum, &optimizer) == SGP_OK);
    float *z = sgp_mixer_parameters(mixer), *gradient = calloc(COUNT, sizeof *gradient);
    for (int i = 0; i < COUNT + BUFFERS; i++) z[i] = (float)(i * 7 % 1013 + rank * 31) / 97;
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < COUNT; i++) gradient[i] = z[i] / 3 - (float)(rank + i % 11);
        CHECK(sgp_mixer_step(mixer, run->optimizer ? optimizer : NULL, gradient, 0.1f) == SGP_OK);
    }
    memcpy(run->z[rank], z, sizeof run->z[rank]);
    free(gradient);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
}

static void same_bits(sgp_mixer_options_t options) {
    static run_t plain, non_temporal;
    for (int optimizer = 0; optimizer < 2; optimizer++) {
        plain = (run_t){.options = options, .optimizer = optimizer};
        non_temporal = plain;
        ranks_setup_t setup = {.loopback = {.size = SIZE, .chunk_bytes = CHUNK}};
        run_groups(&setup, body, &plain);
        setup.shm = true;
        sgp_stores_always_non_temporal(true);
        run_groups(&setup, body, &non_temporal);
        sgp_stores_always_non_temporal(false);
        assert_memory_equal(non_temporal.z, plain.z, sizeof plain.z);
    }
}

static void test_same_bits(void **state) {
    (void)state;
    const sgp_encoding_t encodings[] = {SGP_ENCODING_FLOAT32, SGP_ENCODING_BFLOAT16,
                                        SGP_ENCODING_FLOAT16, SGP_ENCODING_INT8};
    for (int e = 0; e < 4; e++) {
        same_bits((sgp_mixer_options_t){.encoding = encodings[e]});
        same_bits((sgp_mixer_options_t){.encoding = encodings[e], .graph = {.peers = 2}});
        same_bits((sgp_mixer_options_t){.encoding = encodings[e], .biased = true});
        same_bits(
            (sgp_mixer_options_t){.encoding = encodings[e], .algorithm = SGP_ALGORITHM_ALLREDUCE});
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
