/* SPDX-License-Identifier: Apache-2.0 */
#include "data/segments_record.h"

#include "base/bytes.h"
#include "base/logging.h"

#include <inttypes.h>
#include <string.h>

enum {
    HEADER_BYTES = 64,
    MEMBER_BYTES = 40,
    PLAIN_BYTES = 8, /* a member that is there from the first step on, and not known to leave */
    RANGE_BYTES = 16,
    ABSENCE_BYTES = 24,
    VERSION = 1
};

static const char magic[4] = {'S', 'G', 'P', 'D'};

/* ---- writing ---- */

static bool is_plain(const segments_t *segments, const segments_member_t *member) {
    return member->joins <= segments->start.step && member->leaves == SEGMENTS_NEVER;
}

static size_t count_plain(const segments_t *segments) {
    size_t count = 0;
    for (size_t i = 0; i < segments->member_count; i++)
        count += is_plain(segments, &segments->members[i]);
    return count;
}

/* Without the absences. */
static size_t least_bytes(const segments_t *segments, segments_form_t form) {
    size_t ranges = segments->used.count + (form == SEGMENTS_WHOLE ? segments->given.count : 0);
    size_t plain = count_plain(segments), others = segments->member_count - plain;
    return HEADER_BYTES + others * MEMBER_BYTES + plain * PLAIN_BYTES + ranges * RANGE_BYTES;
}

size_t segments_record_bytes(const segments_t *segments, segments_form_t form) {
    return least_bytes(segments, form) + segments->absence_count * ABSENCE_BYTES;
}

static unsigned char *put(unsigned char *at, uint64_t value) {
    sgp_bytes_put(at, value, 8);
    return at + 8;
}

static void put_header(const segments_t *segments, segments_form_t form, uint64_t self,
                       size_t absences, unsigned char *bytes) {
    const cursor_t *start = &segments->start;
    memcpy(bytes, magic, sizeof magic);
    sgp_bytes_put(bytes + 4, VERSION, 1);
    sgp_bytes_put(bytes + 5, (uint64_t)form, 1);
    sgp_bytes_put(bytes + 6, (uint64_t)start->workers, 2);
    sgp_bytes_put(bytes + 8, (uint64_t)start->batch, 4);
    sgp_bytes_put(bytes + 12, segments->member_count - count_plain(segments), 4);
    sgp_bytes_put(bytes + 16, start->count, 8);
    sgp_bytes_put(bytes + 24, start->step, 8);
    sgp_bytes_put(bytes + 32, start->begin, 8);
    sgp_bytes_put(bytes + 40, form == SEGMENTS_REPORT ? self : 0, 8);
    sgp_bytes_put(bytes + 48, segments->used.count, 4);
    sgp_bytes_put(bytes + 52, form == SEGMENTS_WHOLE ? segments->given.count : 0, 4);
    sgp_bytes_put(bytes + 56, absences, 4);
    sgp_bytes_put(bytes + 60, count_plain(segments), 4);
}

static unsigned char *put_members(const segments_t *segments, unsigned char *at) {
    for (size_t i = 0; i < segments->member_count; i++) {
        const segments_member_t *member = &segments->members[i];
        if (is_plain(segments, member)) continue;
        at = put(put(at, member->number), member->joins);
        at = put(put(put(at, member->leaves), member->next), member->candidate);
    }
    for (size_t i = 0; i < segments->member_count; i++)
        if (is_plain(segments, &segments->members[i])) at = put(at, segments->members[i].number);
    return at;
}

static unsigned char *put_ranges(const position_set_t *set, unsigned char *at) {
    for (size_t i = 0; i < set->count; i++)
        at = put(put(at, set->ranges[i].first), set->ranges[i].end);
    return at;
}

/* How many absences fit. */
static size_t fitting(const segments_t *segments, segments_form_t form, size_t room) {
    size_t rest = (room - least_bytes(segments, form)) / ABSENCE_BYTES;
    if (segments->absence_count <= rest) return segments->absence_count;
    if (form == SEGMENTS_REPORT)
        sgp_log(SGP_LOG_WARNING,
                "%zu of %zu stretches of steps passed over do not fit in a report: their samples "
                "are missed",
                segments->absence_count - rest, segments->absence_count);
    return rest;
}

sgp_status_t segments_encode(const segments_t *segments, segments_form_t form, uint64_t self,
                             unsigned char *bytes, size_t room, size_t *size) {
    size_t needed = form == SEGMENTS_WHOLE ? segments_record_bytes(segments, form)
                                           : least_bytes(segments, form);
    if (needed > room)
        return sgp_fail(SGP_ERR_INVALID, "the segments of an epoch take %zu bytes: there are %zu",
                        needed, room);
    size_t absences = fitting(segments, form, room);
    put_header(segments, form, self, absences, bytes);
    unsigned char *at = put_members(segments, bytes + HEADER_BYTES);
    at = put_ranges(&segments->used, at);
    if (form == SEGMENTS_WHOLE) at = put_ranges(&segments->given, at);
    for (size_t i = 0; i < absences; i++) {
        const segments_absence_t *absence = &segments->absences[i];
        at = put(put(put(at, absence->member), absence->first), absence->end);
    }
    *size = (size_t)(at - bytes);
    return SGP_OK;
}

