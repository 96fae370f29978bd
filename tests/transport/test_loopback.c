/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite over threads, in real time and in virtual time with reordering; then the properties of
 * loopback. */
#include "ranks.h"

static bool virtual_time;

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .loopback = {                                                                              \
            .size = (ranks),                                                                       \
            .chunk_bytes = 256,                                                                    \
            .virtual_time = virtual_time,                                                          \
            .seed = 3,                                                                             \
            .delay_max_ns = 5000000,                                                               \
        }                                                                                          \
    }
#include "transport/conformance.h"

/* Rank 0 sends 200 messages; rank 1 notes their order of arrival and the time of the last. */
typedef struct record {
    uint64_t order[200];
    int count;
    uint64_t end;
} record_t;

static void send_many(sgp_transport_t *transport, void *context) {
    record_t *record = context;
    sgp_destination_t to = {1, 1};
    sgp_chunk_t chunk;
    if (transport->rank == 0)
        for (uint64_t step = 0; step < 200; step++) CHECK(send_vector(transport, &to, 1, step, 16));
    else
        while (sgp_transport_wait(transport, (uint64_t)1000000000) == SGP_OK)
            while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
                record->order[record->count++] = chunk.header.step;
                record->end = sgp_transport_now(transport);
                sgp_transport_release(transport, &chunk);
            }
    finish(transport);
}

static record_t run_many(uint64_t seed, double loss) {
    record_t record = {.count = 0};
    ranks_setup_t setup = {.loopback = {.size = 2,
                                        .chunk_bytes = 256,
                                        .virtual_time = true,
                                        .seed = seed,
                                        .delay_min_ns = 1000000,
                                        .delay_max_ns = 9000000,
                                        .loss = loss}};
    run_transports(&setup, send_many, &record);
    return record;
}

static void test_delay_reorders_and_repeats(void **state) {
    (void)state;
    record_t a = run_many(1, 0), b = run_many(1, 0), c = run_many(2, 0);
    assert_int_equal(a.count, 200);
    assert_memory_equal(a.order, b.order, sizeof a.order);
    assert_memory_not_equal(a.order, c.order, sizeof a.order);
    int in_order = 0;
    for (int i = 1; i < 200; i++) in_order += a.order[i] == a.order[i - 1] + 1;
    assert_in_range(in_order, 0, 50);
    assert_in_range(a.end, 8000000, 9000000);
}

static void test_loss(void **state) {
    (void)state;
    record_t record = run_many(1, 0.3);
    assert_in_range(record.count, 110, 170); /* 140 +- 4.6 standard deviations of 6.5 */
}

static void test_bad_options(void **state) {
    (void)state;
    sgp_loopback_t *hub = NULL;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 0}, &hub),
                     SGP_ERR_INVALID);
    assert_int_equal(
        sgp_loopback_create(&(sgp_loopback_options_t){.size = 1, .chunk_bytes = 65}, &hub),
        SGP_ERR_INVALID);
    assert_null(hub);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_much_room),
        cmocka_unit_test(test_delay_reorders_and_repeats),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_bad_options),
    };
    int failed = run_conformance();
    virtual_time = true;
    failed += run_conformance();
    return failed + cmocka_run_group_tests_name("loopback", tests, NULL, NULL);
}
