/* SPDX-License-Identifier: Apache-2.0 */
/* Rows about members as bytes: what is written is read again, and bytes that are no row change nothing. */
#include "cmocka_all.h"

#include "base/bytes.h"
#include "group/status_row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 8 };

static sgp_status_row_t full_row(void) {
    sgp_status_row_t row;
    sgp_status_row_init(&row, 3, 4);
    row.version = 0xfffffffe;
    row.age_ms = 70000;
    row.step = UINT64_C(0x123456789abc);
    row.waits_for = 7;
    row.epoch = 90;
    row.memory = UINT64_C(5) << 30;
    row.wants = true;
    row.hops = 200;
    row.samples_per_second = 1.5e6f;
    row.step_ms = 12.5f;
    row.compute_ms = 8;
    row.update_ms = 0.5f;
    row.wait_ms = 4;
    row.weight = 0.3;
    row.loss = -2.25f;
    row.accuracy = 1;
    row.bytes_sent = UINT64_MAX;
    row.bytes_received = UINT64_C(1) << 50;
    row.sent = SGP_STATUS_COUNT_MOST;
    row.received = 2;
    row.lost = 3;
    row.late = 4;
    row.refused = 5;
    row.resent = 6;
    row.edge[0] = (sgp_status_row_edge_t){0, 2.5e8f, 10};
    row.edge[1] = (sgp_status_row_edge_t){7, 0, UINT32_MAX};
    memcpy(row.host, "a-host-of-25-bytes-xxxxxx", SGP_STATUS_ROW_HOST);
    return row;
}

static void assert_same(const sgp_status_row_t *a, const sgp_status_row_t *b) {
    unsigned char of_a[SGP_STATUS_ROW_BYTES], of_b[SGP_STATUS_ROW_BYTES];
    sgp_status_row_encode(a, of_a);
    sgp_status_row_encode(b, of_b);
    assert_memory_equal(of_a, of_b, sizeof of_a);
    assert_int_equal(a->seat, b->seat);
    assert_int_equal(a->incarnation, b->incarnation);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->age_ms, b->age_ms);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->waits_for, b->waits_for);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->memory, b->memory);
    assert_int_equal(a->wants, b->wants);
    assert_int_equal(a->hops, b->hops);
    assert_true(a->weight == b->weight || (isnan(a->weight) && isnan(b->weight)));
    assert_true(a->wait_ms == b->wait_ms || (isnan(a->wait_ms) && isnan(b->wait_ms)));
    assert_true(a->bytes_sent == b->bytes_sent && a->bytes_received == b->bytes_received);
    assert_true(a->sent == b->sent && a->received == b->received && a->lost == b->lost);
    assert_true(a->late == b->late && a->refused == b->refused && a->resent == b->resent);
    assert_string_equal(a->host, b->host);
    for (int e = 0; e < SGP_STATUS_ROW_EDGES; e++) {
        assert_int_equal(a->edge[e].src, b->edge[e].src);
        assert_int_equal(a->edge[e].age_ms, b->edge[e].age_ms);
        assert_true(a->edge[e].bytes_per_second == b->edge[e].bytes_per_second);
    }
}

static void test_round_trip(void **state) {
    (void)state;
    sgp_status_message_t message = {.rows = 2, .towards = true, .taken = 0xdeadbeef}, read;
    unsigned char bytes[SGP_STATUS_MESSAGE_BYTES];
    const char *reason = NULL;
    message.row[0] = full_row();
    sgp_status_row_init(&message.row[1], 0, 0);
    message.row[1].version = 1;
    size_t size = sgp_status_message_encode(&message, bytes);
    assert_int_equal(size, SGP_STATUS_HEAD_BYTES + 2 * 200);
    assert_int_equal(sgp_status_message_decode(bytes, size, CAPACITY, &read, &reason), SGP_OK);
    assert_int_equal(read.rows, 2);
    assert_true(read.towards);
    assert_int_equal(read.taken, 0xdeadbeef);
    for (int i = 0; i < 2; i++) assert_same(&message.row[i], &read.row[i]);
    assert_true(isnan(read.row[1].loss) && isnan(read.row[1].samples_per_second));
}

