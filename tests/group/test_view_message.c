/* SPDX-License-Identifier: Apache-2.0 */
/* VIEW messages: what is written is read again, and bytes that are not valid change nothing. */
#include "group/view_message.h"

#include "base/bytes.h"
#include "notices.h"

enum { FIRST = SGP_VIEW_HEAD }; /* of the notices */

static sgp_status_t decode(sgp_view_t *view, const unsigned char *bytes, size_t size,
                           const char **reason) {
    unsigned flags;
    bool news;
    *reason = NULL;
    /* A buffer of exactly its size, so that sanitizers see a read beyond it. */
    unsigned char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    sgp_status_t status = sgp_view_decode(view, copy, size, &flags, &news, reason);
    free(copy);
    assert_int_equal(status != SGP_OK, *reason != NULL);
    return status;
}

static void assert_refused(const unsigned char *bytes, size_t size, const char *word) {
    const char *reason;
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    assert_int_equal(decode(view, bytes, size, &reason), SGP_ERR_FORMAT);
    assert_true(sgp_view_digest(view) == 0 && sgp_view_version(view) == 0);
    assert_int_equal(sgp_view_seats(view), FOUNDERS);
    if (!strstr(reason, word)) fail_msg("\"%s\" instead of a reason with \"%s\"", reason, word);
    sgp_view_destroy(view);
}

/* ---- round trip ---- */

static void test_round_trip(void **state) {
    (void)state;
    static unsigned char bytes[SGP_VIEW_MOST_BYTES];
    sgp_random_t random;
    sgp_random_init(&random, 1, 0);
    for (int round = 0; round < 300; round++) {
        sgp_member_notice_t notices[MOST_NOTICES];
        const char *reason;
        random_notices(&random, notices, MOST_NOTICES);
        sgp_view_t *view = merged_view(notices, MOST_NOTICES), *read = new_view(SEATS, FOUNDERS);
        assert_int_equal(decode(read, bytes, bytes_of(view, bytes), &reason), SGP_OK);
        assert_same_view(view, read);
        sgp_view_destroy(view);
        sgp_view_destroy(read);
    }
}

static void test_flags_and_news(void **state) {
    (void)state;
    unsigned char bytes[SGP_VIEW_LEAST_ROOM];
    const char *reason = NULL;
    unsigned flags = 7;
    bool news = true;
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    sgp_member_notice_t dead = end_of(SGP_MEMBER_DEAD, 1, 0, 32, 20);
    sgp_view_cursor_t cursor = {0};
    size_t size = sgp_view_encode(view, SGP_VIEW_YOU_WERE_SILENT, &cursor, bytes, sizeof bytes);
    assert_int_equal(size, SGP_VIEW_HEAD);
    assert_int_equal(sgp_view_decode(view, bytes, size, &flags, &news, &reason), SGP_OK);
    assert_int_equal(flags, SGP_VIEW_YOU_WERE_SILENT);
    assert_false(news);
    size = sgp_view_encode_notices(&dead, 1, 0, bytes, sizeof bytes);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(sgp_view_decode(view, bytes, size, &flags, &news, &reason), SGP_OK);
        assert_int_equal(flags, 0);
        assert_int_equal(news, !again);
    }
    sgp_view_destroy(view);
}

