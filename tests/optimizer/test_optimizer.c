/* SPDX-License-Identifier: Apache-2.0 */
/* The fused passes against the equations in double, written plainly. */
#include "cmocka_all.h"

#include "base/random.h"
#include "optimizer/optimizer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 5000
#define STEPS 20

typedef struct plain {
    double z[COUNT], m[COUNT], v[COUNT];
} plain_t;

static bool decays_at(const sgp_optimizer_options_t *options, size_t i) {
    for (size_t r = 0; r < options->no_decay_count; r++)
        if (i >= options->no_decay[r].offset &&
            i < options->no_decay[r].offset + options->no_decay[r].count)
            return false;
    return true;
}

/* The equations of sgp/optimizer.h, one coordinate at a time. */
static void plain_step(const sgp_optimizer_options_t *options, plain_t *plain, const float *g,
                       double lr, int step) {
    for (size_t i = 0; i < COUNT; i++) {
        double decay = decays_at(options, i) ? options->weight_decay : 0;
        bool decoupled = options->kind == SGP_OPTIMIZER_ADAMW;
        double gradient = g[i] + (decoupled ? 0 : decay * plain->z[i]);
        if (decoupled) plain->z[i] -= lr * decay * plain->z[i];
        if (options->kind != SGP_OPTIMIZER_SGD) {
            double b1 = options->beta1 > 0 ? options->beta1 : 0.9;
            double b2 = options->beta2 > 0 ? options->beta2 : 0.999;
            plain->m[i] = b1 * plain->m[i] + (1 - b1) * gradient;
            plain->v[i] = b2 * plain->v[i] + (1 - b2) * gradient * gradient;
            double m = plain->m[i] / (1 - pow(b1, step)), v = plain->v[i] / (1 - pow(b2, step));
            plain->z[i] -= lr * m / (sqrt(v) + 1e-8);
        } else {
            double mu = options->momentum;
            plain->m[i] = mu * plain->m[i] + gradient;
            plain->z[i] -= lr * (options->heavy_ball ? plain->m[i] : gradient + mu * plain->m[i]);
        }
    }
}

static void random_vector(sgp_random_t *random, float *x) {
    for (size_t i = 0; i < COUNT; i++) x[i] = (float)sgp_random_normal(random);
}

/* In stretches of uneven length, with and without a copy, and every second copy by non-temporal stores. */
static void step_in_stretches(sgp_optimizer_t *optimizer, float *z, const float *g, float lr,
                              float *copy) {
    sgp_optimizer_begin(optimizer);
    bool non_temporal = false;
    for (size_t at = 0, part = 1; at < COUNT; at += part, part = part * 2 + 1) {
        if (part > COUNT - at) part = COUNT - at;
        sgp_optimizer_apply(optimizer, at, part, z + at, g + at, lr, copy ? copy + at : NULL,
                            non_temporal);
        non_temporal = !non_temporal;
    }
}

static void check_against_plain(sgp_optimizer_options_t options, double tolerance) {
    static plain_t plain;
    static float z[COUNT], g[COUNT], copy[COUNT], whole[COUNT];
    sgp_optimizer_t *optimizer, *other;
    options.count = COUNT;
    assert_int_equal(sgp_optimizer_create(&options, &optimizer), SGP_OK);
    assert_int_equal(sgp_optimizer_create(&options, &other), SGP_OK);
    sgp_random_t random;
    sgp_random_init(&random, 1, 2);
    random_vector(&random, z);
    memset(&plain, 0, sizeof plain);
    for (size_t i = 0; i < COUNT; i++) plain.z[i] = z[i];
    memcpy(whole, z, sizeof z);
    for (int step = 1; step <= STEPS; step++) {
        random_vector(&random, g);
        plain_step(&options, &plain, g, 0.01f, step);
        step_in_stretches(optimizer, z, g, 0.01f, step % 2 ? copy : NULL);
        if (step % 2) assert_memory_equal(copy, z, sizeof z);
        sgp_optimizer_step(other, whole, g, 0.01f);
        assert_memory_equal(whole, z, sizeof z); /* how it is cut does not matter, bit for bit */
    }
    for (size_t i = 0; i < COUNT; i++) assert_true(fabs(z[i] - plain.z[i]) < tolerance);
    sgp_optimizer_destroy(optimizer);
    sgp_optimizer_destroy(other);
}

static const sgp_range_t ranges[] = {{0, 3}, {10, 0}, {100, 200}, {4990, 10}};

static void test_sgd(void **state) {
    (void)state;
    check_against_plain((sgp_optimizer_options_t){.momentum = 0}, 1e-6);
    check_against_plain((sgp_optimizer_options_t){.momentum = 0.9f}, 3e-6);
    check_against_plain((sgp_optimizer_options_t){.momentum = 0.9f, .heavy_ball = true}, 3e-6);
}

static void test_weight_decay_where_it_applies(void **state) {
    (void)state;
    check_against_plain(
        (sgp_optimizer_options_t){
            .momentum = 0.9f, .weight_decay = 0.1f, .no_decay = ranges, .no_decay_count = 4},
        3e-6);
    check_against_plain((sgp_optimizer_options_t){.weight_decay = 0.1f}, 3e-6);
}

static void test_adam(void **state) {
    (void)state;
    check_against_plain((sgp_optimizer_options_t){.kind = SGP_OPTIMIZER_ADAM}, 1e-5);
    check_against_plain((sgp_optimizer_options_t){.kind = SGP_OPTIMIZER_ADAM,
                                                  .beta1 = 0.8f,
                                                  .weight_decay = 0.01f,
                                                  .no_decay = ranges,
                                                  .no_decay_count = 4},
                        1e-5);
}

