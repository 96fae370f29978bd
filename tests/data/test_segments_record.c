/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as bytes: written and read again they are the same; what is cut, wrong or of others is refused. */
#include "data/support.h"

#include "base/bytes.h"
#include "base/random.h"
#include "data/segments_record.h"

enum { ROOM = 8192, HEADER = 64, MEMBER = 40 };

/* Members that joined, left and passed over steps, positions given and used. */
static segments_t make(void) {
    segments_t segments;
    position_set_t used = {0};
    segments_options_t options = {.count = 5003, .workers = 2, .batch = 3, .nodes = 4};
    segments_event_t events[] = {
        {SEGMENTS_LEAVES, .member = segments_number(1, 0), .first = 5, .end = 16},
        {SEGMENTS_LEAVES, .member = segments_number(3, 0), .first = 30, .end = 48},
        {SEGMENTS_JOINS, .member = segments_number(1, 1), .first = 32, .candidate = 77},
        {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 25, .end = 29},
        {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 34, .end = 35},
        {SEGMENTS_LEAVES, .member = segments_number(9, 9), .first = 1, .end = 64}};
    assert_int_equal(segments_init(&segments, &options), SGP_OK);
    assert_int_equal(segments_apply(&segments, events, 6), SGP_OK);
    assert_int_equal(segments_fold(&segments, 20), SGP_OK);
    assert_int_equal(position_set_append(&used, 600, 603), SGP_OK);
    assert_int_equal(position_set_append(&used, 610, 613), SGP_OK);
    position_set_arrange(&used);
    assert_int_equal(segments_use(&segments, &used), SGP_OK);
    position_set_fini(&used);
    return segments;
}

static size_t encode(const segments_t *segments, segments_form_t form, unsigned char *bytes) {
    size_t size = 0;
    assert_int_equal(segments_encode(segments, form, segments_number(2, 0), bytes, ROOM, &size),
                     SGP_OK);
    assert_int_equal(size, segments_record_bytes(segments, form));
    return size;
}

static void assert_same(const segments_t *a, const segments_t *b) {
    position_set_t of_a = {0}, of_b = {0};
    assert_int_equal(segments_end(a), segments_end(b));
    assert_int_equal(segments_returned(a, SEGMENTS_NEVER, &of_a), SGP_OK);
    assert_int_equal(segments_returned(b, SEGMENTS_NEVER, &of_b), SGP_OK);
    assert_int_equal(position_set_total(&of_a), position_set_total(&of_b));
    for (uint64_t i = 0; i < position_set_total(&of_a); i++)
        assert_int_equal(position_set_at(&of_a, i), position_set_at(&of_b, i));
    position_set_fini(&of_a);
    position_set_fini(&of_b);
}

static void a_whole_record_survives(void **state) {
    (void)state;
    unsigned char bytes[ROOM], again[ROOM];
    segments_t segments = make(), read;
    segments_record_t record;
    size_t size = encode(&segments, SEGMENTS_WHOLE, bytes);
    assert_int_equal(segments_record_read(bytes, size, &record), SGP_OK);
    assert_true(record.members > 2 && record.plain == 2 && record.given > 0 && record.used == 2);
    assert_int_equal(record.absences, 2);
    assert_int_equal(segments_init_from(&read, &record), SGP_OK);
    assert_same(&segments, &read);
    assert_int_equal(encode(&read, SEGMENTS_WHOLE, again), size);
    assert_memory_equal(again, bytes, size);
    segments_fini(&segments);
    segments_fini(&read);
}

/* One that knows nothing learns everything, and knows it then as well. */
static void a_report_tells_all(void **state) {
    (void)state;
    unsigned char bytes[ROOM], again[ROOM];
    segments_t teller = make(), hearer = make();
    segments_record_t record;
    hearer.member_count = hearer.absence_count = hearer.used.count = 0;
    segments_arrange(&hearer);
    size_t size = encode(&teller, SEGMENTS_REPORT, bytes);
    assert_int_equal(segments_record_read(bytes, size, &record), SGP_OK);
    assert_int_equal(record.self, segments_number(2, 0));
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(segments_merge(&hearer, &record), SGP_OK);
        assert_same(&teller, &hearer);
        assert_int_equal(encode(&hearer, SEGMENTS_REPORT, again), size);
        assert_memory_equal(again, bytes, size);
    }
    log_start();
    assert_int_equal(segments_init_from(&hearer, &record), SGP_ERR_FORMAT);
    segments_fini(&teller);
    segments_fini(&hearer);
}

static void every_cut_is_refused(void **state) {
    (void)state;
    unsigned char bytes[ROOM] = {0};
    segments_t segments = make();
    for (int form = SEGMENTS_WHOLE; form <= SEGMENTS_REPORT; form++) {
        size_t size = encode(&segments, (segments_form_t)form, bytes);
        for (size_t cut = 0; cut <= size + 8; cut++) {
            unsigned char *exact =
                malloc(cut + 1); /* so that a sanitizer sees what is read beyond */
            segments_record_t record = {0};
            assert_non_null(exact);
            memcpy(exact, bytes, cut);
            assert_int_equal(segments_record_read(exact, cut, &record),
                             cut == size ? SGP_OK : SGP_ERR_FORMAT);
            free(exact);
        }
    }
    segments_fini(&segments);
}

