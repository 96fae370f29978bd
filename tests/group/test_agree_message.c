/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of agree: bytes and back, and what one machine refuses, with the reason; a refused message changes nothing. */
#include "cmocka_all.h"

#include "base/bytes.h"
#include "base/logging.h"
#include "group/agree.h"
#include "group/seats.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 10, PAYLOAD = 12, ROOM = 128 };

static const sgp_agree_limits_t limits = {.capacity = CAPACITY, .payload_bytes = PAYLOAD};

typedef struct bytes {
    unsigned char at[ROOM];
    size_t count;
} bytes_t;

/* Payload i is `text`, for as many as the message says. */
static bytes_t encode(uint64_t call, sgp_agree_form_t form, uint32_t attempt, int first,
                      int payloads, unsigned seats, const char *text) {
    unsigned char set[2] = {(unsigned char)seats, (unsigned char)(seats >> 8)};
    sgp_agree_message_t message = {.call = call,
                                   .form = form,
                                   .attempt = attempt,
                                   .first = first,
                                   .payloads = payloads,
                                   .set = set};
    bytes_t bytes = {.count = 0};
    unsigned char *end = sgp_agree_message_begin(&limits, &message, bytes.at);
    for (int i = 0; i < payloads; i++) end = sgp_agree_payload_put(end, text, strlen(text));
    bytes.count = (size_t)(end - bytes.at);
    return bytes;
}

static bytes_t state(uint64_t call, uint32_t attempt, int seat, unsigned seats, const char *text) {
    return encode(call, SGP_AGREE_STATE, attempt, seat, 1, seats, text);
}

/* ---- bytes ---- */

static void test_round_trip(void **unused) {
    (void)unused;
    bytes_t bytes = encode(0x1122334455667788u, SGP_AGREE_DECIDED, 0, 8, 2, 0x305, "abc");
    sgp_agree_message_t message;
    const char *reason = NULL;
    assert_int_equal(sgp_agree_message_decode(&limits, bytes.at, bytes.count, &message, &reason),
                     SGP_OK);
    assert_true(message.call == 0x1122334455667788u && message.form == SGP_AGREE_DECIDED);
    assert_true(message.attempt == 0 && message.first == 8 && message.payloads == 2);
    assert_int_equal(message.set[0] | message.set[1] << 8, 0x305);
    const unsigned char *at = message.contents, *payload;
    for (int i = 0; i < 2; i++) {
        size_t count;
        at = sgp_agree_payload_get(at, &payload, &count);
        assert_int_equal(count, 3);
        assert_memory_equal(payload, "abc", 3);
    }
    assert_ptr_equal(at, bytes.at + bytes.count);
}

static void malformed(bytes_t bytes, const char *expected) {
    sgp_agree_message_t message;
    const char *reason = "";
    sgp_status_t status =
        sgp_agree_message_decode(&limits, bytes.at, bytes.count, &message, &reason);
    assert_int_equal(status, SGP_ERR_FORMAT);
    assert_string_equal(reason, expected);
}

/* With `value` in the four bytes at `place`. */
static bytes_t with(bytes_t bytes, size_t place, uint32_t value) {
    sgp_bytes_put(bytes.at + place, value, 4);
    return bytes;
}

static bytes_t shorter(bytes_t bytes, size_t less) {
    bytes.count -= less;
    return bytes;
}

static void test_malformed(void **unused) {
    (void)unused;
    enum { FORM = 8, ATTEMPT = 12, FIRST = 16, PAYLOADS = 20, RESERVED = 28, LENGTH = 34 };
    bytes_t good = state(1, 1, 2, 0x7, "abc");
    bytes_t decided = encode(1, SGP_AGREE_DECIDED, 0, 1, 2, 0x7, "abc");
    bytes_t longer = good;
    longer.count = sgp_agree_message_room(&limits) + 1;
    malformed(shorter(good, good.count), "it is too short");
    malformed(shorter(good, 8), "it is too short");
    malformed(longer, "it is too long");
    malformed(with(good, FORM, 0), "unknown form");
    malformed(with(good, FORM, 3), "unknown form");
    malformed(with(good, ATTEMPT, 0), "its attempt is not of its form");
    malformed(with(decided, ATTEMPT, 1), "its attempt is not of its form");
    malformed(with(good, RESERVED, 1), "reserved bytes are not zero");
    malformed(state(1, 1, 2, 0x407, "abc"), "its set has a seat that is none");
    malformed(with(good, FIRST, 3), "its first payload is of no member");
    malformed(with(good, FIRST, 10), "its first payload is of no member");
    malformed(with(good, FIRST, UINT32_MAX), "its first payload is of no member");
    malformed(with(good, PAYLOADS, 2), "a STATE has one payload");
    malformed(with(decided, PAYLOADS, 3), "more payloads than members");
    malformed(with(decided, PAYLOADS, 0), "more payloads than members");
    malformed(with(decided, PAYLOADS, UINT32_MAX), "more payloads than members");
    malformed(with(good, LENGTH, 13), "a payload is too long");
    malformed(with(good, LENGTH, UINT32_MAX), "a payload is too long");
    malformed(with(good, LENGTH, 4), "it ends in a payload");
    malformed(with(good, LENGTH, 2), "bytes follow its last payload");
    malformed(shorter(decided, 5), "it ends in a payload");
}

