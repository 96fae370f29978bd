/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/enter_message.h"

#include "base/bytes.h"

#include <string.h>

/* ---- heads ---- */

void sgp_enter_head_encode(sgp_enter_kind_t kind, size_t bytes,
                           unsigned char head[SGP_ENTER_HEAD]) {
    sgp_bytes_put(head, kind, 4);
    sgp_bytes_put(head + 4, (uint32_t)bytes, 4);
}

static size_t most_bytes(uint64_t kind) {
    switch (kind) {
    case SGP_ENTER_REQUEST:
        return SGP_ENTER_REQUEST_BYTES;
    case SGP_ENTER_WELCOME:
        return SGP_ENTER_WELCOME_BYTES;
    case SGP_ENTER_ADMITTED:
        return 8;
    case SGP_ENTER_REFUSED:
        return SGP_ENTER_REASON;
    case SGP_ENTER_STATE:
        return SGP_ENTER_STATE_BYTES;
    default:
        return 0;
    }
}

bool sgp_enter_head_decode(const unsigned char head[SGP_ENTER_HEAD], sgp_enter_kind_t *kind,
                           size_t *bytes) {
    uint64_t found = sgp_bytes_get(head, 4), count = sgp_bytes_get(head + 4, 4);
    if (found < SGP_ENTER_REQUEST || found > SGP_ENTER_KIND_LAST) return false;
    if (count > most_bytes(found)) return false;
    *kind = (sgp_enter_kind_t)found;
    *bytes = (size_t)count;
    return true;
}

/* Printable text that ends within `room`; the rest is zeros. */
static bool take_text(const unsigned char *at, char *text, size_t room) {
    size_t length = strnlen((const char *)at, room);
    if (length == room) return false;
    for (size_t i = 0; i < room; i++)
        if (i < length ? at[i] < ' ' || at[i] > '~' : at[i] != 0) return false;
    memcpy(text, at, room);
    return true;
}

/* ---- requests ---- */

enum {
    AT_CANDIDATE = 0,
    AT_OPTIONS = 8,
    AT_SEAT = 16,
    AT_INCARNATION = 20,
    AT_DETAIL_BYTES = 24,
    AT_RESERVED = 28,
    AT_ENDPOINT = 32,
    AT_DETAIL = AT_ENDPOINT + SGP_ENDPOINT_BYTES,
};

size_t sgp_enter_request_bytes(const sgp_enter_request_t *request) {
    return AT_DETAIL + request->detail_bytes;
}

void sgp_enter_request_encode(const sgp_enter_request_t *request, unsigned char *bytes) {
    memset(bytes, 0, AT_DETAIL);
    sgp_bytes_put(bytes + AT_CANDIDATE, request->candidate, 8);
    sgp_bytes_put(bytes + AT_OPTIONS, request->options, 8);
    sgp_bytes_put(bytes + AT_SEAT, (uint32_t)request->seat, 4);
    sgp_bytes_put(bytes + AT_INCARNATION, request->incarnation, 4);
    sgp_bytes_put(bytes + AT_DETAIL_BYTES, request->detail_bytes, 4);
    sgp_endpoint_encode(&request->endpoint, bytes + AT_ENDPOINT);
    if (request->detail_bytes) memcpy(bytes + AT_DETAIL, request->detail, request->detail_bytes);
}

bool sgp_enter_request_decode(const unsigned char *bytes, size_t count,
                              sgp_enter_request_t *request) {
    if (count < AT_DETAIL || sgp_bytes_get(bytes + AT_RESERVED, 4)) return false;
    sgp_enter_request_t read = {
        .candidate = sgp_bytes_get(bytes + AT_CANDIDATE, 8),
        .options = sgp_bytes_get(bytes + AT_OPTIONS, 8),
        .seat = (int)(int32_t)sgp_bytes_get(bytes + AT_SEAT, 4),
        .incarnation = (uint32_t)sgp_bytes_get(bytes + AT_INCARNATION, 4),
        .detail = bytes + AT_DETAIL,
        .detail_bytes = (size_t)sgp_bytes_get(bytes + AT_DETAIL_BYTES, 4),
    };
    if (!read.candidate || read.seat < -1 || read.seat >= SGP_MOST_PROCESSES) return false;
    if (read.detail_bytes > SGP_ENTER_DETAIL_BYTES || read.detail_bytes != count - AT_DETAIL)
        return false;
    if (sgp_endpoint_decode(bytes + AT_ENDPOINT, &read.endpoint) != SGP_OK) return false;
    if (read.endpoint.rank != -1) return false;
    *request = read;
    return true;
}

