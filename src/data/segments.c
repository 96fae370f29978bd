/* SPDX-License-Identifier: Apache-2.0 */
#include "data/segments.h"

#include "base/logging.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Spare room, so that a few events allocate nothing. */
enum { SPARE_MEMBERS = 16, SPARE_ABSENCES = 64 };

/* The plan gains or loses a member. */
struct segments_change {
    uint64_t step;
    int gain; /* 1 or -1 */
};

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* ---- memory ---- */

/* The list has the first segment, and one for each change. */
static sgp_status_t reserve_members(segments_t *segments, size_t room) {
    if (room > SEGMENTS_MOST_MEMBERS)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%zu members in an epoch: the most is %d", room,
                        SEGMENTS_MOST_MEMBERS);
    segments_member_t *members = realloc(segments->members, room * sizeof *members);
    if (members) segments->members = members;
    cursor_t *list = realloc(segments->list, (2 * room + 1) * sizeof *list);
    if (list) segments->list = list;
    segments_change_t *changes = realloc(segments->changes, 2 * room * sizeof *changes);
    if (changes) segments->changes = changes;
    if (!members || !list || !changes)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the segments of %zu members", room);
    segments->member_room = room;
    segments->room = 2 * room + 1;
    return SGP_OK;
}

static sgp_status_t reserve_absences(segments_t *segments, size_t room) {
    if (room > SEGMENTS_MOST_ABSENCES)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%zu stretches of steps passed over: the most is %d",
                        room, SEGMENTS_MOST_ABSENCES);
    segments_absence_t *absences = realloc(segments->absences, room * sizeof *absences);
    if (!absences)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu stretches of steps passed over",
                        room);
    segments->absences = absences;
    segments->absence_room = room;
    return SGP_OK;
}

/* Doubles the room, up to the limit, unless more is needed. */
static size_t grown(size_t room, size_t needed, size_t limit) {
    size_t twice = 2 * room < limit ? 2 * room : limit;
    return needed > twice ? needed : twice;
}

sgp_status_t segments_reserve(segments_t *segments, size_t members, size_t absences) {
    size_t needed = segments->member_count + members;
    sgp_status_t status = SGP_OK;
    if (needed > segments->member_room)
        status =
            reserve_members(segments, grown(segments->member_room, needed, SEGMENTS_MOST_MEMBERS));
    needed = segments->absence_count + absences;
    if (!status && needed > segments->absence_room)
        status = reserve_absences(segments,
                                  grown(segments->absence_room, needed, SEGMENTS_MOST_ABSENCES));
    return status;
}

/* ---- the list of segments ---- */

static bool is_in_plan(const segments_member_t *member, uint64_t step) {
    return member->joins <= step && step < member->leaves;
}

static int compare_changes(const void *a, const void *b) {
    const segments_change_t *left = a, *right = b;
    return (left->step > right->step) - (left->step < right->step);
}

/* Lists the changes after the first step, ascending. Returns their number; *nodes: members in the first step. */
static size_t list_changes(segments_t *segments, int *nodes) {
    uint64_t start = segments->start.step;
    size_t count = 0;
    *nodes = 0;
    for (size_t i = 0; i < segments->member_count; i++) {
        const segments_member_t *member = &segments->members[i];
        uint64_t joins = most(member->joins, start);
        if (joins >= member->leaves || joins == SEGMENTS_NEVER) continue;
        if (joins == start) ++*nodes;
        else segments->changes[count++] = (segments_change_t){joins, 1};
        if (member->leaves != SEGMENTS_NEVER)
            segments->changes[count++] = (segments_change_t){member->leaves, -1};
    }
    qsort(segments->changes, count, sizeof *segments->changes, compare_changes);
    return count;
}

/* cursor_next for any step; a step far beyond the end would overflow there. */
static cursor_t next_of(const cursor_t *cursor, uint64_t step, int size) {
    if (step < cursor_end(cursor)) return cursor_next(cursor, step, size);
    cursor_t next = *cursor;
    next.step = step;
    next.begin = cursor->count;
    next.size = size;
    return next;
}