/* ---- a machine ---- */

static sgp_agree_t *machine(int seat) {
    sgp_agree_t *agree = NULL;
    sgp_agree_options_t options = {.limits = limits, .seat = seat};
    assert_int_equal(sgp_agree_create(&options, &agree), SGP_OK);
    return agree;
}

static void begin(sgp_agree_t *agree, unsigned seats, const char *text) {
    unsigned char live[2] = {(unsigned char)seats, (unsigned char)(seats >> 8)};
    assert_int_equal(sgp_agree_begin(agree, live, text, strlen(text)), SGP_OK);
}

static void hear(sgp_agree_t *agree, int src, bytes_t bytes) {
    const char *reason = NULL;
    assert_int_equal(sgp_agree_heard(agree, src, bytes.at, bytes.count, &reason), SGP_OK);
    assert_null(reason);
}

static void refuse(sgp_agree_t *agree, int src, bytes_t bytes, const char *expected) {
    size_t count;
    const char *reason = "";
    const void *after = sgp_agree_state(agree, &count);
    void *before = malloc(count);
    assert_non_null(before);
    memcpy(before, after, count);
    assert_int_equal(sgp_agree_heard(agree, src, bytes.at, bytes.count, &reason), SGP_ERR_REFUSED);
    assert_string_equal(reason, expected);
    assert_memory_equal(before, after, count);
    free(before);
}

static bool is_decided(const sgp_agree_t *agree, unsigned seats) {
    sgp_agree_result_t result;
    return sgp_agree_result(agree, &result) && (result.set[0] | result.set[1] << 8) == (int)seats;
}

static void test_refusals(void **unused) {
    (void)unused;
    sgp_agree_t *agree = machine(1);
    bytes_t good = state(1, 1, 2, 0x7, "two");
    refuse(agree, 2, encode(1, SGP_AGREE_DECIDED, 0, 0, 3, 0x7, ""), "its call has not begun");
    begin(agree, 0x7, "one");
    refuse(agree, 1, good, "it is from no other seat");
    refuse(agree, -1, good, "it is from no other seat");
    refuse(agree, CAPACITY, good, "it is from no other seat");
    refuse(agree, 0, good, "it speaks for another seat");
    refuse(agree, 3, good, "its set lacks its sender");
    refuse(agree, 2, state(3, 1, 2, 0x7, "two"), "its call is far ahead");
    hear(agree, 2, good);
    refuse(agree, 2, good, "it is not newer than the last one");
    refuse(agree, 2, state(1, 2, 2, 0x7, "new"), "its payload has changed");
    refuse(agree, 2, state(1, 2, 2, 0x7, "longer"), "its payload has changed");
    refuse(agree, 2, encode(1, SGP_AGREE_DECIDED, 0, 1, 2, 0x7, "two"), "a payload has changed");
    refuse(agree, 3, encode(1, SGP_AGREE_DECIDED, 0, 1, 1, 0xf, "one"), "its sender is no member");
    sgp_agree_lost(agree, 2);
    refuse(agree, 2, state(1, 2, 2, 0x7, "two"), "its sender is gone");
    hear(agree, 0, state(0, 1, 0, 0x7, "old"));
    assert_false(is_decided(agree, 0x3));
    hear(agree, 0, state(1, 1, 0, 0x3, ""));
    assert_true(is_decided(agree, 0x3));
    sgp_agree_destroy(agree);
}

/* A member whose set lacks this one goes on without it. */
static void test_exclusion(void **unused) {
    (void)unused;
    const char *reason = NULL;
    sgp_agree_t *agree = machine(1);
    bytes_t other = state(1, 1, 2, 0x5, "two"),
            decided = encode(1, SGP_AGREE_DECIDED, 0, 0, 2, 0x5, "");
    begin(agree, 0x7, "one");
    assert_int_equal(sgp_agree_excluded_by(agree), -1);
    assert_int_equal(sgp_agree_heard(agree, 2, other.at, other.count, &reason), SGP_ERR_REFUSED);
    assert_string_equal(reason, "its set lacks this seat");
    assert_int_equal(sgp_agree_excluded_by(agree), 2);
    sgp_agree_lost(agree, 2);
    assert_int_equal(sgp_agree_excluded_by(agree), -1);
    assert_int_equal(sgp_agree_heard(agree, 0, decided.at, decided.count, &reason),
                     SGP_ERR_REFUSED);
    assert_int_equal(sgp_agree_excluded_by(agree), 0);
    assert_int_equal(sgp_agree_missing(agree), 0);
    sgp_agree_destroy(agree);
}

