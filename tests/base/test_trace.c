/* SPDX-License-Identifier: Apache-2.0 */
/* Spans come back as they were recorded, merged where they touch, and no more than there is room for;
 * two contexts record at a time while a third one reads. */
#include "cmocka_all.h"

#include "base/trace.h"

#include <pthread.h>
#include <string.h>

#define MS 1000000u

static sgp_trace_t *make(size_t spans) {
    sgp_trace_t *trace;
    assert_int_equal(sgp_trace_create(spans, &trace), SGP_OK);
    return trace;
}

static void add(sgp_trace_t *trace, sgp_trace_kind_t kind, uint64_t start, uint64_t end) {
    sgp_trace_span(trace, SGP_TRACE_COMPUTING, kind, start, end);
}

static void assert_span(const sgp_trace_span_t *span, sgp_trace_kind_t kind, uint64_t start,
                        uint64_t end, unsigned step) {
    assert_int_equal(span->kind, kind);
    assert_int_equal(span->start, start);
    assert_int_equal(span->end, end);
    assert_int_equal(span->step, step);
}

static void spans_are_kept_in_order(void **state) {
    (void)state;
    sgp_trace_t *trace = make(8);
    const sgp_trace_span_t *spans;
    sgp_trace_step(trace, SGP_TRACE_COMPUTING, 7);
    add(trace, SGP_TRACE_DATA, 1 * MS, 2 * MS);
    add(trace, SGP_TRACE_FORWARD, 2 * MS, 5 * MS);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 0, &spans), 1);
    sgp_trace_flush(trace, SGP_TRACE_COMPUTING);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 0, &spans), 2);
    assert_span(&spans[0], SGP_TRACE_DATA, 1 * MS, 2 * MS, 7);
    assert_span(&spans[1], SGP_TRACE_FORWARD, 2 * MS, 5 * MS, 7);
    sgp_trace_flush(trace, SGP_TRACE_COMPUTING); /* again: nothing new */
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 2, &spans), 0);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_MESSAGES, 0, &spans), 0);
    sgp_trace_destroy(trace);
}

/* One kind, one step, a short gap: all three. */
static void spans_that_touch_become_one(void **state) {
    (void)state;
    sgp_trace_t *trace = make(8);
    const sgp_trace_span_t *spans;
    add(trace, SGP_TRACE_PUSH, 1 * MS, 2 * MS);
    add(trace, SGP_TRACE_PUSH, 2 * MS + SGP_TRACE_TOUCH_NS - 1, 3 * MS);
    add(trace, SGP_TRACE_PUSH, 3 * MS + SGP_TRACE_TOUCH_NS, 4 * MS);
    add(trace, SGP_TRACE_ABSORB, 4 * MS, 5 * MS);
    sgp_trace_step(trace, SGP_TRACE_COMPUTING, 1);
    add(trace, SGP_TRACE_ABSORB, 5 * MS, 6 * MS);
    sgp_trace_flush(trace, SGP_TRACE_COMPUTING);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 0, &spans), 4);
    assert_span(&spans[0], SGP_TRACE_PUSH, 1 * MS, 3 * MS, 0);
    assert_span(&spans[1], SGP_TRACE_PUSH, 3 * MS + SGP_TRACE_TOUCH_NS, 4 * MS, 0);
    assert_span(&spans[2], SGP_TRACE_ABSORB, 4 * MS, 5 * MS, 0);
    assert_span(&spans[3], SGP_TRACE_ABSORB, 5 * MS, 6 * MS, 1);
    sgp_trace_destroy(trace);
}

/* Many that are too short alone are one that is long enough. */
static void too_short_to_see_is_not_kept(void **state) {
    (void)state;
    sgp_trace_t *trace = make(8);
    const sgp_trace_span_t *spans;
    add(trace, SGP_TRACE_WAIT, MS, MS + SGP_TRACE_SHORTEST_NS - 1);
    for (uint64_t i = 0; i < 10; i++)
        add(trace, SGP_TRACE_PUSH, 2 * MS + i * 500, 2 * MS + (i + 1) * 500);
    sgp_trace_flush(trace, SGP_TRACE_COMPUTING);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 0, &spans), 1);
    assert_span(&spans[0], SGP_TRACE_PUSH, 2 * MS, 2 * MS + 5000, 0);
    assert_int_equal(sgp_trace_dropped(trace, SGP_TRACE_COMPUTING), 0);
    sgp_trace_destroy(trace);
}

/* A wait in the middle of a push leaves what comes after it; one at its end leaves nothing. */
static void spans_never_overlap(void **state) {
    (void)state;
    sgp_trace_t *trace = make(8);
    const sgp_trace_span_t *spans;
    add(trace, SGP_TRACE_WAIT, 2 * MS, 3 * MS);
    add(trace, SGP_TRACE_PUSH, 1 * MS, 4 * MS);
    add(trace, SGP_TRACE_WAIT, 5 * MS, 6 * MS);
    add(trace, SGP_TRACE_PUSH, 4 * MS, 6 * MS);
    add(trace, SGP_TRACE_ABSORB, 6 * MS, 6 * MS);
    sgp_trace_flush(trace, SGP_TRACE_COMPUTING);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 0, &spans), 3);
    assert_span(&spans[0], SGP_TRACE_WAIT, 2 * MS, 3 * MS, 0);
    assert_span(&spans[1], SGP_TRACE_PUSH, 3 * MS, 4 * MS, 0);
    assert_span(&spans[2], SGP_TRACE_WAIT, 5 * MS, 6 * MS, 0);
    sgp_trace_destroy(trace);
}