/* While the plan has no members, the previous division stays, or that of one node: nobody takes anything. */
static void make_list(segments_t *segments) {
    int nodes, workers = segments->start.workers;
    size_t changes = list_changes(segments, &nodes);
    segments->list[0] = segments->start;
    segments->list[0].size = (nodes > 0 ? nodes : 1) * workers;
    segments->count = 1;
    for (size_t i = 0; i < changes;) {
        uint64_t step = segments->changes[i].step;
        for (; i < changes && segments->changes[i].step == step; i++)
            nodes += segments->changes[i].gain;
        if (nodes == 0) continue;
        const cursor_t *last = &segments->list[segments->count - 1];
        segments->list[segments->count++] = next_of(last, step, nodes * workers);
    }
}

static int compare_absences(const void *a, const void *b) {
    const segments_absence_t *left = a, *right = b;
    if (left->member != right->member) return left->member > right->member ? 1 : -1;
    return (left->first > right->first) - (left->first < right->first);
}

/* Sorts them, and joins those of a member that overlap or touch. */
static void arrange_absences(segments_t *segments) {
    size_t kept = 0;
    segments_absence_t *all = segments->absences;
    if (segments->absence_count > 1)
        qsort(all, segments->absence_count, sizeof *all, compare_absences);
    for (size_t i = 0; i < segments->absence_count; i++) {
        segments_absence_t *last = kept > 0 ? &all[kept - 1] : NULL;
        if (last && last->member == all[i].member && all[i].first <= last->end)
            last->end = most(last->end, all[i].end);
        else all[kept++] = all[i];
    }
    segments->absence_count = kept;
}

void segments_arrange(segments_t *segments) {
    arrange_absences(segments);
    make_list(segments);
}

/* ---- members ---- */

/* The index of the first entry with that number or a larger one. */
static size_t find_member(const segments_t *segments, uint64_t number) {
    size_t low = 0, high = segments->member_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (segments->members[middle].number < number) low = middle + 1;
        else high = middle;
    }
    return low;
}

static const segments_member_t *known(const segments_t *segments, uint64_t number) {
    size_t at = find_member(segments, number);
    bool is = at < segments->member_count && segments->members[at].number == number;
    return is ? &segments->members[at] : NULL;
}

segments_member_t *segments_member(segments_t *segments, uint64_t number) {
    size_t at = find_member(segments, number), after = segments->member_count - at;
    segments_member_t *member = segments->members + at;
    if (after > 0 && member->number == number) return member;
    memmove(member + 1, member, after * sizeof *member);
    segments->member_count++;
    *member =
        (segments_member_t){.number = number, .joins = SEGMENTS_NEVER, .leaves = SEGMENTS_NEVER};
    return member;
}

void segments_join(segments_member_t *member, uint64_t step, uint64_t candidate) {
    bool first = member->joins == SEGMENTS_NEVER || candidate < member->candidate;
    if (!first && (candidate > member->candidate || step >= member->joins)) return;
    member->joins = step;
    member->candidate = candidate;
}

static void fill_members(segments_t *segments, const uint64_t *members, int nodes) {
    segments->member_count = segments->absence_count = 0;
    for (int i = 0; i < nodes; i++) {
        uint64_t number = members ? members[i] : segments_number((uint32_t)i, 0);
        segments->members[segments->member_count++] =
            (segments_member_t){.number = number, .leaves = SEGMENTS_NEVER};
    }
    segments_arrange(segments);
}

sgp_status_t segments_init(segments_t *segments, const segments_options_t *options) {
    *segments = (segments_t){.start = {.count = options->count,
                                       .size = options->nodes * options->workers,
                                       .workers = options->workers,
                                       .batch = options->batch}};
    sgp_status_t status = segments_reserve(segments, (size_t)options->nodes, SPARE_ABSENCES);
    if (!status) status = segments_reserve(segments, SPARE_MEMBERS, 0);
    if (status) segments_fini(segments);
    else fill_members(segments, options->members, options->nodes);
    return status;
}

