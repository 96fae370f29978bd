/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a step in parts: a step whose gradient is known part by part, and whose result is needed part by part. A
 * mixer makes one at a time. parts.c has the calls of sgp/mixer.h; an algorithm's part ops (algorithms/algorithm_ops.h)
 * say what happens to a chunk; push_parts.h and reduce_parts.h exchange it. */
#ifndef SGP_MIXING_PART_STEP_H
#define SGP_MIXING_PART_STEP_H

#include "mixing/absorption.h"
#include "mixing/algorithms/allreduce_step.h"
#include "mixing/local_step.h"
#include "mixing/part_chunks.h"

/* Of algorithms that push: the messages of one round, chunk by chunk in any order of offset (push_parts.h). */
typedef struct sgp_push_parts {
    uint64_t round;      /* of the messages that are absorbed */
    sgp_edge_t *senders; /* (senders_count) ascending; borrowed. weight: as in sgp_absorption_t */
    int senders_count;
    size_t left;     /* chunks that have not been absorbed in this round */
    double *weights; /* (senders_count) of their messages, as far as a chunk of each was absorbed */
    bool *torn; /* (senders_count) the message will never be whole: no further chunk of it counts */
    double before;           /* the weight before they are absorbed */
    sgp_send_t send;         /* the push, once it has begun */
    bool begun;              /* and not abandoned */
    bool shared;             /* its receivers and their shares are fixed */
    sgp_destination_t *to;   /* (destinations) borrowed */
    int destinations;        /* of the push */
    double pushed;           /* the weight before the push */
    double kept, share;      /* the weight that stays, and its part of that */
    sgp_absorption_t asking; /* for questions.c: what is missing while the step sleeps */
} sgp_push_parts_t;

/* Of all-reduce (reduce_parts.h). */
typedef struct sgp_reduce_parts {
    sgp_reduce_t reduce;
    sgp_allreduce_step_t context; /* of reduce */
    size_t mine, others;          /* our own chunks: [mine, others) */
    sgp_send_t mean;              /* of our segment */
    bool begun, mean_begun;       /* messages that have not been abandoned */
    uint64_t seen;                /* as in sgp_part_step_t */
} sgp_reduce_parts_t;

typedef enum sgp_part_phase {
    SGP_PARTS_NONE = 0, /* between two steps */
    SGP_PARTS_GIVEN,    /* from begin to end: parts are given */
    SGP_PARTS_ENDED,    /* from end on, until every chunk is as after the step */
    SGP_PARTS_FAILED,   /* an error: the run is over for this mixer */
} sgp_part_phase_t;

struct sgp_part_step {
    sgp_part_phase_t phase;
    sgp_status_t failure; /* the error, if it has failed */
    sgp_local_t local;    /* borrowed until the step is over */
    float rate;           /* learning rate over weight */
    sgp_part_chunks_t chunks;
    unsigned rounds, made;  /* of this step; and those for which there is memory */
    size_t waiting;         /* chunks that wait for the push of a round to begin */
    uint64_t seen;          /* the inbox's count of chunks when all that are here were looked at */
    sgp_push_parts_t *push; /* (made) the rounds of this step */
    /* (made, size) for the rounds: senders, to, weights, torn. */
    sgp_edge_t *edges;
    sgp_destination_t *to;
    double *weights;
    bool *torn;
    sgp_reduce_parts_t reduce;
};

/* mixer->parts, with memory for the rounds of the mixer's options; what there is stays. Between two steps.
 * SGP_ERR_NO_MEMORY, logged: nothing has changed. destroy accepts a mixer without it. */
sgp_status_t sgp_part_step_make(sgp_mixer_t *mixer);
void sgp_part_step_destroy(sgp_mixer_t *mixer);

/* The local update of elements that are given; SGP_ERR_NOT_FINITE. */
static inline sgp_status_t sgp_part_step_update(const sgp_part_step_t *step, sgp_mixer_t *mixer,
                                                size_t offset, size_t count) {
    uint64_t mark = sgp_mixer_mark(mixer);
    bool finite = sgp_local_update(mixer, &step->local, step->rate, offset, count, NULL, false);
    sgp_mixer_mark_end(mixer, SGP_TRACE_UPDATE, mark);
    if (sgp_mixer_accepts(mixer, finite)) return SGP_OK;
    return sgp_mixer_refuse(mixer, "parameters", offset, count);
}

/* The chunk is as after the step; from now on changes of it are the caller's. */
static inline void sgp_part_step_done(sgp_part_step_t *step, sgp_mixer_t *mixer, size_t index) {
    sgp_part_chunk_t *chunk = &step->chunks.chunk[index];
    chunk->done = true;
    step->chunks.undone--;
    sgp_ledger_close_range(&mixer->ledger, mixer->z, chunk->begin, chunk->count);
}

#endif
