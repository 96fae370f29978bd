/* SPDX-License-Identifier: Apache-2.0 */
/* What the algorithms share. An algorithm is one file that fills in sgp_algorithm_ops_t; it talks
 * to the other nodes through the inbox and knows no socket and no layer. */
#ifndef SGP_MIXING_MIXER_INTERNAL_H
#define SGP_MIXING_MIXER_INTERNAL_H

#include "base/state.h"
#include "base/trace.h"
#include "group/group_internal.h"
#include "mixing/ledger.h"
#include "mixing/reduce.h"
#include "codec/codec.h"

#include <sgp/mixer.h>

/* The local part of a step. */
typedef struct sgp_local {
    sgp_optimizer_t *optimizer; /* NULL: the caller has changed z */
    const float *gradient;      /* (P) */
    float learning_rate;
} sgp_local_t;

typedef struct sgp_courier sgp_courier_t; /* mixing/progress_thread.h */

typedef struct sgp_algorithm_ops {
    /* What the algorithm needs beyond the mixer itself: mixer->extra. NULL: nothing. Sends nothing, and
     * leaves (z, w) alone: resume follows once the algorithm is the mixer's. SGP_ERR_NO_MEMORY,
     * SGP_ERR_UNSUPPORTED; logged. destroy ends what create began, and is called for a NULL extra too. */
    sgp_status_t (*create)(sgp_mixer_t *mixer);
    void (*destroy)(sgp_mixer_t *mixer);

    /* What its courier does, and what the node does in its place in a collective call; see
     * mixing/progress_thread.h. NULL: nothing. has_courier: whether there is one with these options; NULL: where
     * there is work. */
    sgp_status_t (*work)(sgp_mixer_t *mixer);
    void (*serve)(void *mixer);
    bool (*has_courier)(const sgp_mixer_t *mixer);

    /* Messages of the vector's length that may be under way at a time, so that nobody is slowed by
     * a node that is behind by as much as the algorithm allows. notices: messages of a few bytes beside
     * them; NULL: none. */
    unsigned (*messages)(const sgp_mixer_t *mixer);
    unsigned (*notices)(const sgp_mixer_t *mixer);

    /* Local update and, if mixer->exchanges, the exchange of mixer->round. deadline: of every wait
     * in it. */
    sgp_status_t (*step)(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline);

    /* Absorbs what is still under way to this node; all nodes call it after the same step. After it
     * the node alone holds its mass, (z, w), and the caller may use the transport. NULL: it is so
     * after every step. */
    sgp_status_t (*settle)(sgp_mixer_t *mixer, uint64_t deadline);

    /* The caller is about to change z alone, without the others: the algorithm lets go of it until
     * resume. NULL: it always has. */
    sgp_status_t (*hold)(sgp_mixer_t *mixer, uint64_t deadline);

    /* After create, settle or hold: (z, w) may have been changed since; goes on with them. NULL: nothing
     * to do. */
    sgp_status_t (*resume)(sgp_mixer_t *mixer);

    /* Of what is in extra, for a checkpoint after settle. NULL: nothing. */
    void (*state)(sgp_mixer_t *mixer, sgp_state_t *state);
} sgp_algorithm_ops_t;

extern const sgp_algorithm_ops_t sgp_algorithm_lockstep; /* sgp, dpsgd */
extern const sgp_algorithm_ops_t sgp_algorithm_overlap;
extern const sgp_algorithm_ops_t sgp_algorithm_async;
extern const sgp_algorithm_ops_t sgp_algorithm_pairs; /* adpsgd */
extern const sgp_algorithm_ops_t sgp_algorithm_allreduce;
extern const sgp_algorithm_ops_t sgp_algorithm_library_allreduce; /* by the transport's own */

/* The workers of a node and what they exchange; see mixing/workers.h. */
typedef struct sgp_workers {
    sgp_group_t *group; /* NULL: the node is one process */
    sgp_reducer_t reducer;
    uint32_t channel;
    uint64_t calls; /* collective ones so far: the step of their messages */
    float *mine;    /* (length) our segment of a mean */
    size_t room;    /* bytes of the vector, for which the transport is prepared; 0: it is not */
} sgp_workers_t;

/* Room promised by the transport; all zero: none. */
typedef struct sgp_room {
    size_t bytes; /* of a message */
    unsigned messages;
} sgp_room_t;

/* For vectors as they travel, for exact averages, and for notices. */
enum { SGP_ROOMS = 3 };

/* An algorithm mixes the worker's segment of the vector: z, count and length are those of the
 * segment. Where a node is one process, that is all of it. */
struct sgp_mixer {
    sgp_mixer_options_t options; /* defaults filled in */
    const sgp_algorithm_ops_t *ops;
    void *extra;                 /* the algorithm's */
    sgp_courier_t *courier;      /* NULL: the algorithm has none */
    sgp_room_t rooms[SGP_ROOMS]; /* what the transport has promised for it */
    sgp_group_t *group;
    sgp_inbox_t *inbox;
    sgp_transport_t *transport;
    int rank, size;
    size_t all_count;  /* P */
    size_t all_length; /* P + S */
    size_t first;      /* of the segment, in the whole vector */
    size_t count;      /* parameters in the segment; the rest of it are buffers */
    size_t length;     /* of the segment */
    sgp_graph_t graph;
    uint64_t timeout; /* nanoseconds */
    uint32_t channel, average_channel;
    uint64_t averages; /* exact means computed */