void segments_fini(segments_t *segments) {
    free(segments->members);
    free(segments->absences);
    free(segments->list);
    free(segments->changes);
    position_set_fini(&segments->given);
    position_set_fini(&segments->used);
    *segments = (segments_t){0};
}

sgp_status_t segments_set_members(segments_t *segments, const uint64_t *members, int nodes) {
    size_t more =
        (size_t)nodes > segments->member_count ? (size_t)nodes - segments->member_count : 0;
    sgp_status_t status = segments_reserve(segments, more, 0);
    if (!status) fill_members(segments, members, nodes);
    return status;
}

/* ---- events ---- */

void segments_append_absence(segments_t *segments, uint64_t member, uint64_t first, uint64_t end) {
    first = most(first, segments->start.step);
    if (first >= end) return;
    segments->absences[segments->absence_count++] = (segments_absence_t){member, first, end};
}

static void apply_one(segments_t *segments, const segments_event_t *event) {
    uint64_t first = least(event->first, SEGMENTS_MOST_STEPS);
    uint64_t end = least(event->end, SEGMENTS_MOST_STEPS);
    if (event->kind == SEGMENTS_PASSES) {
        segments_append_absence(segments, event->member, first, end);
        return;
    }
    segments_member_t *member = segments_member(segments, event->member);
    if (event->kind == SEGMENTS_JOINS) {
        segments_join(member, first, event->candidate);
        return;
    }
    member->leaves = least(member->leaves, end);
    member->next = most(member->next, first);
}

sgp_status_t segments_apply(segments_t *segments, const segments_event_t *events, size_t count) {
    size_t members = 0, absences = 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind == SEGMENTS_PASSES) absences++;
        else if (!known(segments, events[i].member)) members++;
    }
    sgp_status_t status = segments_reserve(segments, members, absences);
    if (status) return status;
    for (size_t i = 0; i < count; i++) apply_one(segments, &events[i]);
    segments_arrange(segments);
    return SGP_OK;
}

uint64_t segments_changed_from(const segments_t *segments, const segments_event_t *events,
                               size_t count) {
    uint64_t from = SEGMENTS_NEVER;
    for (size_t i = 0; i < count; i++) {
        const segments_event_t *event = &events[i];
        if (event->kind == SEGMENTS_PASSES) continue;
        const segments_member_t *old = known(segments, event->member);
        segments_member_t member = {.joins = SEGMENTS_NEVER, .leaves = SEGMENTS_NEVER};
        if (old) member = *old;
        uint64_t joins = member.joins;
        if (event->kind == SEGMENTS_JOINS) segments_join(&member, event->first, event->candidate);
        if (member.joins != joins) from = least(from, least(joins, member.joins));
        if (event->kind == SEGMENTS_LEAVES && event->end < member.leaves)
            from = least(from, event->end);
    }
    return from;
}

sgp_status_t segments_use(segments_t *segments, const position_set_t *positions) {
    sgp_status_t status = position_set_append_all(&segments->used, positions);
    if (!status) position_set_arrange(&segments->used);
    return status;
}

/* ---- questions ---- */

static size_t index_at(const segments_t *segments, uint64_t step) {
    size_t low = 0, high = segments->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (segments->list[middle].step <= step) low = middle;
        else high = middle;
    }
    return low;
}

const cursor_t *segments_at(const segments_t *segments, uint64_t step) {
    return &segments->list[index_at(segments, step)];
}

