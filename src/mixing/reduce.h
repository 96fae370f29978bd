/* SPDX-License-Identifier: Apache-2.0 */
/* Reduce-scatter and all-gather of one vector, chunked and pipelined: each node owns a segment,
 * receives everybody's part of it, adds them up in order of rank, and sends the mean to all. Every
 * node sends and receives 2 (n-1)/n of the vector, the least possible (Patarasuk and Yuan 2009);
 * directly to the owner rather than around a ring: two latencies, not 2 (n-1). */
#ifndef SGP_MIXING_REDUCE_H
#define SGP_MIXING_REDUCE_H

#include "mixing/mixer.h"

typedef struct sgp_reduce sgp_reduce_t;

struct sgp_reduce {
    sgp_mixer_t *mixer;
    uint32_t channel;
    uint64_t step;
    uint64_t deadline;
    double weight; /* of this node's part in the mean */
    bool exact;    /* accumulate in double; otherwise float32, and all weights are 1 */

    /* This node's part, elements [offset, offset + count): a pointer to it where it lies, or
     * scratch (count), filled. */
    const float *(*part)(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch);

    /* The mean of elements [offset, offset + count), once for each chunk, in any order. mean:
     * borrowed for the call. */
    void (*result)(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean);
    void *context; /* of part and result */

    /* Set by sgp_reduce_run. */
    uint64_t sent; /* messages */
    uint64_t received;
    uint64_t bytes_sent;
};

/* Every node calls it with the same channel and step. Sleeps while nothing arrives. Errors as
 * sgp_mixer_step. */
sgp_status_t sgp_reduce_run(sgp_reduce_t *reduce);

#endif