    float *all;     /* (P + S) de-biased; the numerator is w z */
    float *z;       /* (length) the segment of it, which this process mixes */
    double w;       /* push-sum weight */
    uint64_t step;  /* of the next sgp_mixer_step */
    uint64_t round; /* of the next exchange: the step of its messages */
    bool exchanges; /* this step ends with an exchange */
    bool broken;    /* the update of this step gave numbers that are not finite */
    sgp_ledger_t ledger;

    float *slow;   /* (count) slow momentum u; NULL: none */
    float *anchor; /* (count) z after the last slow update */

    sgp_edge_t *edges;     /* (max degree) of the graph, in-edges of a step */
    sgp_destination_t *to; /* (size) destinations of the message being sent */
    double *weights;       /* (size) of all nodes, while they agree */
    sgp_reducer_t reducer; /* of the segment, over the nodes */
    sgp_workers_t workers;
    sgp_trace_t *trace;                /* borrowed; NULL: off */
    uint64_t paused;                   /* nanoseconds asleep in sgp_transport_pause */
    sgp_mixer_statistics_t statistics; /* with a courier they belong to the transport's lock */
};

/* Bytes of an element between the nodes, and whether it is rounded for that. */
static inline size_t sgp_mixer_element(const sgp_mixer_t *mixer) {
    return sgp_encoding_size(mixer->options.encoding);
}
static inline bool sgp_mixer_rounds(const sgp_mixer_t *mixer) {
    return sgp_encoding_rounds(mixer->options.encoding);
}

/* Elements in a full chunk. */
static inline size_t sgp_mixer_chunk(const sgp_mixer_t *mixer) {
    return mixer->transport->chunk_bytes / sgp_mixer_element(mixer);
}

/* Elements of the chunk that begins at offset. */
static inline size_t sgp_mixer_chunk_at(const sgp_mixer_t *mixer, size_t offset) {
    size_t left = mixer->length - offset, most = sgp_mixer_chunk(mixer);
    return left < most ? left : most;
}

/* For the trace of the computing context: where a span begins; and its end, where the next one may
 * begin. */
static inline uint64_t sgp_mixer_mark(const sgp_mixer_t *mixer) {
    return sgp_trace_begin(mixer->trace);
}
static inline uint64_t sgp_mixer_mark_end(const sgp_mixer_t *mixer, sgp_trace_kind_t kind,
                                          uint64_t start) {
    return sgp_trace_end(mixer->trace, SGP_TRACE_COMPUTING, kind, start);
}

/* Records where its time goes from now on; NULL: no more. Between two steps. */
void sgp_mixer_trace(sgp_mixer_t *mixer, sgp_trace_t *trace);

/* Whether the options make sense together, with graph.size nodes. SGP_ERR_INVALID; the log says what
 * is wrong and what would work. count and buffers are not looked at. */
sgp_status_t sgp_mixer_check(const sgp_mixer_options_t *options);

/* Whether a stretch of numbers may be sent, or kept: that it is finite, or the options allow all. */
static inline bool sgp_mixer_accepts(const sgp_mixer_t *mixer, bool finite) {
    return finite || mixer->options.allow_not_finite;
}

/* SGP_ERR_NOT_FINITE, logged: elements [offset, offset + count) of `what` are not. */
sgp_status_t sgp_mixer_refuse(const sgp_mixer_t *mixer, const char *what, size_t offset,
                              size_t count);

/* The local step on elements [offset, offset + count) of z, with a copy of the result (NULL: none):
 * z <- z - rate d. The buffers behind P are copied as they are. non_temporal: how the copy is written.
 * Enters the change in the ledger. false: a number that was updated or copied is not finite. */
bool sgp_mixer_update(sgp_mixer_t *mixer, const sgp_local_t *local, float rate, size_t offset,
                      size_t count, float *copy, bool non_temporal);

/* The whole of it at weight w: the numerator moves by lr d, so z by lr d / w. For steps without an
 * exchange. SGP_ERR_NOT_FINITE. */
sgp_status_t sgp_mixer_update_all(sgp_mixer_t *mixer, const sgp_local_t *local);

/* Ends what is in flight: of the segment alone, whose other workers do not have it then. */
sgp_status_t sgp_mixer_settle_segment(sgp_mixer_t *mixer);

/* z <- the exact mean over the nodes, w <- their mean weight. All nodes call it, settled. */
sgp_status_t sgp_mixer_agree(sgp_mixer_t *mixer, uint64_t deadline);

/* The slow update that is due after this step; see mixing/outer.c. */
sgp_status_t sgp_mixer_slow(sgp_mixer_t *mixer, float learning_rate, uint64_t deadline);

/* For checkpoints. settle: all nodes call it after the same step; nothing is in flight then, as long
 * as nobody steps. state: adds what the mixer has to remember, valid until the next call on it.
 * restored: after those places were filled in a mixer with the same options, instead of any step
 * before. */
sgp_status_t sgp_mixer_settle(sgp_mixer_t *mixer);
sgp_status_t sgp_mixer_resume(sgp_mixer_t *mixer);
void sgp_mixer_state(sgp_mixer_t *mixer, sgp_state_t *state);
sgp_status_t sgp_mixer_restored(sgp_mixer_t *mixer);

/* The sum of the weights and the drift of what the nodes hold, as sgp_mixer_average finds them, but
 * without averaging: the distance stays 0. All nodes call it, with nothing in flight. */
sgp_status_t sgp_mixer_balance(sgp_mixer_t *mixer, sgp_mixer_consensus_t *balance);

#endif