/* ---- reading ---- */

static uint64_t word(const unsigned char *at, size_t index) {
    return sgp_bytes_get(at + 8 * index, 8);
}

static segments_member_t member_at(const segments_record_t *record, size_t i) {
    const unsigned char *at = record->entries + i * MEMBER_BYTES;
    return (segments_member_t){word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4)};
}

static size_t member_bytes(const segments_record_t *record) {
    return record->members * MEMBER_BYTES + record->plain * PLAIN_BYTES;
}

static uint64_t plain_at(const segments_record_t *record, size_t i) {
    return word(record->entries + record->members * MEMBER_BYTES, i);
}

/* Of those used, and behind them of those given. */
static position_range_t range_at(const segments_record_t *record, size_t i) {
    const unsigned char *at = record->entries + member_bytes(record) + i * RANGE_BYTES;
    return (position_range_t){.first = word(at, 0), .end = word(at, 1)};
}

static segments_absence_t absence_at(const segments_record_t *record, size_t i) {
    const unsigned char *at = record->entries + member_bytes(record) +
                              (record->used + record->given) * RANGE_BYTES + i * ABSENCE_BYTES;
    return (segments_absence_t){word(at, 0), word(at, 1), word(at, 2)};
}

static bool is_step(uint64_t step) {
    return step <= SEGMENTS_MOST_STEPS;
}

static bool are_members_right(const segments_record_t *record) {
    for (size_t i = 0; i < record->members; i++) {
        segments_member_t member = member_at(record, i);
        if (i > 0 && member.number <= member_at(record, i - 1).number) return false;
        if (!is_step(member.joins) && member.joins != SEGMENTS_NEVER) return false;
        if (!is_step(member.leaves) && member.leaves != SEGMENTS_NEVER) return false;
        if (!is_step(member.next)) return false;
        if (member.leaves == SEGMENTS_NEVER && member.next > 0) return false;
        if (member.joins == SEGMENTS_NEVER && member.candidate > 0) return false;
    }
    for (size_t i = 1; i < record->plain; i++)
        if (plain_at(record, i) <= plain_at(record, i - 1)) return false;
    return true;
}

static bool are_ranges_right(const segments_record_t *record, size_t first, size_t count) {
    for (size_t i = first; i < first + count; i++) {
        position_range_t range = range_at(record, i);
        if (range.first >= range.end || range.end > record->start.count) return false;
        if (i > first && range.first <= range_at(record, i - 1).end) return false;
    }
    return true;
}

static bool are_absences_right(const segments_record_t *record) {
    for (size_t i = 0; i < record->absences; i++) {
        segments_absence_t absence = absence_at(record, i);
        if (absence.first >= absence.end || !is_step(absence.end)) return false;
        if (absence.first < record->start.step) return false;
        if (i == 0) continue;
        segments_absence_t last = absence_at(record, i - 1);
        if (absence.member < last.member) return false;
        if (absence.member == last.member && absence.first <= last.end) return false;
    }
    return true;
}

static void get_header(const unsigned char *bytes, segments_record_t *record) {
    *record = (segments_record_t){.form = bytes[5],
                                  .self = word(bytes, 5),
                                  .start = {.count = word(bytes, 2),
                                            .step = word(bytes, 3),
                                            .begin = word(bytes, 4),
                                            .workers = (int)sgp_bytes_get(bytes + 6, 2),
                                            .batch = (int32_t)sgp_bytes_get(bytes + 8, 4)},
                                  .members = sgp_bytes_get(bytes + 12, 4),
                                  .plain = sgp_bytes_get(bytes + 60, 4),
                                  .used = sgp_bytes_get(bytes + 48, 4),
                                  .given = sgp_bytes_get(bytes + 52, 4),
                                  .absences = sgp_bytes_get(bytes + 56, 4),
                                  .entries = bytes + HEADER_BYTES};
}

static bool is_header_right(const unsigned char *bytes, const segments_record_t *record) {
    const cursor_t *start = &record->start;
    if (memcmp(bytes, magic, sizeof magic) != 0 || bytes[4] != VERSION) return false;
    if (bytes[5] > SEGMENTS_REPORT) return false;
    if (start->workers < 1 || start->workers > SEGMENTS_MOST_WORKERS) return false;
    if (start->batch < 1 || start->batch > SEGMENTS_MOST_BATCH) return false;
    if (!is_step(start->count) || !is_step(start->step) || start->begin > start->count)
        return false;
    if (record->form == SEGMENTS_WHOLE && record->self != 0) return false;
    if (record->form == SEGMENTS_REPORT && record->given > 0) return false;
    return record->members + record->plain <= SEGMENTS_MOST_MEMBERS &&
           record->absences <= SEGMENTS_MOST_ABSENCES;
}