/* The places of the header's table. */
static void test_layout(void **state) {
    (void)state;
    unsigned char bytes[SGP_STATUS_ROW_BYTES];
    sgp_status_row_t row = full_row();
    sgp_status_row_encode(&row, bytes);
    assert_int_equal(sgp_bytes_get(bytes, 4), 3);
    assert_int_equal(sgp_bytes_get(bytes + 16, 6), UINT64_C(0x123456789abc));
    assert_int_equal(sgp_bytes_get(bytes + 22, 2), 7);
    assert_int_equal(sgp_bytes_get(bytes + 28, 6), 5 << 20);
    assert_int_equal(sgp_bytes_get(bytes + 40, 4), 0x41480000); /* 12.5 */
    assert_int_equal(sgp_bytes_get(bytes + 100, 6), 3);
    assert_int_equal(sgp_bytes_get(bytes + 118, 6), 6);
    assert_int_equal(sgp_bytes_get(bytes + 134, 2), 7);
    assert_memory_equal(bytes + 174, "a-host-of-25-bytes-xxxxxx", 26);
}

/* Numbers that a row cannot have. */
static void test_bounds(void **state) {
    (void)state;
    unsigned char bytes[SGP_STATUS_ROW_BYTES];
    sgp_status_row_t row = full_row(), read;
    const char *reason;
    row.sent = UINT64_MAX;
    row.loss = INFINITY;
    row.step_ms = INFINITY;
    sgp_status_row_encode(&row, bytes);
    assert_int_equal(sgp_status_row_decode(bytes, CAPACITY, &read, &reason), SGP_OK);
    assert_true(read.sent == SGP_STATUS_COUNT_MOST && isnan(read.loss) && isnan(read.step_ms));
}

static void assert_refused(unsigned char *bytes, size_t size, const char *word) {
    sgp_status_message_t read;
    const char *reason = NULL;
    unsigned char *copy = malloc(size ? size : 1); /* of its size, for sanitizers */
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    memset(&read, 0x5a, sizeof read);
    assert_int_equal(sgp_status_message_decode(copy, size, CAPACITY, &read, &reason),
                     SGP_ERR_FORMAT);
    free(copy);
    assert_int_equal(read.rows, 0x5a5a5a5a);
    assert_non_null(reason);
    if (!strstr(reason, word)) fail_msg("\"%s\" instead of a reason with \"%s\"", reason, word);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        unsigned byte;
        const char *word;
    } odd[] = {
        {0, 2, "version of rows"}, {2, 9, "more rows"},        {2, 0, "another length"},
        {3, 2, "flags"},           {8 + 0, 8, "no member"},    {8 + 3, 0x80, "no member"},
        {8 + 22, 8, "waits"},      {8 + 34, 2, "flags"},       {8 + 43, 0xc1, "time"},
        {8 + 63, 0xff, "weight"},  {8 + 71, 0x40, "accuracy"}, {8 + 124, 9, "edge"},
        {8 + 124, 3, "edge"},                            /* from the member itself */
        {8 + 129, 0xff, "rate"},   {8 + 144, 1, "edge"}, /* the third is none, and has numbers */
        {8 + 199, 'x', "host"},
    };
    sgp_status_message_t message = {.rows = 1};
    unsigned char good[SGP_STATUS_MESSAGE_BYTES], bytes[SGP_STATUS_MESSAGE_BYTES];
    message.row[0] = full_row();
    size_t size = sgp_status_message_encode(&message, good);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        memcpy(bytes, good, sizeof bytes);
        bytes[odd[i].at] = (unsigned char)odd[i].byte;
        if (odd[i].at == 8 + 144)
            sgp_bytes_put(bytes + 8 + 124 + 20, 0xffff, 2), bytes[8 + 147] = 1;
        assert_refused(bytes, size, odd[i].word);
    }
    for (size_t short_of = 1; short_of <= size; short_of++)
        assert_refused(good, size - short_of, short_of == size ? "cut off" : "");
    memset(good + 8 + 8, 0, 4);
    assert_refused(good, size, "version 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