/* The layout is a promise to other versions. */
static void test_layout(void **state) {
    (void)state;
    unsigned char bytes[SGP_VIEW_LEAST_ROOM];
    sgp_member_notice_t join = join_of(4, 0x01020304, 0x1112131415161710, 0x2122232425262728);
    join.origin = 3, join.card = (const unsigned char *)"card", join.card_bytes = 4;
    static const unsigned char expected[] = {
        1,    0,    0,    0,                            /* count, flags */
        1,    0,    4,    0,    4,    3,    2,    1,    /* kind, flags, seat, incarnation */
        0x10, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* step */
        0,    0,    0,    0,    0,    0,    0,    0,    /* last */
        0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, /* candidate */
        3,    0,    4,    0,    0,    0,    0,    0,    /* origin, card, reserved */
        'c',  'a',  'r',  'd'};
    assert_int_equal(sgp_view_encode_notices(&join, 1, 0, bytes, sizeof bytes), sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
}

/* More than fits into one message: several, of which each holds something, in any order. */
static void test_several_messages(void **state) {
    (void)state;
    enum { CAPACITY = 1000, MOST = 200, ROOM = SGP_VIEW_LEAST_ROOM + 2000 };
    static unsigned char bytes[MOST][ROOM];
    static const unsigned char card[SGP_MEMBER_CARD_BYTES] = "card";
    size_t sizes[MOST];
    int messages = 0;
    sgp_view_t *view = new_view(CAPACITY, 2), *read = new_view(CAPACITY, 2);
    for (int seat = 2; seat < CAPACITY; seat++) {
        sgp_member_notice_t join = join_of(seat, 0, 16, 1 + (uint64_t)seat);
        sgp_member_notice_t left = end_of(SGP_MEMBER_LEFT, seat, 0, 160, 99);
        join.card = card, join.card_bytes = sizeof card;
        sgp_view_merge(view, &join);
        if (seat % 3) sgp_view_merge(view, &left);
    }
    for (sgp_view_cursor_t cursor = {0}; !cursor.done; messages++) {
        assert_in_range(messages, 0, MOST - 1);
        sizes[messages] = sgp_view_encode(view, 0, &cursor, bytes[messages], ROOM);
        assert_in_range(sizes[messages], SGP_VIEW_HEAD + SGP_MEMBER_NOTICE_BYTES, ROOM);
    }
    assert_true(messages > 100);
    while (messages-- > 0) {
        const char *reason;
        assert_int_equal(decode(read, bytes[messages], sizes[messages], &reason), SGP_OK);
    }
    assert_true(sgp_view_digest(read) == sgp_view_digest(view));
    sgp_view_destroy(view);
    sgp_view_destroy(read);
}

static void test_room(void **state) {
    (void)state;
    unsigned char bytes[SGP_VIEW_HEAD + 2 * SGP_MEMBER_NOTICE_BYTES];
    sgp_member_notice_t notices[3];
    for (int i = 0; i < 3; i++) notices[i] = end_of(SGP_MEMBER_DEAD, i, 0, 16, 0);
    assert_int_equal(sgp_view_encode_notices(notices, 2, 0, bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(sgp_view_encode_notices(notices, 2, 0, bytes, sizeof bytes - 1), 0);
    assert_int_equal(sgp_view_encode_notices(notices, 3, 0, bytes, sizeof bytes), 0);
    assert_int_equal(sgp_view_encode_notices(notices, 0, 0, bytes, SGP_VIEW_HEAD), SGP_VIEW_HEAD);
    assert_int_equal(sgp_view_encode_notices(notices, 0, 0, bytes, SGP_VIEW_HEAD - 1), 0);
}

/* ---- hostile bytes ---- */

/* Good notices in front of the bad one, of which none may be merged. */
static size_t three_notices(unsigned char *bytes, size_t room) {
    sgp_member_notice_t notices[] = {join_of(3, 0, 32, 5), end_of(SGP_MEMBER_DEAD, 1, 0, 32, 20),
                                     join_of(4, 2, 48, 9)};
    notices[0].card = notices[2].card = (const unsigned char *)"cards";
    notices[0].card_bytes = notices[2].card_bytes = 5;
    return sgp_view_encode_notices(notices, 3, 0, bytes, room);
}

static void test_truncated_at_each_byte(void **state) {
    (void)state;
    unsigned char bytes[512];
    const char *reason;
    size_t size = three_notices(bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++) assert_refused(bytes, cut, "cut off");
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    assert_int_equal(decode(view, bytes, size, &reason), SGP_OK);
    assert_true(sgp_view_version(view) == 3);
    sgp_view_destroy(view);
    bytes[size] = 0;
    assert_refused(bytes, size + 1, "behind");
}

/* One field of a message that is good but for it. */
static void test_each_check(void **state) {
    (void)state;
    enum { DEAD = FIRST + 45, LAST = DEAD + 40 }; /* the second notice, and the third */
    static const struct {
        size_t at;
        uint64_t value;
        size_t bytes;
        const char *word;
    } bad[] = {
        {0, 4, 2, "cut off"},
        {0, 65535, 2, "cut off"},
        {0, 2, 2, "behind"},
        {2, 2, 2, "flags of a view"},
        {3, 0x80, 1, "flags"},
        {LAST, 0, 1, "kind"},
        {LAST, 4, 1, "kind"},
        {LAST + 1, 1, 1, "flags"},
        {DEAD + 1, 2, 1, "flags"},
        {LAST + 2, SEATS, 2, "about"},
        {LAST + 2, 65535, 2, "about"},
        {LAST + 8, 0, 8, "graph"},
        {LAST + 8, 24, 8, "graph"},
        {LAST + 8, SGP_MEMBER_STEPS, 8, "no run"},
        {LAST + 16, 1, 8, "last step"},
        {DEAD + 16, SGP_MEMBER_STEPS, 8, "no run"},
        {LAST + 24, 0, 8, "candidate"},
        {DEAD + 24, 1, 8, "candidate"},
        {LAST + 32, SEATS, 2, "by no seat"},
        {LAST + 34, 6, 2, "card is cut off"},
        {LAST + 34, 257, 2, "too long"},
        {DEAD + 34, 1, 2, "card"},
        {LAST + 36, 1, 1, "reserved"},
        {LAST + 39, 1, 1, "reserved"},
        {LAST, SGP_MEMBER_LEFT, 1, "no JOIN"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char bytes[512];
        size_t size = three_notices(bytes, sizeof bytes);
        sgp_bytes_put(bytes + bad[i].at, bad[i].value, bad[i].bytes);
        assert_refused(bytes, size, bad[i].word);
    }
}

static void test_founders_do_not_join(void **state) {
    (void)state;
    unsigned char bytes[512];
    sgp_member_notice_t notices[] = {join_of(3, 0, 32, 5), join_of(2, 0, 32, 5)};
    size_t size = sgp_view_encode_notices(notices, 2, 0, bytes, sizeof bytes);
    assert_refused(bytes, size, "founder");
}

static void test_too_long(void **state) {
    (void)state;
    static unsigned char bytes[SGP_VIEW_MOST_BYTES + SGP_MEMBER_NOTICE_BYTES];
    const size_t most = (SGP_VIEW_MOST_BYTES - SGP_VIEW_HEAD) / SGP_MEMBER_NOTICE_BYTES;
    const char *reason;
    sgp_member_notice_t dead = end_of(SGP_MEMBER_DEAD, 1, 0, 32, 20);
    for (size_t i = 0; i <= most; i++)
        sgp_member_notice_encode(&dead, bytes + SGP_VIEW_HEAD + i * SGP_MEMBER_NOTICE_BYTES);
    sgp_bytes_put(bytes, most + 1, 2);
    assert_refused(bytes, SGP_VIEW_HEAD + (most + 1) * SGP_MEMBER_NOTICE_BYTES, "too long");
    sgp_bytes_put(bytes, most, 2);
    sgp_view_t *view = new_view(SEATS, FOUNDERS);
    assert_int_equal(decode(view, bytes, SGP_VIEW_HEAD + most * SGP_MEMBER_NOTICE_BYTES, &reason),
                     SGP_OK);
    assert_true(sgp_view_version(view) == 1);
    sgp_view_destroy(view);
}

/* Any byte changed: refused as a whole, or a view that can be passed on. */
static void test_every_byte_changed(void **state) {
    (void)state;
    unsigned char bytes[512];
    size_t size = three_notices(bytes, sizeof bytes);
    for (size_t i = 0; i < 256 * size; i++) {
        unsigned char kept = bytes[i / 256];
        const char *reason;
        sgp_view_t *view = new_view(SEATS, FOUNDERS), *other = new_view(SEATS, FOUNDERS);
        bytes[i / 256] = (unsigned char)i;
        if (decode(view, bytes, size, &reason) == SGP_OK) {
            static unsigned char again[SGP_VIEW_MOST_BYTES];
            assert_int_equal(decode(other, again, bytes_of(view, again), &reason), SGP_OK);
            assert_same_view(view, other);
        } else {
            assert_same_view(view, other);
        }
        bytes[i / 256] = kept;
        sgp_view_destroy(view);
        sgp_view_destroy(other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_flags_and_news),
        cmocka_unit_test(test_layout),     cmocka_unit_test(test_several_messages),
        cmocka_unit_test(test_room),       cmocka_unit_test(test_truncated_at_each_byte),
        cmocka_unit_test(test_each_check), cmocka_unit_test(test_founders_do_not_join),
        cmocka_unit_test(test_too_long),   cmocka_unit_test(test_every_byte_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
