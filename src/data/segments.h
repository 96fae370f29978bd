/* SPDX-License-Identifier: Apache-2.0 */
/* The division of an epoch's positions among members that come and go (docs/membership.md, "Data").
 * Arithmetic alone: it knows neither seats nor messages nor steps of a run. The sampler calls it.
 *
 * A segment is a stretch of steps with the same members, and a cursor (data/cursor.h). A member is a
 * node; its workers come and go together. Whoever calls has two things to tell: which members the
 * plan has from a step on, and which members took nothing in a step although the plan had them. These
 * are events. Events merge: the state after a set of events does not depend on their order, on how
 * often each was told, or on who told it. So members that know the same events have the same segments.
 *
 * Positions that the plan gives to a member in a step in which it took nothing are returned. Steps
 * count from the epoch's first. A position that a member took by an outdated plan is reported as used,
 * and is then not returned.
 *
 * Make-up steps divide the returned positions by the same rule: they are segments of their own, whose
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

/* A member's number: members have ranks in ascending order of it. place: its seat, for example; use:
 * how often that place was given before. */
static inline uint64_t segments_number(uint32_t place, uint32_t use) {
    return (uint64_t)place << 32 | use;
}

typedef enum segments_event_kind {
    SEGMENTS_JOINS,  /* the plan has the member from step `first` on */
    SEGMENTS_LEAVES, /* the plan has it no more from step `end` on, and steps from `first` on are not
                        known as taken (the last known push, plus 1) */
    SEGMENTS_PASSES  /* the member took nothing in the steps [first, end) */
} segments_event_kind_t;

/* Of two JOINS of a member that with the smaller candidate counts, and of those the earlier one; of two LEAVES the
 * earlier `end` and the later `first`. */
typedef struct segments_event {
    segments_event_kind_t kind;
    uint64_t member; /* number */
    uint64_t first, end;
    uint64_t candidate; /* JOINS: whom the place was given to */
} segments_event_t;

/* In the plan in steps [joins, leaves). */
typedef struct segments_member {
    uint64_t number;
    uint64_t joins, leaves; /* SEGMENTS_NEVER: not known */
    uint64_t next;          /* of one that leaves: the first step not known as taken */
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

/* Embedded; fields are for data/segments*.c alone. One thread changes it; any number may ask. Memory:
 * about 120 bytes a member, 24 an absence, 24 a range of positions. */
typedef struct segments {
    cursor_t start; /* of the first segment; its size is not used */
    segments_member_t *members;
    size_t member_count, member_room;
    segments_absence_t *absences; /* ascending by member and step; those of a member do not touch */
    size_t absence_count, absence_room;
    position_set_t given; /* returned before the first segment */
    position_set_t used;  /* taken by a plan that was outdated */
    /* From the members: */
    cursor_t *list; /* ascending by step */
    size_t count, room;
    segments_change_t *changes; /* for making the list */
} segments_t;

/* Copies. SGP_ERR_NO_MEMORY, logged; then nothing is to be finished. */
sgp_status_t segments_init(segments_t *segments, const segments_options_t *options);
void segments_fini(segments_t *segments); /* also of zeros */

/* Tells events. Steps below the first segment's count as its first. SGP_ERR_NO_MEMORY, also beyond the
 * limits above, logged; nothing changed. Allocates only for members and absences that it has no room for. */
sgp_status_t segments_apply(segments_t *segments, const segments_event_t *events /* (count) */,
                            size_t count);

/* The first step whose plan these events would change; SEGMENTS_NEVER: none. */
uint64_t segments_changed_from(const segments_t *segments,
                               const segments_event_t *events /* (count) */, size_t count);

/* Reports that these positions were taken by an outdated plan. SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t segments_use(segments_t *segments, const position_set_t *positions);

/* The segment of a step. */
const cursor_t *segments_at(const segments_t *segments, uint64_t step);

/* The rank of a node among the nodes of the plan; -1: the plan of this step does not have it. */
int segments_rank(const segments_t *segments, uint64_t step, uint64_t member);

/* What worker `worker` of a member takes in a step: 0 positions if the plan does not have the member. The
 * events of absence do not count here. */
cursor_part_t segments_part(const segments_t *segments, uint64_t step, uint64_t member, int worker);

/* Whether the member is known to take nothing in that step though the plan has it. */
bool segments_is_absent(const segments_t *segments, uint64_t step, uint64_t member);

/* The step before which all positions are taken: the number of the epoch's steps. */
uint64_t segments_end(const segments_t *segments);

/* Positions before those of `step`, as the cursor has it. */
uint64_t segments_reached(const segments_t *segments, uint64_t step);

/* Sets the positions returned in the steps below `until`, arranged: ascending, which is the order of (segment,
 * step, rank). SGP_ERR_NO_MEMORY, logged; *returned is then empty. It may hold memory before. */
sgp_status_t segments_returned(const segments_t *segments, uint64_t until,
                               position_set_t *returned);

/* Makes `step` the first one, before which every member is done: what was returned until then is kept as
 * positions. Positions and ends of later steps stay the same.
 * SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t segments_fold(segments_t *segments, uint64_t step);

/* The members of the first segment, instead of all members, with no absence. As in the options.
 * SGP_ERR_NO_MEMORY, logged; nothing changed. */
sgp_status_t segments_set_members(segments_t *segments, const uint64_t *members, int nodes);

/* Begins at the first position again, with `step` as step 0: later joins and leaves stay, in steps of the
 * new epoch. Allocates nothing. */
void segments_begin_epoch(segments_t *segments, uint64_t step);

/* Begins at `position` with step `step`, with the same members. */
void segments_begin_at(segments_t *segments, uint64_t step, uint64_t position);

/* Makes segments of `count` positions that begin with `step`: with the members that the plan has then, that are
 * `present` and not known to leave, and with those that join later. segments: not initialised. As segments_init. */
sgp_status_t segments_init_make_up(segments_t *segments, const segments_t *main, uint64_t step,
                                   uint64_t count, const uint64_t *present /* (presents) */,
                                   size_t presents);

/* Tells the joins and leaves that `latest` knows. The errors of segments_apply. */
sgp_status_t segments_hear(segments_t *segments, const segments_t *latest);

/* ---- inside, for segments_record.c ---- */

/* Room for so many more. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t segments_reserve(segments_t *segments, size_t members, size_t absences);

/* The member's entry, added if it is not there; room is reserved. */
segments_member_t *segments_member(segments_t *segments, uint64_t number);

/* Tells a member's join. */
void segments_join(segments_member_t *member, uint64_t step, uint64_t candidate);

/* Adds an absence; room is reserved. segments_arrange puts it in its place. */
void segments_append_absence(segments_t *segments, uint64_t member, uint64_t first, uint64_t end);

/* Sorts the absences and makes the list of segments. Allocates nothing. */
void segments_arrange(segments_t *segments);

#endif