/* The parameters after each step of torch.optim.AdamW (torch 1.13, float32) from 0.5, -1.25 and 2, with a weight decay of 0.1, at
 * the rates 0.05 / sqrt(k) and the gradients of the loop below. */
static const float torch_adamw[6][3] = {
    {0.547500014f, -1.29374993f, 2.03999996f}, {0.579188526f, -1.32044327f, 2.06574512f},
    {0.600848854f, -1.34161413f, 2.08498764f}, {0.611940086f, -1.35993755f, 2.10030603f},
    {0.612474799f, -1.37649524f, 2.1129365f},  {0.605612099f, -1.39184308f, 2.12358546f},
};

static void test_adamw(void **state) {
    (void)state;
    sgp_optimizer_t *optimizer;
    sgp_optimizer_options_t options = {
        .count = 3, .kind = SGP_OPTIMIZER_ADAMW, .weight_decay = 0.1f};
    float z[3] = {0.5f, -1.25f, 2};
    assert_int_equal(sgp_optimizer_create(&options, &optimizer), SGP_OK);
    for (int k = 1; k <= 6; k++) {
        float g[3] = {(float)(0.3 * k - 1), (float)(0.02 * k * k), (float)(-1.5 / k)};
        sgp_optimizer_step(optimizer, z, g, (float)(0.05 / sqrt(k)));
        for (int i = 0; i < 3; i++) assert_true(fabsf(z[i] - torch_adamw[k - 1][i]) < 5e-7f);
    }
    sgp_optimizer_destroy(optimizer);
    check_against_plain((sgp_optimizer_options_t){.kind = SGP_OPTIMIZER_ADAMW,
                                                  .weight_decay = 0.1f,
                                                  .no_decay = ranges,
                                                  .no_decay_count = 4},
                        1e-5);
}

/* Copies the state of one optimizer into another. */
static void copy_state(sgp_optimizer_t *from, sgp_optimizer_t *to) {
    static const size_t bytes[] = {sizeof(float), sizeof(double), sizeof(uint64_t)};
    sgp_state_t saved = {0}, places = {0};
    sgp_optimizer_state(from, &saved);
    sgp_optimizer_state(to, &places);
    assert_int_equal(saved.count, places.count);
    for (size_t i = 0; i < saved.count; i++) {
        assert_string_equal(saved.items[i].name, places.items[i].name);
        assert_int_equal(saved.items[i].count, places.items[i].count);
        memcpy(places.items[i].data, saved.items[i].data,
               saved.items[i].count * bytes[saved.items[i].kind]);
    }
}

/* Half of the steps by one optimizer and half by another give the bits of one alone. */
static void goes_on(sgp_optimizer_options_t options) {
    static float g[COUNT], z[COUNT], other[COUNT];
    sgp_random_t random;
    sgp_random_init(&random, 3, 0);
    random_vector(&random, z);
    memcpy(other, z, sizeof z);
    sgp_optimizer_t *alone, *first, *second;
    assert_int_equal(sgp_optimizer_create(&options, &alone), SGP_OK);
    assert_int_equal(sgp_optimizer_create(&options, &first), SGP_OK);
    assert_int_equal(sgp_optimizer_create(&options, &second), SGP_OK);
    for (int step = 0; step < STEPS; step++) {
        if (step == STEPS / 2) copy_state(first, second);
        random_vector(&random, g);
        sgp_optimizer_step(alone, z, g, 0.01f);
        sgp_optimizer_step(step < STEPS / 2 ? first : second, other, g, 0.01f);
    }
    assert_memory_equal(z, other, sizeof z);
    sgp_optimizer_destroy(alone);
    sgp_optimizer_destroy(first);
    sgp_optimizer_destroy(second);
}

static void test_goes_on_from_its_state(void **state) {
    (void)state;
    goes_on((sgp_optimizer_options_t){.count = COUNT});
    goes_on((sgp_optimizer_options_t){.count = COUNT, .momentum = 0.9f});
    goes_on((sgp_optimizer_options_t){.count = COUNT, .kind = SGP_OPTIMIZER_ADAM});
}

static void refused(sgp_optimizer_options_t options) {
    sgp_optimizer_t *optimizer = NULL;
    assert_int_equal(sgp_optimizer_create(&options, &optimizer), SGP_ERR_INVALID);
    assert_null(optimizer);
}

static void test_bad_options(void **state) {
    (void)state;
    static const sgp_range_t outside[] = {{4, 2}}, crossed[] = {{2, 2}, {3, 1}};
    refused((sgp_optimizer_options_t){.count = 0});
    refused((sgp_optimizer_options_t){.count = 5, .momentum = 1});
    refused((sgp_optimizer_options_t){.count = 5, .momentum = -0.1f});
    refused((sgp_optimizer_options_t){.count = 5, .momentum = NAN});
    refused((sgp_optimizer_options_t){.count = 5, .weight_decay = -1});
    refused((sgp_optimizer_options_t){.count = 5, .kind = (sgp_optimizer_kind_t)9});
    refused((sgp_optimizer_options_t){.count = 5, .no_decay = outside, .no_decay_count = 1});
    refused((sgp_optimizer_options_t){.count = 5, .no_decay = crossed, .no_decay_count = 2});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd),
        cmocka_unit_test(test_weight_decay_where_it_applies),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_goes_on_from_its_state),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