/* Any bytes in place of any others: refused, or segments like others. */
static void no_byte_does_harm(void **state) {
    (void)state;
    unsigned char bytes[ROOM], again[ROOM];
    segments_t segments = make(), read;
    size_t size = encode(&segments, SEGMENTS_WHOLE, bytes);
    sgp_random_t random;
    int accepted = 0;
    sgp_random_init(&random, 1, 1);
    for (int i = 0; i < 20000; i++) {
        segments_record_t record;
        memcpy(again, bytes, size);
        for (uint64_t k = sgp_random_below(&random, 3); k < 3; k++)
            again[sgp_random_below(&random, size)] = (unsigned char)sgp_random_below(&random, 256);
        if (segments_record_read(again, size, &record) != SGP_OK) continue;
        if (segments_init_from(&read, &record) != SGP_OK) continue;
        accepted++;
        assert_true(segments_reached(&read, segments_end(&read)) == read.start.count);
        assert_true(segments_part(&read, read.start.step, 0, 0).count <= read.start.batch);
        segments_fini(&read);
    }
    assert_in_range(accepted, 100, 19000);
    segments_fini(&segments);
}

static void assert_refused(const unsigned char *bytes, size_t size, size_t at, uint64_t value,
                           size_t width) {
    unsigned char wrong[ROOM];
    segments_record_t record;
    memcpy(wrong, bytes, size);
    sgp_bytes_put(wrong + at, value, width);
    log_start();
    assert_int_equal(segments_record_read(wrong, size, &record), SGP_ERR_FORMAT);
    assert_logged("segments of an epoch", NULL);
}

static void wrong_fields_are_refused(void **state) {
    (void)state;
    unsigned char bytes[ROOM];
    segments_t segments = make();
    size_t size = encode(&segments, SEGMENTS_WHOLE, bytes);
    assert_refused(bytes, size, 0, 0, 4);           /* no such file */
    assert_refused(bytes, size, 4, 2, 1);           /* version */
    assert_refused(bytes, size, 5, 2, 1);           /* form */
    assert_refused(bytes, size, 6, 0, 2);           /* workers */
    assert_refused(bytes, size, 6, 65535, 2);       /* workers */
    assert_refused(bytes, size, 8, 0, 4);           /* batch */
    assert_refused(bytes, size, 8, 0x80000000, 4);  /* batch */
    assert_refused(bytes, size, 12, 0xffffffff, 4); /* members */
    assert_refused(bytes, size, 16, UINT64_MAX, 8); /* positions */
    assert_refused(bytes, size, 16, 599, 8); /* less than where it begins and has been used */
    assert_refused(bytes, size, 24, UINT64_MAX - 1, 8);         /* step */
    assert_refused(bytes, size, 56, 0xffffffff, 4);             /* absences */
    assert_refused(bytes, size, HEADER, UINT64_MAX, 8);         /* a member behind those after it */
    assert_refused(bytes, size, HEADER + 8, UINT64_MAX - 1, 8); /* joins */
    assert_refused(bytes, size, size - 16, 36, 8);              /* passes backwards */
    segments_fini(&segments);
}

static void another_beginning_is_refused(void **state) {
    (void)state;
    unsigned char bytes[ROOM];
    segments_t teller = make(), hearer = make();
    segments_record_t record;
    teller.start.batch = 4;
    segments_arrange(&teller);
    size_t size = encode(&teller, SEGMENTS_REPORT, bytes);
    assert_int_equal(segments_record_read(bytes, size, &record), SGP_OK);
    log_start();
    assert_int_equal(segments_merge(&hearer, &record), SGP_ERR_MISMATCH);
    assert_logged("with 2 workers and batch 4; here", "with 2 and 3", NULL);
    segments_fini(&teller);
    segments_fini(&hearer);
}

/* A report of any number of absences fits somehow. */
static void a_report_that_is_too_long_says_so(void **state) {
    (void)state;
    unsigned char bytes[ROOM];
    segments_t segments = make();
    segments_record_t record;
    size_t full = segments_record_bytes(&segments, SEGMENTS_REPORT), size = 0;
    log_start();
    assert_int_equal(segments_encode(&segments, SEGMENTS_REPORT, 0, bytes, full - 1, &size),
                     SGP_OK);
    assert_int_equal(size, full - 24);
    assert_logged("1 of 2 stretches", NULL);
    assert_int_equal(segments_record_read(bytes, size, &record), SGP_OK);
    log_start();
    assert_int_equal(segments_encode(&segments, SEGMENTS_REPORT, 0, bytes, full - 49, &size),
                     SGP_ERR_INVALID);
    assert_logged("there are", NULL);
    segments_fini(&segments);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_record_survives),
        cmocka_unit_test(a_report_tells_all),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(no_byte_does_harm),
        cmocka_unit_test(wrong_fields_are_refused),
        cmocka_unit_test(another_beginning_is_refused),
        cmocka_unit_test(a_report_that_is_too_long_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
