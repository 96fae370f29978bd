/* SPDX-License-Identifier: Apache-2.0 */
/* Written tensors are read back; a damaged file is refused or means the same. */
#include "data/support.h"

#include "files/safetensors.h"
#include "files/tensor_file.h"

#include <fcntl.h>
#include <stdbool.h>

static const double wide[3] = {0.1, -2, 1e300};
static const uint64_t counters[2] = {7, UINT64_MAX};
static const float weights[2 * 3] = {1, -2, 3.5f, 0, 1e-20f, 7}, bias[3] = {8, 9, 10};

static const safetensors_tensor_t tensors[] = {
    {"run.wide", 1, (const int64_t[]){3}, wide, SAFETENSORS_F64},
    {"run.counters", 1, (const int64_t[]){2}, counters, SAFETENSORS_U64},
    {"layer.weight", 2, (const int64_t[]){2, 3}, weights, SAFETENSORS_F32},
    {"layer.bias", 1, (const int64_t[]){3}, bias, SAFETENSORS_F32},
    {"run.empty", 1, (const int64_t[]){0}, bias, SAFETENSORS_F32},
};

#define TENSORS (sizeof tensors / sizeof tensors[0])

typedef struct fixture {
    char directory[64];
    char path[96];
    uint8_t *good; /* (size) a good file */
    size_t size;
} fixture_t;

static int set_up(void **state) {
    fixture_t *fixture = calloc(1, sizeof *fixture);
    make_directory(fixture->directory);
    snprintf(fixture->path, sizeof fixture->path, "%s/it", fixture->directory);
    const safetensors_pair_t metadata[] = {{"format", "pt"}, {"sgp_version", "9"}};
    assert_int_equal(safetensors_write(fixture->directory, "it", tensors, TENSORS, metadata, 2),
                     SGP_OK);
    fixture->good = (uint8_t *)read_whole(fixture->path, &fixture->size);
    log_start();
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    fixture_t *fixture = *state;
    remove_directory(fixture->directory);
    free(fixture->good);
    free(fixture);
    return 0;
}

/* In place, since some file systems force a truncated and rewritten file to the disk. */
static void overwrite(const char *path, const void *bytes, size_t count) {
    int file = open(path, O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, bytes, count, 0), count);
    assert_int_equal(ftruncate(file, (off_t)count), 0);
    assert_int_equal(close(file), 0);
}

/* The tensor is there as it was written. */
static bool holds(const tensor_file_t *file, const safetensors_tensor_t *tensor) {
    char problem[TENSOR_FILE_PROBLEM];
    uint8_t bytes[64];
    const tensor_file_entry_t *entry = tensor_file_find(file, tensor->name);
    if (!entry || entry->dtype != tensor->dtype || entry->dims != tensor->dims ||
        memcmp(entry->shape, tensor->shape, (size_t)tensor->dims * sizeof *tensor->shape) != 0)
        return false;
    size_t count = (size_t)(entry->end - entry->begin);
    assert_true(count <= sizeof bytes);
    assert_int_equal(tensor_file_read(file, entry->begin, count, bytes, problem), SGP_OK);
    assert_memory_equal(bytes, tensor->data, count);
    return true;
}

/* SGP_OK: the file was accepted, and everything in it is right. */
static sgp_status_t take(const char *path, char problem[TENSOR_FILE_PROBLEM]) {
    tensor_file_t file;
    sgp_status_t status = tensor_file_open(path, &file, problem);
    if (status) return status;
    status = tensor_file_check(&file, problem);
    for (size_t i = 0; i < TENSORS && !status; i++)
        if (!holds(&file, &tensors[i])) {
            snprintf(problem, TENSOR_FILE_PROBLEM, "%s is another one", tensors[i].name);
            status = SGP_ERR_FORMAT;
        }
    tensor_file_close(&file);
    return status;
}

static void assert_refused(const fixture_t *fixture, const char *reason) {
    char problem[TENSOR_FILE_PROBLEM];
    assert_int_equal(take(fixture->path, problem), SGP_ERR_FORMAT);
    if (!strstr(problem, reason) || !strstr(problem, fixture->path))
        fail_msg("no \"%s\" in: %s", reason, problem);
}

