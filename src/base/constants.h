/* SPDX-License-Identifier: Apache-2.0 */
/* src/base is the bottom of the library: status, log, random numbers, memory, clock, trace. Every
 * room may call it; it calls no other room and knows no node.
 *
 * This header: limits and units that several rooms share. */
#ifndef SGP_BASE_CONSTANTS_H
#define SGP_BASE_CONSTANTS_H

#include <stddef.h>
#include <stdint.h>

/* In nanoseconds, the unit of every clock and deadline here. */
#define SGP_MILLISECOND ((uint64_t)1000000)
#define SGP_SECOND      ((uint64_t)1000000000)

/* Processes of a group at most, and so nodes of a run: a rank travels in 16 bits (transport/fates.h). How many fit on
 * one machine is a question of its memory. */
#define SGP_MOST_PROCESSES 65536

/* Payload of one chunk, where a transport's options say nothing else. Large enough that a header costs nothing, small
 * enough that absorbing one chunk overlaps receiving the next and that a chunk stays in a core's cache. */
#define SGP_CHUNK_BYTES ((size_t)256 << 10)

/* Bytes that each node contributes to one gather, at most. */
#define SGP_GATHER_BYTES ((size_t)64 << 10)

/* Where messages are numbered for each pair of nodes, the first number of a member's is its incarnation with so many zeros behind it:
 * no message of an earlier member of its seat has the same number. */
#define SGP_PAIR_BITS 28

/* Bytes of a vector from which its copying is given to the progress thread, beside the gradient. A shorter one is copied
 * sooner than another thread wakes up. */
#define SGP_PROGRESS_BYTES ((size_t)1 << 20)

#endif
