/* SPDX-License-Identifier: Apache-2.0 */
/* A model's tensors in a file: written, compared with a model, and read back. test_init.py has files
 * that do not fit. */
#include "data/support.h"

#include "files/model_file.h"

enum { LONG = 256 };

typedef struct made {
    char directory[64], path[LONG];
    model_t *model;
    size_t length; /* P + S */
    float *vector; /* (length) */
} made_t;

static model_t *build(const char *name, int classes) {
    model_t *model = NULL;
    assert_int_equal(model_create(&(model_options_t){.name = name,
                                                     .batch = 1,
                                                     .height = 8,
                                                     .width = 8,
                                                     .channels = 3,
                                                     .classes = classes},
                                  &model),
                     SGP_OK);
    return model;
}

static int set_up(void **state) {
    made_t *made = calloc(1, sizeof *made);
    make_directory(made->directory);
    snprintf(made->path, sizeof made->path, "%s/model.safetensors", made->directory);
    made->model = build("resnet20", 10);
    made->length = model_parameter_count(made->model) + model_buffer_count(made->model);
    made->vector = calloc(made->length, sizeof *made->vector);
    for (size_t i = 0; i < made->length; i++) made->vector[i] = (float)i / 3.0f;
    *state = made;
    return 0;
}

static int tear_down(void **state) {
    made_t *made = *state;
    remove_directory(made->directory);
    model_destroy(made->model);
    free(made->vector);
    free(made);
    return 0;
}

/* Writes the model's tensors and one of another name and shape. */
static void write_with(const made_t *made, const char *name, int dims) {
    size_t count = model_tensor_count(made->model);
    const int64_t shape[] = {1, 1};
    const float value = 7.0f;
    safetensors_tensor_t *tensors = calloc(count + 1, sizeof *tensors);
    model_file_tensors(made->model, made->vector, tensors);
    tensors[count] =
        (safetensors_tensor_t){.name = name, .dims = dims, .shape = shape, .data = &value};
    assert_int_equal(
        safetensors_write(made->directory, "model.safetensors", tensors, count + 1, NULL, 0),
        SGP_OK);
    free(tensors);
}

static sgp_status_t fits(const made_t *made, const model_t *model,
                         char problem[TENSOR_FILE_PROBLEM]) {
    tensor_file_t file;
    problem[0] = '\0';
    assert_int_equal(tensor_file_open(made->path, &file, problem), SGP_OK);
    sgp_status_t status = model_file_fits(&file, model, problem);
    tensor_file_close(&file);
    return status;
}

static void what_is_written_fits_and_comes_back(void **state) {
    const made_t *made = *state;
    char problem[TENSOR_FILE_PROBLEM];
    tensor_file_t file;
    float *found = calloc(made->length, sizeof *found);
    assert_int_equal(
        model_file_write(made->directory, "model.safetensors", made->model, made->vector, NULL, 0),
        SGP_OK);
    assert_int_equal(fits(made, made->model, problem), SGP_OK);
    assert_int_equal(tensor_file_open(made->path, &file, problem), SGP_OK);
    assert_int_equal(model_file_read(&file, made->model, found, problem), SGP_OK);
    assert_memory_equal(found, made->vector, made->length * sizeof *found);
    tensor_file_close(&file);
    free(found);
}

static void batch_counters_are_ignored(void **state) {
    const made_t *made = *state;
    char problem[TENSOR_FILE_PROBLEM];
    write_with(made, "layer1.0.bn1.num_batches_tracked", 0);
    assert_int_equal(fits(made, made->model, problem), SGP_OK);
}

static void other_tensors_are_named(void **state) {
    static const char *const others[] = {"layer1.0.bn1.num_batches", ".num_batches_tracked",
                                         "layer1.3.conv1.weight", "optimizer.momentum"};
    const made_t *made = *state;
    char problem[TENSOR_FILE_PROBLEM];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        write_with(made, others[i], 2);
        assert_int_equal(fits(made, made->model, problem), SGP_ERR_MISMATCH);
        assert_non_null(strstr(problem, others[i]));
        assert_non_null(strstr(problem, made->path));
    }
}

/* The first in the model's order: fc.weight of 64 inputs for another number of classes. */
static void another_model_is_named_by_its_first_difference(void **state) {
    const made_t *made = *state;
    char problem[TENSOR_FILE_PROBLEM];
    assert_int_equal(
        model_file_write(made->directory, "model.safetensors", made->model, made->vector, NULL, 0),
        SGP_OK);
    model_t *classes = build("resnet20", 12), *deeper = build("resnet32", 10);
    assert_int_equal(fits(made, classes, problem), SGP_ERR_MISMATCH);
    assert_non_null(strstr(problem, "tensor fc.weight is F32 (10, 64), must be F32 (12, 64)"));
    assert_int_equal(fits(made, deeper, problem), SGP_ERR_MISMATCH);
    assert_non_null(strstr(problem, "has no tensor layer1.3.conv1.weight"));
    model_destroy(classes);
    model_destroy(deeper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_fits_and_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(batch_counters_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_tensors_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_model_is_named_by_its_first_difference, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