sgp_status_t segments_record_read(const unsigned char *bytes, size_t size,
                                  segments_record_t *record) {
    segments_record_t read;
    if (size < HEADER_BYTES)
        return sgp_fail(SGP_ERR_FORMAT, "segments of an epoch: %zu bytes, the header alone has %d",
                        size, HEADER_BYTES);
    get_header(bytes, &read);
    if (!is_header_right(bytes, &read))
        return sgp_fail(SGP_ERR_FORMAT, "segments of an epoch: the header is wrong");
    uint64_t needed = HEADER_BYTES + member_bytes(&read) +
                      ((uint64_t)read.used + read.given) * RANGE_BYTES +
                      (uint64_t)read.absences * ABSENCE_BYTES;
    if (size != needed)
        return sgp_fail(SGP_ERR_FORMAT, "segments of an epoch: %zu bytes, should be %" PRIu64, size,
                        needed);
    if (!are_members_right(&read) || !are_ranges_right(&read, 0, read.used) ||
        !are_ranges_right(&read, read.used, read.given) || !are_absences_right(&read))
        return sgp_fail(SGP_ERR_FORMAT,
                        "segments of an epoch: an entry is out of order or out of range");
    *record = read;
    return SGP_OK;
}

/* ---- merging ---- */

static sgp_status_t reserve(segments_t *segments, const segments_record_t *record) {
    size_t members = record->members + record->plain;
    sgp_status_t status = segments_reserve(segments, members, record->absences);
    if (!status) status = position_set_reserve(&segments->used, record->used);
    if (!status) status = position_set_reserve(&segments->given, record->given);
    return status;
}

static void append_ranges(position_set_t *set, const segments_record_t *record, size_t first,
                          size_t count) {
    for (size_t i = first; i < first + count; i++) {
        position_range_t range = range_at(record, i);
        position_set_append(set, range.first, range.end);
    }
    position_set_arrange(set);
}

/* Room is reserved. */
static void add(segments_t *segments, const segments_record_t *record) {
    for (size_t i = 0; i < record->members; i++) {
        segments_member_t from = member_at(record, i);
        segments_member_t *to = segments_member(segments, from.number);
        if (from.joins != SEGMENTS_NEVER) segments_join(to, from.joins, from.candidate);
        if (from.leaves < to->leaves) to->leaves = from.leaves;
        if (from.next > to->next) to->next = from.next;
    }
    for (size_t i = 0; i < record->plain; i++)
        segments_join(segments_member(segments, plain_at(record, i)), 0, 0);
    for (size_t i = 0; i < record->absences; i++) {
        segments_absence_t absence = absence_at(record, i);
        segments_append_absence(segments, absence.member, absence.first, absence.end);
    }
    append_ranges(&segments->used, record, 0, record->used);
    append_ranges(&segments->given, record, record->used, record->given);
    segments_arrange(segments);
}

sgp_status_t segments_init_from(segments_t *segments, const segments_record_t *record) {
    if (record->form != SEGMENTS_WHOLE)
        return sgp_fail(SGP_ERR_FORMAT, "segments of an epoch: these are events alone");
    segments_t made = {.start = record->start};
    sgp_status_t status = segments_reserve(&made, 1, 0); /* the list is never empty */
    if (!status) status = reserve(&made, record);
    if (status) {
        segments_fini(&made);
        return status;
    }
    add(&made, record);
    *segments = made;
    return SGP_OK;
}

sgp_status_t segments_check_record(const segments_t *segments, const segments_record_t *record) {
    const cursor_t *own = &segments->start, *other = &record->start;
    if (own->count == other->count && own->step == other->step && own->begin == other->begin &&
        own->workers == other->workers && own->batch == other->batch)
        return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH,
                    "the segments of member %" PRIu64 " begin with step %" PRIu64
                    " at position %" PRIu64 " of %" PRIu64
                    ", with %d workers and batch %d; here with step %" PRIu64 " at %" PRIu64
                    " of %" PRIu64 ", with %d and %d",
                    record->self, other->step, other->begin, other->count, other->workers,
                    other->batch, own->step, own->begin, own->count, own->workers, own->batch);
}

sgp_status_t segments_merge(segments_t *segments, const segments_record_t *record) {
    sgp_status_t status = segments_check_record(segments, record);
    if (!status) status = reserve(segments, record);
    if (!status) add(segments, record);
    return status;
}

bool segments_record_same_plan(const segments_record_t *a, const segments_record_t *b) {
    return a->members == b->members && a->plain == b->plain &&
           memcmp(a->entries, b->entries, member_bytes(a)) == 0;
}
