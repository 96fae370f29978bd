/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "base/bytes.h"
#include "wire/header.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

static const sgp_header_t sample = {
    .kind = SGP_KIND_PUSH,
    .encoding = SGP_ENCODING_FLOAT32,
    .src = 5,
    .incarnation = 0x89abcdef,
    .run = 0x0123456789abcdefu,
    .channel = 3,
    .step = 1000000007,
    .id = 42,
    .weight = 0.3,
    .count = 25000000,
    .offset = 65536,
    .elements = 4096,
    .payload_hash = 0xfedcba9876543210u,
    .view = 0x1020304050607080u,
};

enum { FIRST_UNUSED = 88, CHECKSUM = 120 };

static void test_round_trip(void **state) {
    (void)state;
    unsigned char bytes[SGP_HEADER_BYTES];
    const char *reason = NULL;
    sgp_header_t read;
    sgp_header_encode(&sample, bytes);
    assert_int_equal(sgp_header_decode(bytes, &read, &reason), SGP_OK);
    assert_int_equal(read.kind, sample.kind);
    assert_int_equal(read.encoding, sample.encoding);
    assert_int_equal(read.src, sample.src);
    assert_true(read.incarnation == sample.incarnation && read.view == sample.view);
    assert_true(read.run == sample.run && read.payload_hash == sample.payload_hash);
    assert_int_equal(read.channel, sample.channel);
    assert_int_equal(read.step, sample.step);
    assert_int_equal(read.id, sample.id);
    assert_true(read.weight == sample.weight);
    assert_int_equal(read.count, sample.count);
    assert_int_equal(read.offset, sample.offset);
    assert_int_equal(read.elements, sample.elements);
}

/* The layout is a promise to other versions: magic "1SGP", version 2, little-endian. */
static void test_layout(void **state) {
    (void)state;
    unsigned char bytes[SGP_HEADER_BYTES];
    sgp_header_encode(&sample, bytes);
    const unsigned char start[] = {'1', 'S', 'G', 'P', 2,    0,    SGP_KIND_PUSH, 1,
                                   5,   0,   0,   0,   0xef, 0xcd, 0xab,          0x89};
    assert_memory_equal(bytes, start, sizeof start);
    const unsigned char run[] = {0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01};
    assert_memory_equal(bytes + 16, run, sizeof run);
    const unsigned char view[] = {0x80, 0x70, 0x60, 0x50, 0x40, 0x30, 0x20, 0x10};
    assert_memory_equal(bytes + 80, view, sizeof view);
    for (int at = FIRST_UNUSED; at < CHECKSUM; at++) assert_int_equal(bytes[at], 0);
}

/* Any bit that is flipped is noticed, and *header is left alone. */
static void test_every_bit_matters(void **state) {
    (void)state;
    unsigned char bytes[SGP_HEADER_BYTES];
    sgp_header_encode(&sample, bytes);
    for (int bit = 0; bit < 8 * SGP_HEADER_BYTES; bit++) {
        sgp_header_t read = {.id = 7};
        const char *reason = NULL;
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_not_equal(sgp_header_decode(bytes, &read, &reason), SGP_OK);
        assert_non_null(reason);
        assert_int_equal(read.id, 7);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

/* The fields whose first use is still to come. The header is valid but for them. */
static void test_unused_fields_are_zero(void **state) {
    (void)state;
    const char *reasons[CHECKSUM] = {NULL};
    for (int at = FIRST_UNUSED; at < CHECKSUM; at++) {
        unsigned char bytes[SGP_HEADER_BYTES];
        sgp_header_t read = {.id = 7};
        sgp_header_encode(&sample, bytes);
        bytes[at] = 0x40;
        uint64_t sum = XXH3_64bits(bytes, CHECKSUM);
        sgp_bytes_put(bytes + CHECKSUM, sum, 8);
        assert_int_equal(sgp_header_decode(bytes, &read, &reasons[at]), SGP_ERR_FORMAT);
        assert_int_equal(read.id, 7);
    }
    assert_non_null(strstr(reasons[FIRST_UNUSED], "codec"));
    assert_non_null(strstr(reasons[96], "round"));
    assert_non_null(strstr(reasons[100], "reserved"));
    assert_non_null(strstr(reasons[CHECKSUM - 1], "tag"));
}

static sgp_status_t judge(sgp_header_t header) {
    unsigned char bytes[SGP_HEADER_BYTES];
    const char *reason = NULL;
    sgp_header_encode(&header, bytes);
    return sgp_header_decode(bytes, &header, &reason);
}

static void test_refusals(void **state) {
    (void)state;
    double bad_weights[] = {0, -0.5, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof bad_weights / sizeof *bad_weights; i++) {
        sgp_header_t header = sample;
        header.weight = bad_weights[i];
        assert_int_equal(judge(header), SGP_ERR_REFUSED);
    }
    sgp_header_t header = sample;
    header.kind = (sgp_kind_t)99;
    assert_int_equal(judge(header), SGP_ERR_FORMAT);
    header = sample;
    header.encoding = (sgp_encoding_t)99;
    assert_int_equal(judge(header), SGP_ERR_FORMAT);
    header = sample;
    header.offset = header.count + 1;
    assert_int_equal(judge(header), SGP_ERR_FORMAT);
    header = sample;
    header.offset = header.count - 1;
    assert_int_equal(judge(header), SGP_ERR_FORMAT);
    header.elements = 1;
    assert_int_equal(judge(header), SGP_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_bit_matters), cmocka_unit_test(test_unused_fields_are_zero),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