/* ---- welcomes ---- */

enum {
    AT_CAPACITY = 0,
    AT_FOUNDERS = 4,
    AT_NEW_SEAT = 8,
    AT_NEW_INCARNATION = 12,
    AT_RUN = 16,
    AT_CHUNK_BYTES = 24,
    AT_RUN_OPTIONS = 32,
    AT_PEER_TIMEOUT = 40,
    AT_MEMBERS = 44,
    AT_VIEW_BYTES = 48,
    AT_BLOB_BYTES = 52,
    AT_WELCOME_RESERVED = 56,
    AT_TABLE = 64,
};

enum { MEMBER_SEAT = 0, MEMBER_PRESENT = 2, MEMBER_INCARNATION = 4, MEMBER_ADDRESS = 8 };

_Static_assert(MEMBER_ADDRESS + SGP_ADDRESS_TEXT == SGP_ENTER_MEMBER_BYTES, "of a member");

size_t sgp_welcome_bytes(const sgp_welcome_t *welcome) {
    return AT_TABLE + (size_t)welcome->members * SGP_ENTER_MEMBER_BYTES + welcome->view_bytes +
           welcome->blob_bytes;
}

void sgp_welcome_put_member(const sgp_enter_member_t *member, unsigned char *bytes) {
    memset(bytes, 0, SGP_ENTER_MEMBER_BYTES);
    sgp_bytes_put(bytes + MEMBER_SEAT, (uint32_t)member->seat, 2);
    sgp_bytes_put(bytes + MEMBER_PRESENT, member->present, 2);
    sgp_bytes_put(bytes + MEMBER_INCARNATION, member->incarnation, 4);
    memcpy(bytes + MEMBER_ADDRESS, member->address, strnlen(member->address, SGP_ADDRESS_TEXT - 1));
}

void sgp_welcome_encode(const sgp_welcome_t *welcome, unsigned char *bytes) {
    size_t table = (size_t)welcome->members * SGP_ENTER_MEMBER_BYTES;
    memset(bytes, 0, AT_TABLE);
    sgp_bytes_put(bytes + AT_CAPACITY, (uint32_t)welcome->capacity, 4);
    sgp_bytes_put(bytes + AT_FOUNDERS, (uint32_t)welcome->founders, 4);
    sgp_bytes_put(bytes + AT_NEW_SEAT, (uint32_t)welcome->seat, 4);
    sgp_bytes_put(bytes + AT_NEW_INCARNATION, welcome->incarnation, 4);
    sgp_bytes_put(bytes + AT_RUN, welcome->run, 8);
    sgp_bytes_put(bytes + AT_CHUNK_BYTES, welcome->chunk_bytes, 8);
    sgp_bytes_put(bytes + AT_RUN_OPTIONS, welcome->options, 8);
    sgp_bytes_put(bytes + AT_PEER_TIMEOUT, (uint32_t)welcome->peer_timeout_ms, 4);
    sgp_bytes_put(bytes + AT_MEMBERS, (uint32_t)welcome->members, 4);
    sgp_bytes_put(bytes + AT_VIEW_BYTES, welcome->view_bytes, 4);
    sgp_bytes_put(bytes + AT_BLOB_BYTES, welcome->blob_bytes, 4);
    unsigned char *at = bytes + AT_TABLE;
    if (table) memcpy(at, welcome->table, table);
    if (welcome->view_bytes) memcpy(at + table, welcome->view, welcome->view_bytes);
    if (welcome->blob_bytes)
        memcpy(at + table + welcome->view_bytes, welcome->blob, welcome->blob_bytes);
}

/* -1: it is none. */
static int seat_of(const unsigned char *bytes) {
    uint64_t present = sgp_bytes_get(bytes + MEMBER_PRESENT, 2);
    char text[SGP_ADDRESS_TEXT];
    if (present > 1 || !take_text(bytes + MEMBER_ADDRESS, text, sizeof text)) return -1;
    return (int)sgp_bytes_get(bytes + MEMBER_SEAT, 2);
}

static bool check_members(const sgp_welcome_t *welcome) {
    bool has_own = false;
    for (int i = 0, last = -1; i < welcome->members; i++) {
        sgp_enter_member_t member;
        sgp_welcome_member(welcome, i, &member);
        if (member.seat <= last || member.seat >= welcome->capacity) return false;
        last = member.seat;
        if (member.seat != welcome->seat) continue;
        has_own = member.present && member.incarnation == welcome->incarnation;
        if (!has_own) return false;
    }
    return has_own;
}