/* Half a DECIDED from a member that dies does not count, even when the payloads that it lacked arrive: the others may
 * have decided on what this member says after that death. */
static void test_half_a_decision(void **unused) {
    (void)unused;
    sgp_agree_t *agree = machine(1);
    begin(agree, 0xf, "one");
    hear(agree, 0, state(1, 1, 0, 0xf, "zero"));
    hear(agree, 2, state(1, 1, 2, 0xf, "two"));
    hear(agree, 0, encode(1, SGP_AGREE_DECIDED, 0, 0, 1, 0xf, "zero"));
    sgp_agree_lost(agree, 0);
    hear(agree, 3, state(1, 1, 3, 0xf, "three"));
    assert_false(is_decided(agree, 0xf));
    hear(agree, 2, state(1, 2, 2, 0xe, "two"));
    hear(agree, 3, state(1, 2, 3, 0xe, "three"));
    assert_true(is_decided(agree, 0xe));
    sgp_agree_destroy(agree);
}

/* The parts of a DECIDED may come from two members. */
static void test_parts_of_two(void **unused) {
    (void)unused;
    sgp_agree_t *agree = machine(1);
    begin(agree, 0xf, "one");
    hear(agree, 0, encode(1, SGP_AGREE_DECIDED, 0, 3, 1, 0xf, "three"));
    hear(agree, 2, encode(1, SGP_AGREE_DECIDED, 0, 0, 1, 0xf, "zero"));
    assert_false(is_decided(agree, 0xf));
    hear(agree, 0, state(1, 1, 0, 0xf, "zero"));
    sgp_agree_lost(agree, 0);
    hear(agree, 2, encode(1, SGP_AGREE_DECIDED, 0, 2, 1, 0xf, "two"));
    assert_true(is_decided(agree, 0xf));
    sgp_agree_destroy(agree);
}

/* The largest group; two of its seats are live. */
static void test_largest_capacity(void **unused) {
    (void)unused;
    enum { SEATS = 65536 };
    static unsigned char live[SEATS / 8];
    sgp_agree_t *agree[2];
    sgp_agree_due_t due;
    sgp_agree_result_t result;
    const char *reason = NULL;
    for (int i = 0; i < 2; i++) {
        sgp_agree_options_t options = {.limits = {.capacity = SEATS, .payload_bytes = 8},
                                       .seat = i ? SEATS - 1 : 0};
        sgp_seats_add(live, options.seat);
        assert_int_equal(sgp_agree_create(&options, &agree[i]), SGP_OK);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(sgp_agree_begin(agree[i], live, i ? "last" : "first", 4), SGP_OK);
    for (int i = 0; i < 2; i++) {
        assert_true(sgp_agree_next_message(agree[i], &due) && due.receivers == 1);
        assert_int_equal(
            sgp_agree_heard(agree[!i], i ? SEATS - 1 : 0, due.bytes, due.count, &reason), SGP_OK);
        sgp_agree_sent(agree[i], due.to, 1);
        assert_false(sgp_agree_next_message(agree[i], &due));
    }
    for (int i = 0; i < 2; i++) {
        size_t bytes = 0;
        assert_true(sgp_agree_result(agree[i], &result) && result.members == 2);
        assert_memory_equal(sgp_agree_payload(&result, SEATS - 1, &bytes), "last", 4);
        assert_null(sgp_agree_payload(&result, 1, &bytes));
    }
    for (int i = 0; i < 2; i++) sgp_agree_destroy(agree[i]);
}

static void test_options(void **unused) {
    (void)unused;
    unsigned char live[2] = {0x5, 0};
    sgp_agree_t *agree = NULL;
    sgp_agree_options_t wrong[] = {
        {.limits = {0, 8}, .seat = 0}, {.limits = {65537, 8}, .seat = 0},
        {.limits = {4, 8}, .seat = 4}, {.limits = {4, 8}, .seat = -1},
        {.limits = {4, 0}, .seat = 0}, {.limits = {4, 65537}, .seat = 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(sgp_agree_create(&wrong[i], &agree), SGP_ERR_INVALID);
    assert_null(agree);
    agree = machine(1);
    assert_int_equal(sgp_agree_begin(agree, live, "", 0), SGP_ERR_INVALID);
    live[0] = 0x7;
    assert_int_equal(sgp_agree_begin(agree, live, "thirteen byte", 13), SGP_ERR_INVALID);
    sgp_agree_destroy(agree);
    sgp_agree_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_exclusion),
        cmocka_unit_test(test_half_a_decision),  cmocka_unit_test(test_parts_of_two),
        cmocka_unit_test(test_largest_capacity), cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
