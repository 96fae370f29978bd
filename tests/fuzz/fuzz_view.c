/* SPDX-License-Identifier: Apache-2.0 */
/* VIEW messages, and questions about members (HEARD), as they arrive: switches, then each message with its length in two bytes in front. A
 * message that is refused changes nothing; what is accepted is written again and read by another
 * view, which is then the same and has the same plans. */
#include "fuzz.h"

#include "base/bytes.h"
#include "group/verdict.h"
#include "group/view_message.h"
#include "group/view_plan.h"

enum { LARGE = 0x01, CAPACITY = 8, FOUNDERS = 4, LARGE_CAPACITY = 70, WORDS = 2 };
enum { ROOM = SGP_VIEW_LEAST_ROOM };

static sgp_view_t *new_view(bool large) {
    sgp_view_t *view = NULL;
    FUZZ_CHECK(sgp_view_create(large ? LARGE_CAPACITY : CAPACITY, FOUNDERS, &view) == SGP_OK);
    return view;
}

/* The same bytes as a question about a member, or the answer. */
static void check_heard(const unsigned char *bytes, size_t size) {
    sgp_heard_message_t message;
    unsigned char again[SGP_HEARD_BYTES];
    if (!sgp_heard_decode(bytes, size, CAPACITY, &message)) return;
    FUZZ_CHECK(size == SGP_HEARD_BYTES && message.seat >= 0 && message.seat < CAPACITY);
    FUZZ_CHECK(message.answer || !message.hears);
    sgp_heard_encode(&message, again);
    FUZZ_CHECK(memcmp(bytes, again, sizeof again) == 0);
}

/* Returns whether the message was accepted. */
static bool merge(sgp_view_t *view, const unsigned char *bytes, size_t size) {
    const char *reason = NULL;
    unsigned flags = UINT32_MAX;
    bool news = false;
    uint64_t digest = sgp_view_digest(view), version = sgp_view_version(view);
    sgp_status_t status = sgp_view_decode(view, bytes, size, &flags, &news, &reason);
    check_heard(bytes, size);
    FUZZ_CHECK((status == SGP_OK) == (reason == NULL));
    FUZZ_CHECK(status == SGP_OK || status == SGP_ERR_FORMAT);
    if (status == SGP_OK) FUZZ_CHECK((flags & ~SGP_VIEW_YOU_WERE_SILENT) == 0);
    else FUZZ_CHECK(flags == UINT32_MAX && !news);
    FUZZ_CHECK(news == (sgp_view_version(view) != version));
    if (!news) FUZZ_CHECK(sgp_view_digest(view) == digest);
    return status == SGP_OK;
}

/* The view of a node that has everything from this one. */
static sgp_view_t *copy_of(const sgp_view_t *view, bool large) {
    sgp_view_t *copy = new_view(large);
    for (sgp_view_cursor_t cursor = {0}; !cursor.done;) {
        unsigned char bytes[ROOM];
        size_t size = sgp_view_encode(view, 0, &cursor, bytes, sizeof bytes);
        FUZZ_CHECK(size >= SGP_VIEW_HEAD && size <= sizeof bytes);
        FUZZ_CHECK(merge(copy, bytes, size));
    }
    FUZZ_CHECK(sgp_view_digest(copy) == sgp_view_digest(view));
    return copy;
}

static void check_plans(const sgp_view_t *view, const sgp_view_t *copy) {
    static int plans[2][LARGE_CAPACITY];
    uint64_t live[WORDS], step = 0;
    for (int changes = 0; changes < 16 && step != SGP_VIEW_NEVER; changes++) {
        int count = sgp_view_plan(view, step, plans[0]), living = sgp_view_live(view, step, live);
        FUZZ_CHECK(count == sgp_view_plan(copy, step, plans[1]));
        FUZZ_CHECK(memcmp(plans[0], plans[1], (size_t)count * sizeof(int)) == 0);
        for (int rank = 0; rank < count; rank++) {
            FUZZ_CHECK(sgp_plan_rank(plans[0], count, plans[0][rank]) == rank);
            living -= sgp_seat_in(live, plans[0][rank]);
        }
        FUZZ_CHECK(living == 0);
        uint64_t next = sgp_view_next_change(view, step);
        FUZZ_CHECK(next > step && next == sgp_view_next_change(copy, step));
        step = next;
    }
}

/* Each member's JOIN and end at most once. */
static void drain(sgp_view_t *view) {
    const int most = 2 * SGP_VIEW_INCARNATIONS * sgp_view_capacity(view);
    sgp_view_event_t event;
    int events = 0;
    while (sgp_view_next_event(view, &event)) {
        sgp_view_member_t member;
        FUZZ_CHECK(++events <= most);
        FUZZ_CHECK(sgp_view_member(view, event.seat, event.incarnation, &member));
        FUZZ_CHECK(event.step == member.from || event.step == member.until);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    bool large = fuzz_byte(&input) & LARGE;
    sgp_view_t *view = new_view(large);
    while (input.left > 0) {
        unsigned char length[2] = {0};
        fuzz_take(&input, length, sizeof length);
        size_t bytes = (size_t)sgp_bytes_get(length, 2);
        if (bytes > input.left) bytes = input.left;
        unsigned char *message = malloc(bytes ? bytes : 1); /* of exactly its size */
        FUZZ_CHECK(message);
        fuzz_take(&input, message, bytes);
        merge(view, message, bytes);
        free(message);
        if (length[0] % 2) drain(view);
    }
    sgp_view_t *copy = copy_of(view, large);
    check_plans(view, copy);
    drain(view);
    drain(copy);
    sgp_view_destroy(view);
    sgp_view_destroy(copy);
    return 0;
}