static bool check_numbers(const sgp_welcome_t *welcome) {
    return welcome->capacity >= 1 && welcome->capacity <= SGP_MOST_PROCESSES &&
           welcome->founders >= 1 && welcome->founders <= welcome->capacity && welcome->seat >= 0 &&
           welcome->seat < welcome->capacity && welcome->run != 0 && welcome->chunk_bytes > 0 &&
           welcome->chunk_bytes % 64 == 0 && welcome->chunk_bytes <= (UINT64_C(1) << 30) &&
           welcome->peer_timeout_ms >= 0 && welcome->members >= 0 &&
           welcome->members <= welcome->capacity && welcome->view_bytes <= SGP_ENTER_VIEW_BYTES &&
           welcome->blob_bytes <= SGP_ENTER_BLOB_BYTES;
}

bool sgp_welcome_decode(const unsigned char *bytes, size_t count, sgp_welcome_t *welcome) {
    if (count < AT_TABLE || sgp_bytes_get(bytes + AT_WELCOME_RESERVED, 8)) return false;
    sgp_welcome_t read = {
        .capacity = (int)(int32_t)sgp_bytes_get(bytes + AT_CAPACITY, 4),
        .founders = (int)(int32_t)sgp_bytes_get(bytes + AT_FOUNDERS, 4),
        .seat = (int)(int32_t)sgp_bytes_get(bytes + AT_NEW_SEAT, 4),
        .incarnation = (uint32_t)sgp_bytes_get(bytes + AT_NEW_INCARNATION, 4),
        .run = sgp_bytes_get(bytes + AT_RUN, 8),
        .chunk_bytes = sgp_bytes_get(bytes + AT_CHUNK_BYTES, 8),
        .options = sgp_bytes_get(bytes + AT_RUN_OPTIONS, 8),
        .peer_timeout_ms = (int)(int32_t)sgp_bytes_get(bytes + AT_PEER_TIMEOUT, 4),
        .members = (int)(int32_t)sgp_bytes_get(bytes + AT_MEMBERS, 4),
        .table = bytes + AT_TABLE,
        .view_bytes = (size_t)sgp_bytes_get(bytes + AT_VIEW_BYTES, 4),
        .blob_bytes = (size_t)sgp_bytes_get(bytes + AT_BLOB_BYTES, 4),
    };
    if (!check_numbers(&read) || sgp_welcome_bytes(&read) != count || !check_members(&read))
        return false;
    read.view = bytes + AT_TABLE + (size_t)read.members * SGP_ENTER_MEMBER_BYTES;
    read.blob = (const unsigned char *)read.view + read.view_bytes;
    *welcome = read;
    return true;
}

void sgp_welcome_member(const sgp_welcome_t *welcome, int index, sgp_enter_member_t *member) {
    const unsigned char *at =
        (const unsigned char *)welcome->table + (size_t)index * SGP_ENTER_MEMBER_BYTES;
    *member =
        (sgp_enter_member_t){.seat = seat_of(at),
                             .present = sgp_bytes_get(at + MEMBER_PRESENT, 2) != 0,
                             .incarnation = (uint32_t)sgp_bytes_get(at + MEMBER_INCARNATION, 4)};
    memcpy(member->address, at + MEMBER_ADDRESS, SGP_ADDRESS_TEXT);
}

/* ---- refusals ---- */

size_t sgp_enter_refused_encode(const char *reason, bool again, unsigned char *bytes) {
    size_t length = strnlen(reason, SGP_ENTER_REASON - 1);
    bytes[0] = again;
    for (size_t i = 0; i < length; i++)
        bytes[1 + i] = (unsigned char)(reason[i] >= ' ' && reason[i] <= '~' ? reason[i] : '?');
    return 1 + length;
}

bool sgp_enter_refused_decode(const unsigned char *bytes, size_t count,
                              char reason[SGP_ENTER_REASON], bool *again) {
    if (count < 1 || count > SGP_ENTER_REASON || bytes[0] > 1) return false;
    for (size_t i = 1; i < count; i++)
        if (bytes[i] < ' ' || bytes[i] > '~') return false;
    memcpy(reason, bytes + 1, count - 1);
    reason[count - 1] = '\0';
    *again = bytes[0] == 1;
    return true;
}
