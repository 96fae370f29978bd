/* SPDX-License-Identifier: Apache-2.0 */
/* Divides the positions of an epoch among members that come and go (docs/membership.md, "Data"). Pure
 * arithmetic: it knows no seat, no message and no step of a run. Called by the sampler.
 *
 * A segment is a range of steps with the same members, and a cursor (data/cursor.h). A member is a
 * node; its workers come and go together. The caller tells two kinds of events: the plan gains or loses
 * a member with a step, and a member took nothing in some steps. Events merge: the state does not
 * depend on the order of the events, on how often each is told, or on who tells it. So members that
 * know the same events have the same segments.
 *
 * A position is returned if the plan gives it to a member in a step in which that member took nothing.
 * Steps count from the first of the epoch. A member that took positions by an outdated plan reports
 * them as used; used positions are not returned.
 *
 * Make-up steps divide the returned positions by the same rule. They have segments of their own, whose
 * positions are places in the list of returned ones. */
#ifndef SGP_DATA_SEGMENTS_H
#define SGP_DATA_SEGMENTS_H

#include "data/cursor.h"
#include "data/position_set.h"

#include <stdbool.h>

#define SEGMENTS_NEVER         UINT64_MAX
#define SEGMENTS_MOST_STEPS    ((uint64_t)1 << 62) /* a step or a number of positions */
#define SEGMENTS_MOST_MEMBERS  65536               /* of an epoch */
#define SEGMENTS_MOST_ABSENCES 65536               /* stretches of steps, of all members */
#define SEGMENTS_MOST_WORKERS  4096
#define SEGMENTS_MOST_BATCH    (1 << 24)

/* The number of a member; the order of the numbers is that of the ranks. place: its seat. use: how often
 * that place was given before. */
static inline uint64_t segments_number(uint32_t place, uint32_t use) {
    return (uint64_t)place << 32 | use;
}

typedef enum segments_event_kind {
    SEGMENTS_JOINS,  /* the member is in the plan from step `first` on */
    SEGMENTS_LEAVES, /* it is in the plan up to step `end`, exclusive, and is not known to have taken
                        the steps from `first` on: that after its last known push */
    SEGMENTS_PASSES  /* it took nothing in the steps [first, end) */
} segments_event_kind_t;

/* Two JOINS of a member merge to the one with the smaller candidate, or else the earlier one; two LEAVES to the
 * earlier `end` and the later `first`. */
typedef struct segments_event {
    segments_event_kind_t kind;
    uint64_t member; /* number */
    uint64_t first, end;
    uint64_t candidate; /* JOINS: the process that the place was given to */
} segments_event_t;

/* In the plan in steps [joins, leaves). */
typedef struct segments_member {
    uint64_t number;
    uint64_t joins, leaves; /* SEGMENTS_NEVER: not known */
    uint64_t next;          /* if it leaves: the first step that it is not known to have taken */
    uint64_t candidate;     /* of the join; 0: a member from the start */
} segments_member_t;

/* Steps in which a member took nothing. */
typedef struct segments_absence {
    uint64_t member, first, end;
} segments_absence_t;

typedef struct segments_options {
    uint64_t count;          /* positions, <= SEGMENTS_MOST_STEPS */
    int workers;             /* of a node; required, > 0, <= SEGMENTS_MOST_WORKERS */
    int batch;               /* of a process; required, > 0, <= SEGMENTS_MOST_BATCH */
    int nodes;               /* <= SEGMENTS_MOST_MEMBERS */
    const uint64_t *members; /* (nodes) ascending; NULL: segments_number(0..nodes - 1, 0) */
} segments_options_t;

typedef struct segments_change segments_change_t;

/* Embedded; fields are private to data/segments*.c. One thread may change it while no other reads it.
 * Memory: about 120 bytes per member, 24 per absence, 24 per range of positions. */
typedef struct segments {
    cursor_t start; /* of the first segment, without its size */
    segments_member_t *members;
    size_t member_count, member_room;
    segments_absence_t *absences; /* ascending by member and step; those of a member do not touch */
    size_t absence_count, absence_room;
    position_set_t given; /* returned before the first segment */
    position_set_t used;  /* taken by an outdated plan */
    /* These follow from the members: */
    cursor_t *list; /* ascending by step */
    size_t count, room;
    segments_change_t *changes; /* for making the list */
} segments_t;