static void tensors_come_back(void **state) {
    const fixture_t *fixture = *state;
    char problem[TENSOR_FILE_PROBLEM];
    tensor_file_t file;
    assert_int_equal(take(fixture->path, problem), SGP_OK);
    assert_int_equal(tensor_file_open(fixture->path, &file, problem), SGP_OK);
    assert_int_equal(file.count, TENSORS);
    assert_string_equal(tensor_file_text(&file, "format"), "pt");
    assert_int_equal(tensor_file_cover(&file), TENSOR_FILE_WHOLE);
    tensor_file_note(&file);
    assert_int_equal(captured.lines, 0);
    assert_null(tensor_file_text(&file, "nothing"));
    assert_null(tensor_file_find(&file, "nothing"));
    assert_int_equal(tensor_file_entry_count(tensor_file_find(&file, "layer.weight")), 6);
    tensor_file_close(&file);
}

static void other_than_a_file_is_named(void **state) {
    const fixture_t *fixture = *state;
    char problem[TENSOR_FILE_PROBLEM];
    tensor_file_t file;
    assert_int_equal(tensor_file_open("/nowhere/at/all", &file, problem), SGP_ERR_NOT_FOUND);
    assert_non_null(strstr(problem, "/nowhere/at/all: cannot be opened: No such file"));
    assert_int_equal(tensor_file_open(fixture->directory, &file, problem), SGP_ERR_FORMAT);
    assert_non_null(strstr(problem, "is a directory"));
    assert_int_equal(tensor_file_open("/dev/zero", &file, problem), SGP_ERR_FORMAT);
    assert_non_null(strstr(problem, "is not a regular file"));
}

/* Cut anywhere, or with a byte appended. */
static void another_length_is_refused(void **state) {
    const fixture_t *fixture = *state;
    char problem[TENSOR_FILE_PROBLEM];
    uint8_t *longer = calloc(1, fixture->size + 1);
    memcpy(longer, fixture->good, fixture->size);
    for (size_t size = 0; size <= fixture->size + 1; size++) {
        overwrite(fixture->path, longer, size);
        assert_int_equal(take(fixture->path, problem) == SGP_OK, size == fixture->size);
    }
    free(longer);
}

/* Every byte of length, header and data, with each of its bits flipped and with some values that
 * have a meaning in the format. */
static void a_changed_byte_is_refused(void **state) {
    const fixture_t *fixture = *state;
    static const uint8_t values[] = {0, ' ', '"', '0', '9', '{', '}', ',', 0xff};
    char problem[TENSOR_FILE_PROBLEM];
    uint8_t *bad = malloc(fixture->size);
    for (size_t i = 0; i < fixture->size; i++)
        for (size_t way = 0; way < 8 + sizeof values; way++) {
            memcpy(bad, fixture->good, fixture->size);
            bad[i] = way < 8 ? bad[i] ^ (uint8_t)(1u << way) : values[way - 8];
            overwrite(fixture->path, bad, fixture->size);
            bool same = bad[i] == fixture->good[i];
            if ((take(fixture->path, problem) == SGP_OK) != same)
                fail_msg("byte %zu: 0x%02x instead of 0x%02x is %s", i, bad[i], fixture->good[i],
                         same ? problem : "accepted");
        }
    free(bad);
}

/* Up to seven bytes at once, at pseudo-random places. */
static void noise_is_refused(void **state) {
    const fixture_t *fixture = *state;
    char problem[TENSOR_FILE_PROBLEM];
    uint8_t *bad = malloc(fixture->size);
    uint32_t noise = 4711;
    for (int round = 0; round < 3000; round++) {
        memcpy(bad, fixture->good, fixture->size);
        for (int change = 0; change < 1 + round % 7; change++) {
            noise = noise * 1664525u + 1013904223u;
            bad[(noise >> 8) % fixture->size] = (uint8_t)(noise >> 24);
        }
        size_t size = fixture->size - (noise >> 16) % 2 * (noise % 40);
        overwrite(fixture->path, bad, size);
        bool same = size == fixture->size && memcmp(bad, fixture->good, size) == 0;
        assert_int_equal(take(fixture->path, problem) == SGP_OK, same);
    }
    free(bad);
}

