/* SPDX-License-Identifier: Apache-2.0 */
/* Which positions of an epoch each process takes in each step: arithmetic alone, called by the
 * segments (data/segments.h).
 *
 * An epoch is a sequence of `count` positions, and a cursor moves through it. A segment is a
 * stretch of steps with the same members: it begins with step f at cursor c. In step s the process
 * of rank r takes the `batch` positions from c + ((s - f) size + r) batch on. When the members
 * change before step K, the next segment begins at c + (K - f) size batch. The last step takes what
 * is left, split over the nodes as evenly as possible: the first (left mod nodes) nodes take one
 * more; a node may get none. A node of m workers takes the positions of a node with an m times
 * larger batch, and splits them over its workers in the same way.
 *
 * So every position is taken exactly once in an epoch, and which ones a process takes in a step is a
 * function of (segment, step, rank) alone: nodes that agree on the segments need not tell each other
 * what they took. */
#ifndef SGP_DATA_CURSOR_H
#define SGP_DATA_CURSOR_H

#include <stdint.h>

/* A segment; a plain value. */
typedef struct cursor {
    uint64_t count; /* positions of the epoch, > 0 */
    uint64_t step;  /* f: the segment's first step, counted from the epoch's first */
    uint64_t begin; /* c: the position at which it begins, <= count */
    int size;       /* processes, > 0 */
    int workers;    /* of a node, > 0; divides size. Rank r is worker r mod workers of its node */
    int batch;      /* positions of a process in a step, > 0 */
} cursor_t;

/* The positions of a process in a step. */
typedef struct cursor_part {
    uint64_t first; /* the first position */
    int count;      /* 0 to batch */
    uint64_t
        after; /* the first of the positions that fill its batch: beyond `count` the epoch starts over */
} cursor_part_t;

/* The number of the step, counted from the epoch's first, before which all positions are taken. */
uint64_t cursor_end(const cursor_t *cursor);

/* step >= cursor->step; 0 <= rank < size. */
cursor_part_t cursor_part(const cursor_t *cursor, uint64_t step, int rank);

/* The segment of `size` processes that begins with `step` and takes what this one leaves. */
cursor_t cursor_next(const cursor_t *cursor, uint64_t step, int size);

#endif
