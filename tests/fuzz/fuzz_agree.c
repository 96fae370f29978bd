/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of agree in a group of five, of which this is seat 1, and what its peers may send: switches, then moves. A
 * move is one byte: what happens (two bits) and to which seat (three bits); a message follows with its length. With REPAIR
 * the fields of its head are made plausible. */
#include "fuzz.h"

#include "base/bytes.h"
#include "group/agree.h"
#include "group/seats.h"

enum { CAPACITY = 5, SEAT = 1, PAYLOAD = 12, MOST_BYTES = 255, MOST_MESSAGES = 256 };
enum { HEAR, LOSE, BEGIN, SEND };

static const sgp_agree_limits_t limits = {.capacity = CAPACITY, .payload_bytes = PAYLOAD};

/* Calls near the present one, which is below 256. */
static void repair(unsigned char *bytes, size_t count) {
    if (count < SGP_AGREE_HEAD + 1) return;
    sgp_bytes_put(bytes, bytes[0], 8);
    sgp_bytes_put(bytes + 8, 1 + bytes[8] % 2, 4);
    sgp_bytes_put(bytes + 12, bytes[8] == SGP_AGREE_STATE ? 1 + bytes[12] % 4 : 0, 4);
    sgp_bytes_put(bytes + 16, bytes[16] % CAPACITY, 4);
    sgp_bytes_put(bytes + 20, bytes[8] == SGP_AGREE_STATE ? 1 : 1 + bytes[20] % CAPACITY, 4);
    sgp_bytes_put(bytes + 24, 0, 8);
    bytes[SGP_AGREE_HEAD] &= (1 << CAPACITY) - 1;
}

/* A message that is accepted is the same when it is written again. */
static void check_decode(const unsigned char *bytes, size_t count) {
    unsigned char again[MOST_BYTES];
    sgp_agree_message_t message;
    const char *reason = NULL;
    sgp_status_t status = sgp_agree_message_decode(&limits, bytes, count, &message, &reason);
    FUZZ_CHECK((status == SGP_OK) == (reason == NULL));
    if (status != SGP_OK) return;
    unsigned char *end = sgp_agree_message_begin(&limits, &message, again);
    const unsigned char *at = message.contents, *payload;
    for (int i = 0; i < message.payloads; i++) {
        size_t length;
        at = sgp_agree_payload_get(at, &payload, &length);
        FUZZ_CHECK(length <= PAYLOAD);
        end = sgp_agree_payload_put(end, payload, length);
    }
    FUZZ_CHECK((size_t)(end - again) == count && memcmp(again, bytes, count) == 0);
}

/* A message that is refused changes nothing, but that its sender may go on without this member. */
static void hear(sgp_agree_t *agree, int src, const unsigned char *bytes, size_t count) {
    unsigned char before[4096];
    size_t room;
    const char *reason = NULL;
    const void *after = sgp_agree_state(agree, &room);
    FUZZ_CHECK(room <= sizeof before);
    memcpy(before, after, room);
    sgp_status_t status = sgp_agree_heard(agree, src, bytes, count, &reason);
    FUZZ_CHECK((status == SGP_OK) == (reason == NULL));
    if (status != SGP_OK && strcmp(reason, "its set lacks this seat") != 0)
        FUZZ_CHECK(memcmp(before, after, room) == 0);
}

static void send_all(sgp_agree_t *agree) {
    sgp_agree_due_t due;
    sgp_agree_message_t message;
    const char *reason = NULL;
    int messages = 0;
    for (; sgp_agree_next_message(agree, &due); messages++) {
        FUZZ_CHECK(messages < MOST_MESSAGES && due.receivers > 0);
        FUZZ_CHECK(sgp_agree_message_decode(&limits, due.bytes, due.count, &message, &reason) ==
                   SGP_OK);
        FUZZ_CHECK(sgp_seats_has(message.set, SEAT));
        for (int i = 0; i < due.receivers; i++) FUZZ_CHECK(due.to[i] != SEAT);
        sgp_agree_sent(agree, due.to, due.receivers);
    }
}

static void check_result(const sgp_agree_t *agree) {
    sgp_agree_result_t result;
    FUZZ_CHECK(sgp_agree_missing(agree) != SEAT);
    if (!sgp_agree_result(agree, &result)) return;
    FUZZ_CHECK(sgp_seats_has(result.set, SEAT) && result.members >= 1);
    FUZZ_CHECK(sgp_seats_count(result.set, CAPACITY) == result.members);
    for (int s = 0; s < CAPACITY; s++) {
        size_t bytes = 0;
        const unsigned char *payload = sgp_agree_payload(&result, s, &bytes);
        FUZZ_CHECK((payload != NULL) == sgp_seats_has(result.set, s) && bytes <= PAYLOAD);
        if (s == SEAT) FUZZ_CHECK(bytes == 4 && memcmp(payload, "mine", 4) == 0);
    }
}

static void move(sgp_agree_t *agree, unsigned switches, fuzz_input_t *input, uint64_t *calls) {
    unsigned char bytes[MOST_BYTES], live[1];
    unsigned what = fuzz_byte(input);
    int seat = (int)(what >> 2 & 7);
    size_t count;
    switch (what & 3) {
    case HEAR:
        count = fuzz_take(input, bytes, fuzz_byte(input));
        if (switches & FUZZ_REPAIR) repair(bytes, count);
        check_decode(bytes, count);
        hear(agree, seat, bytes, count);
        break;
    case LOSE:
        if (seat < CAPACITY) sgp_agree_lost(agree, seat);
        break;
    case BEGIN:
        if (*calls == UINT8_MAX) break;
        live[0] = (unsigned char)((fuzz_byte(input) & ((1 << CAPACITY) - 1)) | 1 << SEAT);
        FUZZ_CHECK(sgp_agree_begin(agree, live, "mine", 4) == SGP_OK);
        ++*calls;
        break;
    default:
        if (what & 0x80) sgp_agree_farewell(agree);
        send_all(agree);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    sgp_agree_options_t options = {.limits = limits, .seat = SEAT};
    sgp_agree_t *agree = NULL;
    uint64_t calls = 0;
    unsigned switches = fuzz_byte(&input);
    FUZZ_CHECK(sgp_agree_create(&options, &agree) == SGP_OK);
    while (input.left) {
        move(agree, switches, &input, &calls);
        check_result(agree);
    }
    send_all(agree);
    sgp_agree_destroy(agree);
    return 0;
}
