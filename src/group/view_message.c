/* SPDX-License-Identifier: Apache-2.0 */
#include "group/view_message.h"

#include "base/bytes.h"
#include "group/view_seats.h"

#include <assert.h>

enum { AT_COUNT = 0, AT_FLAGS = 2 };

/* A message being written. */
typedef struct writer {
    unsigned char *bytes;
    size_t at, room;
    unsigned count;
} writer_t;

static writer_t begin(unsigned char *bytes, size_t room) {
    return (writer_t){bytes, SGP_VIEW_HEAD, room < SGP_VIEW_MOST_BYTES ? room : SGP_VIEW_MOST_BYTES,
                      0};
}

/* false: it does not fit. */
static bool add(writer_t *writer, const sgp_member_notice_t *notice) {
    if (sgp_member_notice_bytes(notice) > writer->room - writer->at) return false;
    sgp_member_notice_encode(notice, writer->bytes + writer->at);
    writer->at += sgp_member_notice_bytes(notice);
    writer->count++;
    return true;
}

static size_t end(writer_t *writer, unsigned flags) {
    sgp_bytes_put(writer->bytes + AT_COUNT, writer->count, 2);
    sgp_bytes_put(writer->bytes + AT_FLAGS, flags, 2);
    return writer->at;
}

/* A seat's notices are numbered: JOIN and end of the newest incarnation, and so on. false: there is
 * none of this number. */
static bool notice_at(const sgp_view_t *view, int seat, unsigned part,
                      sgp_member_notice_t *notice) {
    return part % 2 ? sgp_view_end_of(view, seat, part / 2, notice)
                    : sgp_view_join_of(view, seat, part / 2, notice);
}

static unsigned parts_of(const sgp_view_t *view, int seat) {
    return view->seats[seat].used ? 2 * sgp_view_kept(&view->seats[seat]) : 0;
}

size_t sgp_view_encode(const sgp_view_t *view, unsigned flags, sgp_view_cursor_t *cursor,
                       unsigned char *bytes, size_t room) {
    assert(room >= SGP_VIEW_LEAST_ROOM);
    writer_t writer = begin(bytes, room);
    for (; cursor->seat < view->used; cursor->seat++, cursor->part = 0) {
        for (; cursor->part < parts_of(view, cursor->seat); cursor->part++) {
            sgp_member_notice_t notice;
            if (notice_at(view, cursor->seat, cursor->part, &notice) && !add(&writer, &notice))
                return end(&writer, flags);
        }
    }
    cursor->done = true;
    return end(&writer, flags);
}

size_t sgp_view_encode_notices(const sgp_member_notice_t *notices, int count, unsigned flags,
                               unsigned char *bytes, size_t room) {
    writer_t writer = begin(bytes, room);
    if (room < SGP_VIEW_HEAD) return 0;
    for (int i = 0; i < count; i++)
        if (!add(&writer, &notices[i])) return 0;
    return end(&writer, flags);
}

/* Reads the notice at *at, and moves *at behind it. */
static sgp_status_t read_next(const sgp_view_t *view, const unsigned char *bytes, size_t size,
                              size_t *at, sgp_member_notice_t *notice, const char **reason) {
    sgp_status_t status =
        sgp_member_notice_decode(bytes + *at, size - *at, view->capacity, notice, reason);
    if (status != SGP_OK) return status;
    const char *wrong = sgp_view_check(view, notice);
    if (wrong) return *reason = wrong, SGP_ERR_FORMAT;
    *at += sgp_member_notice_bytes(notice);
    return SGP_OK;
}

static sgp_status_t check(const sgp_view_t *view, const unsigned char *bytes, size_t size,
                          const char **reason) {
    if (size < SGP_VIEW_HEAD) return *reason = "a view is cut off", SGP_ERR_FORMAT;
    if (size > SGP_VIEW_MOST_BYTES) return *reason = "a view that is too long", SGP_ERR_FORMAT;
    if (sgp_bytes_get(bytes + AT_FLAGS, 2) & ~(uint64_t)SGP_VIEW_YOU_WERE_SILENT)
        return *reason = "unknown flags of a view", SGP_ERR_FORMAT;
    size_t at = SGP_VIEW_HEAD;
    for (uint64_t left = sgp_bytes_get(bytes + AT_COUNT, 2); left > 0; left--) {
        sgp_member_notice_t notice;
        sgp_status_t status = read_next(view, bytes, size, &at, &notice, reason);
        if (status != SGP_OK) return status;
    }
    if (at != size) return *reason = "bytes behind the notices of a view", SGP_ERR_FORMAT;
    return SGP_OK;
}

sgp_status_t sgp_view_decode(sgp_view_t *view, const unsigned char *bytes, size_t size,
                             unsigned *flags, bool *news, const char **reason) {
    sgp_status_t status = check(view, bytes, size, reason);
    if (status != SGP_OK) return status;
    uint64_t before = view->version;
    sgp_member_notice_t notice;
    for (size_t at = SGP_VIEW_HEAD; at < size;) {
        status = read_next(view, bytes, size, &at, &notice, reason);
        if (status != SGP_OK) return status;
        sgp_view_merge(view, &notice);
    }
    *flags = (unsigned)sgp_bytes_get(bytes + AT_FLAGS, 2);
    *news = view->version != before;
    return SGP_OK;
}