int segments_rank(const segments_t *segments, uint64_t step, uint64_t member) {
    uint64_t first = segments_at(segments, step)->step;
    int rank = 0;
    for (size_t i = 0; i < segments->member_count; i++) {
        const segments_member_t *other = &segments->members[i];
        if (other->number > member) break;
        if (!is_in_plan(other, first)) continue;
        if (other->number == member) return rank;
        rank++;
    }
    return -1;
}

cursor_part_t segments_part(const segments_t *segments, uint64_t step, uint64_t member,
                            int worker) {
    const cursor_t *cursor = segments_at(segments, step);
    int rank = segments_rank(segments, step, member);
    if (rank >= 0) return cursor_part(cursor, step, rank * cursor->workers + worker);
    cursor_part_t nothing = cursor_part(cursor, step, 0);
    nothing.count = 0;
    return nothing;
}

bool segments_is_absent(const segments_t *segments, uint64_t step, uint64_t member) {
    const segments_member_t *entry = known(segments, member);
    if (entry && entry->leaves != SEGMENTS_NEVER && step >= entry->next && is_in_plan(entry, step))
        return true;
    for (size_t i = 0; i < segments->absence_count; i++) {
        const segments_absence_t *absence = &segments->absences[i];
        if (absence->member == member && absence->first <= step && step < absence->end) return true;
    }
    return false;
}

uint64_t segments_end(const segments_t *segments) {
    for (size_t i = 0; i + 1 < segments->count; i++) {
        uint64_t end = cursor_end(&segments->list[i]);
        if (end <= segments->list[i + 1].step) return end;
    }
    return cursor_end(&segments->list[segments->count - 1]);
}

uint64_t segments_reached(const segments_t *segments, uint64_t step) {
    const cursor_t *cursor = segments_at(segments, step);
    return next_of(cursor, step, cursor->size).begin;
}

/* ---- returned positions ---- */

/* Appends the positions of a member in the steps [first, end) of one segment. */
static sgp_status_t return_steps(const cursor_t *cursor, int rank, uint64_t first, uint64_t end,
                                 position_set_t *returned) {
    sgp_status_t status = SGP_OK;
    end = least(end, cursor_end(cursor));
    for (uint64_t step = first; step < end && !status; step++) {
        cursor_part_t head = cursor_part(cursor, step, rank * cursor->workers);
        cursor_part_t tail = cursor_part(cursor, step, (rank + 1) * cursor->workers - 1);
        status = position_set_append(returned, head.first, tail.first + (uint64_t)tail.count);
    }
    return status;
}

/* Appends the positions of a member in the steps [first, end). */
static sgp_status_t return_stretch(const segments_t *segments, uint64_t member, uint64_t first,
                                   uint64_t end, position_set_t *returned) {
    sgp_status_t status = SGP_OK;
    first = most(first, segments->start.step);
    if (first >= end) return SGP_OK;
    for (size_t i = index_at(segments, first); i < segments->count && !status; i++) {
        const cursor_t *cursor = &segments->list[i];
        if (cursor->step >= end) break;
        int rank = segments_rank(segments, cursor->step, member);
        uint64_t next = i + 1 < segments->count ? cursor[1].step : SEGMENTS_NEVER;
        if (rank >= 0)
            status =
                return_steps(cursor, rank, most(first, cursor->step), least(end, next), returned);
    }
    return status;
}

sgp_status_t segments_returned(const segments_t *segments, uint64_t until,
                               position_set_t *returned) {
    position_set_clear(returned);
    sgp_status_t status = position_set_append_all(returned, &segments->given);
    for (size_t i = 0; i < segments->member_count && !status; i++) {
        const segments_member_t *member = &segments->members[i];
        if (member->leaves != SEGMENTS_NEVER)
            status = return_stretch(segments, member->number, member->next,
                                    least(member->leaves, until), returned);
    }
    for (size_t i = 0; i < segments->absence_count && !status; i++) {
        const segments_absence_t *absence = &segments->absences[i];
        status = return_stretch(segments, absence->member, absence->first,
                                least(absence->end, until), returned);
    }
    position_set_arrange(returned);
    if (!status) status = position_set_subtract(returned, &segments->used);
    if (status) position_set_clear(returned);
    return status;
}

