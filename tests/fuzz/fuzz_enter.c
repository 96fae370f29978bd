/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a candidate and its sponsor (group/join/enter_message.h): switches, then the head and the contents of one.
 * With REPAIR the numbers that must fit together are made to. */
#include "fuzz.h"

#include "base/bytes.h"
#include "group/join/enter_message.h"

#include <xxhash.h>

enum { MOST = 2048, REQUEST_HEAD = 32, WELCOME_HEAD = 64 };

static void repair_endpoint(unsigned char *bytes) {
    memcpy(bytes, "SGPC\1\0\0\0", 8);
    sgp_bytes_put(bytes + 8, UINT32_MAX, 4); /* rank -1 */
    sgp_bytes_put(bytes + 12, 1, 4);
    sgp_bytes_put(bytes + SGP_ENDPOINT_BYTES - 8, XXH3_64bits(bytes, SGP_ENDPOINT_BYTES - 8), 8);
}

static void repair_request(unsigned char *bytes, size_t count) {
    if (count < REQUEST_HEAD + SGP_ENDPOINT_BYTES) return;
    sgp_bytes_put(bytes + 16, (uint32_t)((int)(bytes[16] % 5) - 1), 4);
    sgp_bytes_put(bytes + 24, count - REQUEST_HEAD - SGP_ENDPOINT_BYTES, 4);
    sgp_bytes_put(bytes + 28, 0, 4);
    repair_endpoint(bytes + REQUEST_HEAD);
}

/* As many members as fit, and the rest is divided between view and blob. */
static void repair_welcome(unsigned char *bytes, size_t count) {
    if (count < WELCOME_HEAD) return;
    size_t room = count - WELCOME_HEAD, members = bytes[44] % 4;
    if (members > room / SGP_ENTER_MEMBER_BYTES) members = room / SGP_ENTER_MEMBER_BYTES;
    room -= members * SGP_ENTER_MEMBER_BYTES;
    size_t view = bytes[48] % (room + 1);
    sgp_bytes_put(bytes, 5 + bytes[0] % 3, 4);
    sgp_bytes_put(bytes + 4, 1 + bytes[4] % 5, 4);
    sgp_bytes_put(bytes + 8, bytes[8] % 6, 4);
    sgp_bytes_put(bytes + 24, 64, 8);
    sgp_bytes_put(bytes + 40, bytes[40], 4);
    sgp_bytes_put(bytes + 44, members, 4);
    sgp_bytes_put(bytes + 48, view, 4);
    sgp_bytes_put(bytes + 52, room - view, 4);
    sgp_bytes_put(bytes + 56, 0, 8);
}

static void check_request(const unsigned char *bytes, size_t count) {
    unsigned char again[MOST];
    sgp_enter_request_t request;
    if (!sgp_enter_request_decode(bytes, count, &request)) return;
    FUZZ_CHECK(request.candidate != 0 && request.seat >= -1);
    FUZZ_CHECK(request.detail_bytes <= SGP_ENTER_DETAIL_BYTES);
    FUZZ_CHECK((const unsigned char *)request.detail + request.detail_bytes == bytes + count);
    FUZZ_CHECK(request.endpoint.rank == -1);
    FUZZ_CHECK(sgp_enter_request_bytes(&request) == count);
    sgp_enter_request_encode(&request, again);
    sgp_enter_request_t same;
    FUZZ_CHECK(sgp_enter_request_decode(again, count, &same));
    FUZZ_CHECK(same.candidate == request.candidate && same.seat == request.seat);
}

static void check_welcome(const unsigned char *bytes, size_t count) {
    unsigned char again[MOST];
    sgp_welcome_t welcome;
    bool own = false;
    if (!sgp_welcome_decode(bytes, count, &welcome)) return;
    FUZZ_CHECK(welcome.seat >= 0 && welcome.seat < welcome.capacity);
    FUZZ_CHECK(welcome.founders >= 1 && welcome.founders <= welcome.capacity);
    FUZZ_CHECK((const unsigned char *)welcome.blob + welcome.blob_bytes == bytes + count);
    for (int i = 0, last = -1; i < welcome.members; i++) {
        sgp_enter_member_t member;
        sgp_welcome_member(&welcome, i, &member);
        FUZZ_CHECK(member.seat > last && member.seat < welcome.capacity);
        own |= member.seat == welcome.seat && member.present;
        FUZZ_CHECK(fuzz_is_text(member.address, sizeof member.address));
        last = member.seat;
    }
    FUZZ_CHECK(own);
    FUZZ_CHECK(sgp_welcome_bytes(&welcome) == count);
    sgp_welcome_encode(&welcome, again);
    FUZZ_CHECK(memcmp(again, bytes, count) == 0);
}

static void check_refused(const unsigned char *bytes, size_t count) {
    unsigned char again[1 + SGP_ENTER_REASON];
    char reason[SGP_ENTER_REASON];
    bool may;
    if (!sgp_enter_refused_decode(bytes, count, reason, &may)) return;
    FUZZ_CHECK(fuzz_is_text(reason, sizeof reason));
    FUZZ_CHECK(sgp_enter_refused_encode(reason, may, again) == count);
    FUZZ_CHECK(memcmp(again, bytes, count) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned char head[SGP_ENTER_HEAD], bytes[MOST];
    unsigned switches = fuzz_byte(&input);
    if (fuzz_take(&input, head, sizeof head) < sizeof head) return 0;
    size_t count = fuzz_take(&input, bytes, sizeof bytes), stated = 0;
    sgp_enter_kind_t kind;
    if (switches & FUZZ_REPAIR) {
        sgp_bytes_put(head, 1 + head[0] % SGP_ENTER_KIND_LAST, 4);
        if (head[0] == SGP_ENTER_REQUEST) repair_request(bytes, count);
        if (head[0] == SGP_ENTER_WELCOME) repair_welcome(bytes, count);
    }
    if (sgp_enter_head_decode(head, &kind, &stated))
        FUZZ_CHECK(stated <=
                   (kind == SGP_ENTER_STATE ? SGP_ENTER_STATE_BYTES : SGP_ENTER_WELCOME_BYTES));
    else if (!(switches & FUZZ_REPAIR)) return 0;
    check_request(bytes, count);
    check_welcome(bytes, count);
    check_refused(bytes, count);
    return 0;
}
