/* SPDX-License-Identifier: Apache-2.0 */
/* The number of threads of a model: the same bits for the same number, whatever the caller's own
 * setting of OpenMP, which stays as it is. */
#include "reference.h"

#include "model/model.h"

#include <dlfcn.h>
#include <sgp/log.h>

enum { BATCH = 8, SIDE = 12, CLASSES = 10, STEPS = 3 };

/* The functions of oneDNN's OpenMP. */
static int (*omp_threads)(void);
static void (*omp_set)(int count);

static int find_openmp(void **state) {
    (void)state;
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    void *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&omp_threads, &get, sizeof get);
    memcpy(&omp_set, &set, sizeof set);
    return 0;
}

static void needs_openmp(void) {
    if (omp_threads) return;
    print_message("this oneDNN does not use OpenMP\n");
    skip();
}

/* Some steps of LeNet from the same start. Returns the parameters, to be freed. */
static float *train(int threads, model_precision_t precision, size_t *count) {
    model_options_t options = {.name = "lenet",
                               .batch = BATCH,
                               .height = SIDE,
                               .width = SIDE,
                               .channels = 1,
                               .classes = CLASSES,
                               .threads = threads,
                               .precision = precision};
    model_t *model = NULL;
    assert_int_equal(model_create(&options, &model), SGP_OK);
    *count = model_parameter_count(model);
    float *parameters = make_floats(*count), *gradient = make_floats(*count);
    float *buffers = make_floats(model_buffer_count(model));
    float *images = make_random(BATCH * SIDE * SIDE, 3, 1.0);
    const int32_t labels[BATCH] = {0, 3, 6, 9, 2, 5, 8, 1};
    model_init_parameters(model, 7, parameters, buffers);
    for (int i = 0; i < STEPS; i++) {
        model_result_t result;
        assert_int_equal(model_train(model, parameters, buffers, images, labels, BATCH, BATCH,
                                     gradient, &result),
                         SGP_OK);
        for (size_t j = 0; j < *count; j++) parameters[j] -= 0.05f * gradient[j];
    }
    model_destroy(model);
    free(gradient), free(buffers), free(images);
    return parameters;
}

static void the_same_number_gives_the_same_bits(void **state) {
    (void)state;
    needs_openmp();
    for (int threads = 1; threads <= 2; threads++) {
        size_t count;
        float *first = train(threads, MODEL_AUTO, &count);
        for (int outside = 1; outside <= 2; outside++) {
            omp_set(outside);
            float *again = train(threads, MODEL_AUTO, &count);
            assert_memory_equal(first, again, count * sizeof *first);
            assert_int_equal(omp_threads(), outside);
            free(again);
        }
        free(first);
    }
}

/* Other sums in another order, so no more than rounding apart. */
static void other_numbers_differ_by_rounding(void **state) {
    (void)state;
    needs_openmp();
    size_t count;
    float *one = train(1, MODEL_FLOAT32, &count), *two = train(2, MODEL_FLOAT32, &count);
    double *expected = to_doubles(one, count);
    assert_close("parameters", two, expected, count, 1e-3);
    free(one), free(two), free(expected);
}

static void zero_is_the_environment(void **state) {
    (void)state;
    needs_openmp();
    size_t count;
    for (int threads = 1; threads <= 2; threads++) {
        setenv("OMP_NUM_THREADS", threads == 1 ? "1" : "2", 1);
        float *wanted = train(threads, MODEL_FLOAT32, &count);
        float *found = train(0, MODEL_FLOAT32, &count);
        assert_memory_equal(wanted, found, count * sizeof *wanted);
        free(wanted), free(found);
    }
    unsetenv("OMP_NUM_THREADS");
    omp_set(2);
    float *wanted = train(1, MODEL_FLOAT32, &count), *found = train(0, MODEL_FLOAT32, &count);
    assert_memory_equal(wanted, found, count * sizeof *wanted);
    free(wanted), free(found);
}

static void bad_numbers_are_refused(void **state) {
    (void)state;
    static const int numbers[] = {-1, 1025};
    for (size_t i = 0; i < 2; i++) {
        model_t *model = NULL;
        model_options_t options = {.name = "mlp",
                                   .batch = 1,
                                   .height = 4,
                                   .width = 4,
                                   .channels = 1,
                                   .classes = 2,
                                   .threads = numbers[i]};
        assert_int_equal(model_create(&options, &model), SGP_ERR_INVALID);
        assert_null(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_number_gives_the_same_bits),
        cmocka_unit_test(other_numbers_differ_by_rounding),
        cmocka_unit_test(zero_is_the_environment),
        cmocka_unit_test(bad_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, find_openmp, NULL);
}