/* ---- another beginning ---- */

/* Drops what concerns only steps before `step`: absences, and members that have left. */
static void forget(segments_t *segments, uint64_t step) {
    size_t kept = 0;
    for (size_t i = 0; i < segments->member_count; i++) {
        segments_member_t member = segments->members[i];
        if (member.leaves <= step) continue;
        if (member.leaves != SEGMENTS_NEVER) member.next = most(member.next, step);
        segments->members[kept++] = member;
    }
    segments->member_count = kept;
    kept = 0;
    for (size_t i = 0; i < segments->absence_count; i++) {
        segments_absence_t absence = segments->absences[i];
        absence.first = most(absence.first, step);
        if (absence.first < absence.end) segments->absences[kept++] = absence;
    }
    segments->absence_count = kept;
}

sgp_status_t segments_fold(segments_t *segments, uint64_t step) {
    position_set_t returned = {0};
    sgp_status_t status = segments_returned(segments, step, &returned);
    if (status) {
        position_set_fini(&returned);
        return status;
    }
    position_set_fini(&segments->given);
    segments->given = returned;
    uint64_t position = segments_reached(segments, step);
    forget(segments, step);
    segments_begin_at(segments, step, position);
    return SGP_OK;
}

void segments_begin_epoch(segments_t *segments, uint64_t step) {
    forget(segments, step);
    for (size_t i = 0; i < segments->member_count; i++) {
        segments_member_t *member = &segments->members[i];
        if (member->joins <= step) member->joins = member->candidate = 0;
        else if (member->joins != SEGMENTS_NEVER) member->joins -= step;
        if (member->leaves == SEGMENTS_NEVER) continue;
        member->leaves -= step;
        member->next -= step;
    }
    segments->absence_count = 0;
    position_set_clear(&segments->given);
    position_set_clear(&segments->used);
    segments_begin_at(segments, 0, 0);
}

void segments_begin_at(segments_t *segments, uint64_t step, uint64_t position) {
    segments->start.step = step;
    segments->start.begin = position;
    segments_arrange(segments);
}

static bool is_present(uint64_t number, const uint64_t *present, size_t presents) {
    for (size_t i = 0; i < presents; i++)
        if (present[i] == number) return true;
    return false;
}

sgp_status_t segments_init_make_up(segments_t *segments, const segments_t *main, uint64_t step,
                                   uint64_t count, const uint64_t *present, size_t presents) {
    *segments = (segments_t){.start = main->start};
    sgp_status_t status =
        segments_reserve(segments, main->member_count + SPARE_MEMBERS, SPARE_ABSENCES);
    if (status) {
        segments_fini(segments);
        return status;
    }
    segments->start.count = count;
    for (size_t i = 0; i < main->member_count; i++) {
        segments_member_t member = main->members[i];
        bool absent = member.joins < step && !is_present(member.number, present, presents);
        /* The entry stays, as one that has left, so that later news of the member do not add it again. */
        if (absent || member.leaves != SEGMENTS_NEVER) member.leaves = member.next = step;
        segments->members[segments->member_count++] = member;
    }
    segments_begin_at(segments, step, 0);
    return SGP_OK;
}

sgp_status_t segments_hear(segments_t *segments, const segments_t *latest) {
    sgp_status_t status = segments_reserve(segments, latest->member_count, 0);
    if (status) return status;
    for (size_t i = 0; i < latest->member_count; i++) {
        const segments_member_t *from = &latest->members[i];
        segments_member_t *to = segments_member(segments, from->number);
        if (from->joins != SEGMENTS_NEVER) segments_join(to, from->joins, from->candidate);
        to->leaves = least(to->leaves, from->leaves);
        to->next = most(to->next, from->next);
    }
    segments_arrange(segments);
    return SGP_OK;
}