/* A file with this header and `data` zero bytes of data. */
static void write_header(const fixture_t *fixture, const char *header, size_t data) {
    uint64_t length = strlen(header);
    uint8_t *bytes = calloc(1, 8 + length + data);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    write_file(fixture->path, bytes, 8 + length + data);
    free(bytes);
}

/* A checkpoint of an earlier version has a hash of its data, a model has none. */
static void an_earlier_version_is_accepted_with_a_warning(void **state) {
    const fixture_t *fixture = *state;
    static const char tensor[] = "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
    char hash[CONTENT_HASH_TEXT], header[512], problem[TENSOR_FILE_PROBLEM];
    tensor_file_t file;
    content_hash_of((const uint8_t[8]){0}, 8, hash);
    for (int hashed = 0; hashed < 2; hashed++) {
        snprintf(header, sizeof header, "{\"__metadata__\":{\"sgp_version\":\"0.1\"%s%s%s},%s}",
                 hashed ? ",\"hash\":\"" : "", hashed ? hash : "", hashed ? "\"" : "", tensor);
        write_header(fixture, header, 8);
        assert_int_equal(tensor_file_open(fixture->path, &file, problem), SGP_OK);
        assert_int_equal(tensor_file_check(&file, problem), SGP_OK);
        assert_int_equal(tensor_file_cover(&file), hashed ? TENSOR_FILE_DATA : TENSOR_FILE_NOTHING);
        log_start();
        tensor_file_note(&file);
        assert_logged(fixture->path, "is of an earlier version, sgp 0.1: ", NULL);
        tensor_file_close(&file);
    }
    hash[0] = hash[0] == '0' ? '1' : '0';
    snprintf(header, sizeof header, "{\"__metadata__\":{\"hash\":\"%s\"},%s}", hash, tensor);
    write_header(fixture, header, 8);
    assert_refused(fixture, "does not match its hash");
}

/* Headers that are JSON but wrong. */
static void a_wrong_header_is_refused(void **state) {
    const fixture_t *fixture = *state;
    static const struct {
        const char *header;
        size_t data;
        const char *reason;
    } cases[] = {
        {"[1]", 0, "not JSON"},
        {"{\"a\":1}", 0, "tensor a is wrong"},
        {"{\"a\":{}}", 0, "tensor a is wrong"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "not all strings"},
        {"{\"__metadata__\":7}", 0, "not all strings"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
         "place of tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "for tensors of 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
         "tensor a"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
         "tensor a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "place of tensor b"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "duplicate"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999]}}", 4,
         "damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_header(fixture, cases[i].header, cases[i].data);
        assert_refused(fixture, cases[i].reason);
    }
}

static void a_huge_header_is_refused(void **state) {
    const fixture_t *fixture = *state;
    static const uint64_t lengths[] = {TENSOR_FILE_HEADER + 1, UINT64_MAX, UINT64_MAX - 7,
                                       (uint64_t)1 << 63,      1,          0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(fixture->good, &lengths[i], 8);
        write_file(fixture->path, fixture->good, fixture->size);
        assert_refused(fixture, "header of");
    }
}

/* JSON in JSON in JSON: a parser that recurses must stop. */
static void a_deep_header_is_refused(void **state) {
    const fixture_t *fixture = *state;
    enum { DEPTH = 100000 };
    char *header = malloc(DEPTH + 8);
    strcpy(header, "{\"a\":");
    memset(header + 5, '[', DEPTH);
    header[5 + DEPTH] = '\0';
    write_header(fixture, header, 0);
    assert_refused(fixture, "damaged");
    free(header);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tensors_come_back),         TEST(other_than_a_file_is_named),
        TEST(another_length_is_refused), TEST(a_changed_byte_is_refused),
        TEST(noise_is_refused),          TEST(an_earlier_version_is_accepted_with_a_warning),
        TEST(a_wrong_header_is_refused), TEST(a_huge_header_is_refused),
        TEST(a_deep_header_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
