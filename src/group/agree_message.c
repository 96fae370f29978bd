/* SPDX-License-Identifier: Apache-2.0 */
#include "group/agree_message.h"

#include "base/bytes.h"
#include "group/seats.h"

#include <string.h>

enum {
    AT_CALL = 0,
    AT_FORM = 8,
    AT_ATTEMPT = 12,
    AT_FIRST = 16,
    AT_PAYLOADS = 20,
    AT_RESERVED = 24,
    LENGTH_BYTES = 4,
};

size_t sgp_agree_message_room(const sgp_agree_limits_t *limits) {
    return SGP_AGREE_HEAD + sgp_seats_bytes(limits->capacity) + LENGTH_BYTES +
           limits->payload_bytes;
}

unsigned char *sgp_agree_message_begin(const sgp_agree_limits_t *limits,
                                       const sgp_agree_message_t *message, unsigned char *bytes) {
    size_t set_bytes = sgp_seats_bytes(limits->capacity);
    sgp_bytes_put(bytes + AT_CALL, message->call, 8);
    sgp_bytes_put(bytes + AT_FORM, (uint64_t)message->form, 4);
    sgp_bytes_put(bytes + AT_ATTEMPT, message->attempt, 4);
    sgp_bytes_put(bytes + AT_FIRST, (uint64_t)message->first, 4);
    sgp_bytes_put(bytes + AT_PAYLOADS, (uint64_t)message->payloads, 4);
    sgp_bytes_put(bytes + AT_RESERVED, 0, 8);
    memcpy(bytes + SGP_AGREE_HEAD, message->set, set_bytes);
    return bytes + SGP_AGREE_HEAD + set_bytes;
}

unsigned char *sgp_agree_payload_put(unsigned char *at, const void *payload, size_t bytes) {
    sgp_bytes_put(at, bytes, LENGTH_BYTES);
    if (bytes) memcpy(at + LENGTH_BYTES, payload, bytes);
    return at + LENGTH_BYTES + bytes;
}

const unsigned char *sgp_agree_payload_get(const unsigned char *at, const unsigned char **payload,
                                           size_t *bytes) {
    *bytes = (size_t)sgp_bytes_get(at, LENGTH_BYTES);
    *payload = at + LENGTH_BYTES;
    return *payload + *bytes;
}

/* ---- checks; each returns the cause, or NULL ---- */

static const char *check_set(const sgp_agree_limits_t *limits, const unsigned char *set,
                             uint64_t first) {
    int beyond = limits->capacity % 8;
    if (beyond && set[limits->capacity / 8] >> beyond) return "its set has a seat that is none";
    if (first >= (uint64_t)limits->capacity || !sgp_seats_has(set, (int)first))
        return "its first payload is of no member";
    return NULL;
}

/* So many members from `first` on, which is one. */
static bool has_members(const sgp_agree_limits_t *limits, const unsigned char *set, int first,
                        uint64_t count) {
    int seat = first;
    for (uint64_t i = 1; i < count && seat >= 0; i++)
        seat = sgp_seats_next(set, limits->capacity, seat + 1);
    return count > 0 && count <= (uint64_t)limits->capacity && seat >= 0;
}

static const char *check_payloads(const sgp_agree_limits_t *limits, const unsigned char *at,
                                  size_t left, int payloads) {
    for (int i = 0; i < payloads; i++) {
        if (left < LENGTH_BYTES) return "it ends in a payload";
        uint64_t bytes = sgp_bytes_get(at, LENGTH_BYTES);
        if (bytes > limits->payload_bytes) return "a payload is too long";
        if (bytes > left - LENGTH_BYTES) return "it ends in a payload";
        at += LENGTH_BYTES + bytes;
        left -= LENGTH_BYTES + (size_t)bytes;
    }
    return left ? "bytes follow its last payload" : NULL;
}

static const char *check(const sgp_agree_limits_t *limits, const unsigned char *bytes,
                         size_t count) {
    size_t before = SGP_AGREE_HEAD + sgp_seats_bytes(limits->capacity);
    if (count < before) return "it is too short";
    if (count > sgp_agree_message_room(limits)) return "it is too long";
    const unsigned char *set = bytes + SGP_AGREE_HEAD;
    uint64_t form = sgp_bytes_get(bytes + AT_FORM, 4);
    uint64_t attempt = sgp_bytes_get(bytes + AT_ATTEMPT, 4);
    uint64_t first = sgp_bytes_get(bytes + AT_FIRST, 4);
    uint64_t payloads = sgp_bytes_get(bytes + AT_PAYLOADS, 4);
    if (form != SGP_AGREE_STATE && form != SGP_AGREE_DECIDED) return "unknown form";
    if ((form == SGP_AGREE_STATE) != (attempt > 0)) return "its attempt is not of its form";
    if (sgp_bytes_get(bytes + AT_RESERVED, 8)) return "reserved bytes are not zero";
    const char *reason = check_set(limits, set, first);
    if (reason) return reason;
    if (form == SGP_AGREE_STATE && payloads != 1) return "a STATE has one payload";
    if (!has_members(limits, set, (int)first, payloads)) return "more payloads than members";
    return check_payloads(limits, bytes + before, count - before, (int)payloads);
}

sgp_status_t sgp_agree_message_decode(const sgp_agree_limits_t *limits, const unsigned char *bytes,
                                      size_t count, sgp_agree_message_t *message,
                                      const char **reason) {
    const char *cause = check(limits, bytes, count);
    if (cause) return *reason = cause, SGP_ERR_FORMAT;
    const unsigned char *set = bytes + SGP_AGREE_HEAD;
    *message = (sgp_agree_message_t){.call = sgp_bytes_get(bytes + AT_CALL, 8),
                                     .form = (sgp_agree_form_t)sgp_bytes_get(bytes + AT_FORM, 4),
                                     .attempt = (uint32_t)sgp_bytes_get(bytes + AT_ATTEMPT, 4),
                                     .first = (int)sgp_bytes_get(bytes + AT_FIRST, 4),
                                     .payloads = (int)sgp_bytes_get(bytes + AT_PAYLOADS, 4),
                                     .set = set,
                                     .contents = set + sgp_seats_bytes(limits->capacity)};
    return SGP_OK;
}