static void what_finds_no_room_is_counted(void **state) {
    (void)state;
    sgp_trace_t *trace = make(3);
    const sgp_trace_span_t *spans;
    for (uint64_t i = 0; i < 10; i++) add(trace, SGP_TRACE_DATA, 2 * i * MS, (2 * i + 1) * MS);
    sgp_trace_flush(trace, SGP_TRACE_COMPUTING);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_COMPUTING, 0, &spans), 3);
    assert_int_equal(spans[2].start, 4 * MS);
    assert_int_equal(sgp_trace_dropped(trace, SGP_TRACE_COMPUTING), 7);
    assert_int_equal(sgp_trace_dropped(trace, SGP_TRACE_MESSAGES), 0);
    sgp_trace_destroy(trace);
}

static void a_trace_that_is_off_does_nothing(void **state) {
    (void)state;
    assert_int_equal(sgp_trace_begin(NULL), 0);
    assert_int_equal(sgp_trace_end(NULL, SGP_TRACE_COMPUTING, SGP_TRACE_DATA, 0), 0);
    sgp_trace_span(NULL, SGP_TRACE_MESSAGES, SGP_TRACE_PUSH, 0, MS);
    sgp_trace_step(NULL, SGP_TRACE_COMPUTING, 1);
    sgp_trace_flush(NULL, SGP_TRACE_COMPUTING);
    sgp_trace_destroy(NULL);
}

static void begin_and_end_are_the_clock(void **state) {
    (void)state;
    sgp_trace_t *trace = make(2);
    const sgp_trace_span_t *spans;
    uint64_t before = sgp_clock_now(), start = sgp_trace_begin(trace), now = start;
    while (now < start + SGP_TRACE_SHORTEST_NS) now = sgp_clock_now();
    uint64_t end = sgp_trace_end(trace, SGP_TRACE_MESSAGES, SGP_TRACE_WAIT, start);
    sgp_trace_flush(trace, SGP_TRACE_MESSAGES);
    assert_int_equal(sgp_trace_read(trace, SGP_TRACE_MESSAGES, 0, &spans), 1);
    assert_span(&spans[0], SGP_TRACE_WAIT, start, end, 0);
    assert_true(before <= start && now <= end && end <= sgp_clock_now());
    sgp_trace_destroy(trace);
}

#define MANY 20000

typedef struct writer {
    sgp_trace_t *trace;
    sgp_trace_context_t context;
} writer_t;

/* Span i is [i, i + 1) times 10 us, its step i. */
static void *write_many(void *argument) {
    const writer_t *writer = argument;
    for (uint64_t i = 0; i < MANY; i++) {
        sgp_trace_step(writer->trace, writer->context, i);
        sgp_trace_span(writer->trace, writer->context, SGP_TRACE_PUSH, i * 10000, (i + 1) * 10000);
    }
    sgp_trace_flush(writer->trace, writer->context);
    return NULL;
}

static void contexts_record_while_one_reads(void **state) {
    (void)state;
    sgp_trace_t *trace = make(MANY);
    pthread_t threads[SGP_TRACE_CONTEXTS];
    writer_t writers[SGP_TRACE_CONTEXTS];
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
        writers[c] = (writer_t){trace, (sgp_trace_context_t)c};
        assert_int_equal(pthread_create(&threads[c], NULL, write_many, &writers[c]), 0);
    }
    size_t seen[SGP_TRACE_CONTEXTS] = {0};
    while (seen[0] < MANY || seen[1] < MANY)
        for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) {
            const sgp_trace_span_t *spans;
            size_t count = sgp_trace_read(trace, (sgp_trace_context_t)c, seen[c], &spans);
            for (size_t i = 0; i < count; i++)
                assert_span(&spans[i], SGP_TRACE_PUSH, (seen[c] + i) * 10000,
                            (seen[c] + i + 1) * 10000, (unsigned)(seen[c] + i));
            seen[c] += count;
        }
    for (int c = 0; c < SGP_TRACE_CONTEXTS; c++) pthread_join(threads[c], NULL);
    sgp_trace_destroy(trace);
}

static void kinds_have_names(void **state) {
    (void)state;
    assert_string_equal(sgp_trace_kind_name(SGP_TRACE_DATA), "data");
    assert_string_equal(sgp_trace_kind_name(SGP_TRACE_CHECKPOINT), "checkpoint");
    assert_string_equal(sgp_trace_kind_name(SGP_TRACE_KINDS), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_kept_in_order),
        cmocka_unit_test(spans_that_touch_become_one),
        cmocka_unit_test(too_short_to_see_is_not_kept),
        cmocka_unit_test(spans_never_overlap),
        cmocka_unit_test(what_finds_no_room_is_counted),
        cmocka_unit_test(a_trace_that_is_off_does_nothing),
        cmocka_unit_test(begin_and_end_are_the_clock),
        cmocka_unit_test(contexts_record_while_one_reads),
        cmocka_unit_test(kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
