/* SPDX-License-Identifier: Apache-2.0 */
#include "group/member_notice.h"

#include "base/bytes.h"

#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

/* Byte offsets of the fields. */
enum {
    AT_KIND = 0,
    AT_FLAGS = 1,
    AT_SEAT = 2,
    AT_INCARNATION = 4,
    AT_STEP = 8,
    AT_LAST = 16,
    AT_CANDIDATE = 24,
    AT_ORIGIN = 32,
    AT_CARD_BYTES = 34,
    AT_RESERVED = 36,
};

static const char *check_join(const sgp_member_notice_t *notice) {
    if (notice->flags) return "unknown flags of a notice";
    if (notice->last) return "a JOIN with a last step";
    if (!notice->candidate) return "a JOIN without a candidate";
    if (notice->card_bytes > SGP_MEMBER_CARD_BYTES) return "a card that is too long";
    return NULL;
}

static const char *check_end(const sgp_member_notice_t *notice) {
    unsigned flags = notice->kind == SGP_MEMBER_DEAD ? SGP_MEMBER_CERTAIN : 0;
    if (notice->flags & ~flags) return "unknown flags of a notice";
    if (notice->last >= SGP_MEMBER_STEPS) return "a last step that no run reaches";
    if (notice->candidate) return "a candidate in a notice that is no JOIN";
    if (notice->card_bytes) return "a card in a notice that is no JOIN";
    return NULL;
}

const char *sgp_member_notice_check(const sgp_member_notice_t *notice, int capacity) {
    if (notice->kind < SGP_MEMBER_JOIN || notice->kind > SGP_MEMBER_DEAD)
        return "unknown kind of a notice";
    if (notice->seat < 0 || notice->seat >= capacity) return "a notice about no seat of the group";
    if (notice->origin < 0 || notice->origin >= capacity) return "a notice by no seat of the group";
    if (notice->step == 0 || notice->step % SGP_MEMBER_STEP_UNIT)
        return "a notice with a step at which no graph is formed";
    if (notice->step >= SGP_MEMBER_STEPS) return "a notice with a step that no run reaches";
    return notice->kind == SGP_MEMBER_JOIN ? check_join(notice) : check_end(notice);
}

void sgp_member_notice_encode(const sgp_member_notice_t *notice, unsigned char *bytes) {
    sgp_bytes_put(bytes + AT_KIND, (uint64_t)notice->kind, 1);
    sgp_bytes_put(bytes + AT_FLAGS, notice->flags, 1);
    sgp_bytes_put(bytes + AT_SEAT, (uint64_t)notice->seat, 2);
    sgp_bytes_put(bytes + AT_INCARNATION, notice->incarnation, 4);
    sgp_bytes_put(bytes + AT_STEP, notice->step, 8);
    sgp_bytes_put(bytes + AT_LAST, notice->last, 8);
    sgp_bytes_put(bytes + AT_CANDIDATE, notice->candidate, 8);
    sgp_bytes_put(bytes + AT_ORIGIN, (uint64_t)notice->origin, 2);
    sgp_bytes_put(bytes + AT_CARD_BYTES, notice->card_bytes, 2);
    sgp_bytes_put(bytes + AT_RESERVED, 0, 4);
    if (notice->card_bytes)
        memcpy(bytes + SGP_MEMBER_NOTICE_BYTES, notice->card, notice->card_bytes);
}

sgp_status_t sgp_member_notice_decode(const unsigned char *bytes, size_t size, int capacity,
                                      sgp_member_notice_t *notice, const char **reason) {
    if (size < SGP_MEMBER_NOTICE_BYTES) return *reason = "a notice is cut off", SGP_ERR_FORMAT;
    sgp_member_notice_t read = {
        .kind = (sgp_member_notice_kind_t)sgp_bytes_get(bytes + AT_KIND, 1),
        .flags = (unsigned)sgp_bytes_get(bytes + AT_FLAGS, 1),
        .seat = (int)sgp_bytes_get(bytes + AT_SEAT, 2),
        .incarnation = (uint32_t)sgp_bytes_get(bytes + AT_INCARNATION, 4),
        .step = sgp_bytes_get(bytes + AT_STEP, 8),
        .last = sgp_bytes_get(bytes + AT_LAST, 8),
        .candidate = sgp_bytes_get(bytes + AT_CANDIDATE, 8),
        .origin = (int)sgp_bytes_get(bytes + AT_ORIGIN, 2),
        .card_bytes = (size_t)sgp_bytes_get(bytes + AT_CARD_BYTES, 2),
    };
    const char *wrong = sgp_member_notice_check(&read, capacity);
    if (wrong) return *reason = wrong, SGP_ERR_FORMAT;
    if (sgp_bytes_get(bytes + AT_RESERVED, 4))
        return *reason = "a reserved field of a notice is not 0", SGP_ERR_FORMAT;
    if (read.card_bytes > size - SGP_MEMBER_NOTICE_BYTES)
        return *reason = "a card is cut off", SGP_ERR_FORMAT;
    if (read.card_bytes) read.card = bytes + SGP_MEMBER_NOTICE_BYTES;
    *notice = read;
    return SGP_OK;
}

uint64_t sgp_member_notice_hash(const sgp_member_notice_t *notice) {
    unsigned char bytes[31];
    sgp_bytes_put(bytes, (uint64_t)notice->kind, 1);
    sgp_bytes_put(bytes + 1, (uint64_t)notice->seat, 2);
    sgp_bytes_put(bytes + 3, notice->incarnation, 4);
    sgp_bytes_put(bytes + 7, notice->step, 8);
    sgp_bytes_put(bytes + 15, notice->last, 8);
    sgp_bytes_put(bytes + 23, notice->candidate, 8);
    return XXH3_64bits(bytes, sizeof bytes);
}
