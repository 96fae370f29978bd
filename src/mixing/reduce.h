/* SPDX-License-Identifier: Apache-2.0 */
/* Reduce-scatter and all-gather of one vector, chunked and pipelined: each rank owns a segment, receives the parts of all
 * ranks for it, adds them up in order of rank, and sends the mean to all. Every rank sends and receives 2 (n-1)/n of the
 * vector, the least possible (Patarasuk and Yuan 2009); directly to the owner rather than around a ring: two latencies,
 * not 2 (n-1). For all-reduce, exact averages and workers; knows no mixer. */
#ifndef SGP_MIXING_REDUCE_H
#define SGP_MIXING_REDUCE_H

#include "base/trace.h"
#include "mixing/reducer.h"

typedef struct sgp_reduce sgp_reduce_t;

struct sgp_reduce {
    sgp_reducer_t *reducer;
    uint32_t channel;
    uint64_t step;
    uint64_t deadline;
    sgp_trace_t *trace; /* NULL: none */
    double weight;      /* of this rank's part in the mean */
    bool unchecked;     /* send parts that are not finite as well, instead of SGP_ERR_NOT_FINITE */
    bool exact;         /* accumulate in double; otherwise float32, and all weights are 1 */

    /* Of parts and means; zero: float32. For sgp_reduce_run, not exact. With a lossy encoding every rank gets the same
     * decoded mean, also its owner, and nothing is lost: `rounding` (length) is added to this rank's parts, and becomes
     * their rounding errors; in this rank's own segment it becomes the error of the mean times the number of ranks. */
    sgp_encoding_t encoding;
    float *rounding;

    /* This rank's part, elements [offset, offset + count): a pointer to it where it lies, or
     * scratch (count), filled. */
    const float *(*part)(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch);

    /* The mean of elements [offset, offset + count), once for each chunk, in any order. mean:
     * borrowed for the call. */
    void (*result)(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean);
    void *context; /* of part, result and is_called_off */

    /* Whether the call must end with SGP_ERR_PEER_LOST although no rank that takes part is gone. NULL: it need not. Asked
     * before each sleep. */
    bool (*is_called_off)(const sgp_reduce_t *reduce);

    /* Set by the calls below. */
    uint64_t sent; /* messages */
    uint64_t received;
    uint64_t bytes_sent;
};

/* Every rank makes the same call with the same channel and step. Sleeps until chunks arrive. Errors as sgp_mixer_step. */

/* The mean of the whole vector, on every rank. */
sgp_status_t sgp_reduce_run(sgp_reduce_t *reduce);

/* The first half alone: the mean of our own segment. */
sgp_status_t sgp_reduce_scatter(sgp_reduce_t *reduce);

/* The second half alone: part gives this rank's own segment, and result gets the others. */
sgp_status_t sgp_reduce_gather(sgp_reduce_t *reduce);

/* ---- the same chunk by chunk, in any order: for reduce_parts.c ----
 * The scattered messages are reducer->sends, by distance from rank, and the mean's is the caller's. */

/* Begins the messages with this rank's parts to the owners of the other segments. */
sgp_status_t sgp_reduce_begin_scatter(sgp_reduce_t *reduce);

/* Begins the message with the mean of our own segment. */
sgp_status_t sgp_reduce_begin_mean(sgp_reduce_t *reduce, sgp_send_t *mean);

/* Writes chunk `index` of our part of rank owner's segment and sends it. SGP_ERR_NOT_FINITE: not sent. */
sgp_status_t sgp_reduce_send_chunk(sgp_reduce_t *reduce, int owner, uint64_t index);

/* Whether the parts of our chunk at `offset` of our segment have arrived from all ranks. *there: ranks, from 0 on, whose
 * part is known to be here; 0 at first. */
bool sgp_reduce_is_there(sgp_reduce_t *reduce, size_t offset, int *there);

/* They have: adds them up, sends the mean as the current chunk of `mean` to `place`, and gives it to reduce->result. */
sgp_status_t sgp_reduce_mean_chunk(sgp_reduce_t *reduce, sgp_send_t *mean, void *place);

/* A chunk of another rank's mean: gives it to reduce->result and releases it. SGP_ERR_MISMATCH. */
sgp_status_t sgp_reduce_take_chunk(sgp_reduce_t *reduce, sgp_chunk_t *chunk);

/* The call is given up: releases its chunks that are here. */
void sgp_reduce_drop(sgp_reduce_t *reduce);

/* Before a sleep. SGP_ERR_PEER_LOST, not logged: the call cannot succeed any more, or is called off. */
sgp_status_t sgp_reduce_check(const sgp_reduce_t *reduce);

/* All chunks are done: adds the messages to sent, received and bytes_sent. */
void sgp_reduce_count(sgp_reduce_t *reduce);

/* For part: elements [offset, offset + count) of a vector whose first `split` elements lie at `head`, the rest at `tail`.
 * */
const float *sgp_reduce_joined(const float *head, size_t split, const float *tail, size_t offset,
                               size_t count, float *scratch);

#endif