/* Copies the options. SGP_ERR_NO_MEMORY, logged; then call no fini. */
sgp_status_t segments_init(segments_t *segments, const segments_options_t *options);
void segments_fini(segments_t *segments); /* zeros are fine */

/* Applies events. A step before the first segment counts as that segment's first step. Allocates only if there is no room
 * for a new member or absence. SGP_ERR_NO_MEMORY, also beyond the limits above, logged; nothing changed. */
sgp_status_t segments_apply(segments_t *segments, const segments_event_t *events /* (count) */,
                            size_t count);

/* The first step whose plan would change with these events; SEGMENTS_NEVER: none. */
uint64_t segments_changed_from(const segments_t *segments,
                               const segments_event_t *events /* (count) */, size_t count);

/* Reports that these positions were taken by an outdated plan. SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t segments_use(segments_t *segments, const position_set_t *positions);

/* The segment of a step. */
const cursor_t *segments_at(const segments_t *segments, uint64_t step);

/* The rank of a member in the plan of a step; -1: it is not in the plan. */
int segments_rank(const segments_t *segments, uint64_t step, uint64_t member);

/* The positions of worker `worker` of a member in a step; none if the member is not in the plan. Absences are
 * ignored. */
cursor_part_t segments_part(const segments_t *segments, uint64_t step, uint64_t member, int worker);

/* Whether the member is in the plan of that step, and known to have taken nothing in it. */
bool segments_is_absent(const segments_t *segments, uint64_t step, uint64_t member);

/* The step before which all positions are taken: the number of the epoch's steps. */
uint64_t segments_end(const segments_t *segments);

/* The cursor at `step`: positions that earlier steps divide. */
uint64_t segments_reached(const segments_t *segments, uint64_t step);

/* Sets *returned to the positions returned in the steps before `until`, arranged: ascending, which is the order of (segment,
 * step, rank). *returned is initialised before. SGP_ERR_NO_MEMORY, logged; *returned is then empty. */
sgp_status_t segments_returned(const segments_t *segments, uint64_t until,
                               position_set_t *returned);

/* Makes `step` the first one; all members have made the steps before it. The positions returned so far are kept as a list.
 * Later steps keep their positions. SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t segments_fold(segments_t *segments, uint64_t step);

/* Replaces all members by those of the first segment, as in the options, and drops all absences.
 * SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t segments_set_members(segments_t *segments, const uint64_t *members, int nodes);

/* Begins the next epoch, whose step 0 is `step` of this one, at the first position. Later joins and leaves are kept, in steps
 * of the new epoch. Allocates nothing. */
void segments_begin_epoch(segments_t *segments, uint64_t step);

/* Begins at `position` with `step`; the members stay. */
void segments_begin_at(segments_t *segments, uint64_t step, uint64_t position);

/* Makes the segments of `count` positions from `step` on. Their members are those of the plan of that step that are `present`
 * and not known to leave, and those that join later. segments: not initialised. Errors as segments_init. */
sgp_status_t segments_init_make_up(segments_t *segments, const segments_t *main, uint64_t step,
                                   uint64_t count, const uint64_t *present /* (presents) */,
                                   size_t presents);

/* Applies the joins and leaves that `latest` knows. The errors of segments_apply. */
sgp_status_t segments_hear(segments_t *segments, const segments_t *latest);

/* ---- private, for segments_record.c ---- */

/* Reserves room for so many more. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t segments_reserve(segments_t *segments, size_t members, size_t absences);

/* The entry of a member, which is added if it is missing; room is reserved. */
segments_member_t *segments_member(segments_t *segments, uint64_t number);

/* Applies a join. */
void segments_join(segments_member_t *member, uint64_t step, uint64_t candidate);

/* Adds an absence, out of order; room is reserved. Call segments_arrange afterwards. */
void segments_append_absence(segments_t *segments, uint64_t member, uint64_t first, uint64_t end);

/* Sorts the absences and makes the list of segments. Allocates nothing. */
void segments_arrange(segments_t *segments);

#endif
