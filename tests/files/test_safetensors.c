/* SPDX-License-Identifier: Apache-2.0 */
#include "files/safetensors_reader.h"

#include "files/safetensors.h"

static const float weights[2 * 3] = {1, -2, 3.5f, 0, 1e-20f, 7}, bias[2] = {8, 9}, scalar[1] = {4};

static const safetensors_tensor_t tensors[] = {
    {"layer.weight", 2, (const int64_t[]){2, 3}, weights, SAFETENSORS_F32},
    {"layer.bias", 1, (const int64_t[]){2}, bias, SAFETENSORS_F32},
    {"temperature \"t\"", 0, NULL, scalar, SAFETENSORS_F32},
};

static void write_it(char *directory, char *path) {
    make_directory(directory);
    snprintf(path, 96, "%s/m.safetensors", directory);
    safetensors_pair_t metadata[] = {{"format", "pt"}, {"model", "mlp"}};
    assert_int_equal(safetensors_write(directory, "m.safetensors", tensors, 3, metadata, 2),
                     SGP_OK);
}

static void tensors_come_back(void **state) {
    (void)state;
    char directory[64], path[96];
    size_t count;
    write_it(directory, path);
    safetensors_file_t file = safetensors_open(path);
    const float *found = safetensors_find(&file, "layer.weight", &count);
    assert_int_equal(count, 6);
    assert_memory_equal(found, weights, sizeof weights);
    found = safetensors_find(&file, "layer.bias", &count);
    assert_int_equal(count, 2);
    assert_memory_equal(found, bias, sizeof bias);
    found = safetensors_find(&file, "temperature \"t\"", &count);
    assert_int_equal(count, 1);
    assert_memory_equal(found, scalar, sizeof scalar);
    safetensors_close(&file);
    remove_directory(directory);
}

/* Readers of the format require aligned data without gaps up to the end, and string metadata. */
static void header_follows_the_format(void **state) {
    (void)state;
    char directory[64], path[96];
    write_it(directory, path);
    safetensors_file_t file = safetensors_open(path);
    assert_int_equal(file.header_bytes % 8, 0);
    assert_int_equal(file.data_bytes, sizeof weights + sizeof bias + sizeof scalar);
    assert_int_equal(json_object_size(file.header), 4);
    json_t *metadata = json_object_get(file.header, "__metadata__");
    assert_string_equal(json_string_value(json_object_get(metadata, "model")), "mlp");
    json_int_t previous = 0;
    for (int i = 0; i < 3; i++) {
        json_t *entry = json_object_get(file.header, tensors[i].name);
        json_t *offsets = json_object_get(entry, "data_offsets");
        assert_int_equal(json_array_size(json_object_get(entry, "shape")), tensors[i].dims);
        assert_int_equal(json_integer_value(json_array_get(offsets, 0)), previous);
        previous = json_integer_value(json_array_get(offsets, 1));
    }
    assert_int_equal(previous, file.data_bytes);
    safetensors_close(&file);
    remove_directory(directory);
}

static void failure_names_the_file(void **state) {
    (void)state;
    log_start();
    assert_int_equal(safetensors_write("/nowhere/at/all", "m.safetensors", tensors, 3, NULL, 0),
                     SGP_ERR_IO);
    assert_logged("/nowhere/at/all/m.safetensors", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_back),
        cmocka_unit_test(header_follows_the_format),
        cmocka_unit_test(failure_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
