/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a mixer, and the primitives that its parts share. For the files of src/mixing alone; it calls nothing.
 *
 * Calls go one way: parts.c, mixer.c, switch.c and exact_average.c (the public calls) -> slow_update.c, workers.c, algorithm.c ->
 * algorithms/ -> push_parts.c, reduce_parts.c, absorption.c -> questions.c -> late.c -> push.c, reduce.c, outer.c,
 * progress_thread.c, local_step.c -> the inbox -> the transport. Nothing here knows a socket or a layer of a network. */
#ifndef SGP_MIXING_MIXER_CORE_H
#define SGP_MIXING_MIXER_CORE_H

#include "base/trace.h"
#include "codec/codec.h"
#include "group/group_internal.h"
#include "mixing/ledger.h"
#include "mixing/reduce.h"

#include <sgp/mixer.h>

typedef struct sgp_progress sgp_progress_t;           /* mixing/progress_thread.h */
typedef struct sgp_algorithm_ops sgp_algorithm_ops_t; /* mixing/algorithms/algorithm_ops.h */
typedef struct sgp_part_step sgp_part_step_t;         /* mixing/part_step.h */
typedef struct sgp_arrival sgp_arrival_t;             /* mixing/arrival.h */
typedef struct sgp_late sgp_late_t;                   /* mixing/late.h */
typedef struct sgp_questions sgp_questions_t;         /* mixing/questions.h */
typedef struct sgp_ranges sgp_ranges_t;               /* mixing/ranges.h */

/* The workers of a node; see mixing/workers.h. */
typedef struct sgp_workers {
    sgp_group_t *group; /* NULL: the node is one process */
    sgp_reducer_t reducer;
    uint32_t channel;
    uint64_t calls; /* collective calls so far: the step of their messages */
    float *mine;    /* (length) our segment of a mean */
    size_t room;    /* bytes of a message for which the transport is prepared; 0: it is not */
} sgp_workers_t;

/* Room promised by the transport; all zero: none. */
typedef struct sgp_room {
    size_t bytes; /* of a message */
    unsigned messages;
} sgp_room_t;

/* Nodes that are gone while the others go on; see mixing/holes.h. */
#define SGP_NO_MEMBER UINT32_MAX

typedef struct sgp_holes {
    bool elastic;
    bool
        stirred; /* since the start a node was lost, or silent, or this one was: messages can be late from now on */
    bool was_silent;           /* this node, and it may be behind the others */
    unsigned steps_since;      /* own steps since then */
    uint32_t events_seen;      /* of fates */
    uint32_t absences_seen;    /* of this node */
    uint32_t known;            /* changes of fates that `is` has */
    uint64_t events, averaged; /* what has happened, so far and until the last exact average */
    void (*opened)(sgp_mixer_t *mixer,
                   int rank); /* a seat has a new member; NULL: there are no newcomers */
    bool *is;                 /* (size) ranks of the group; NULL: not elastic */
    bool *silent;             /* (size) at the last look */
    uint32_t *
        incarnations; /* (size) of the members that all this is of; NO_MEMBER: the seat is absent */
    size_t *
        lent; /* (size) bytes of a message for which there is more room, as this rank is silent; 0: none */
    /* (size) messages by rounds: sent to each rank, and absorbed from each, whole. Equal for live pairs once settled. */
    uint64_t *sent, *got;
    uint32_t *counted; /* (size) incarnations of the members of which these are */
} sgp_holes_t;

/* The graph of some rounds, in an elastic group; see mixing/round_graph.h. */
typedef struct sgp_round_graph {
    uint64_t from, until; /* steps in which it holds */
    uint64_t version;     /* of the view that it comes from, plus 1; 0: it is to be made */
    sgp_graph_t graph;
    int *seats; /* (graph.size) the rank of each node of the graph, ascending */
    int place;  /* of this node; -1: the plan is without it */
} sgp_round_graph_t;

enum { SGP_ROUND_GRAPHS = 2 /* of this step, and of the step of messages that are late */ };

typedef struct sgp_round_graphs {
    sgp_round_graph_t of[SGP_ROUND_GRAPHS];
    int newest;
    bool *struck;    /* (size) ranks that were not in the last exact average */
    int nodes;       /* of the last exact average */
    uint64_t agreed; /* views of the members at the last exact average */
} sgp_round_graphs_t;

/* For vectors as they travel, for exact averages, for notices, for newcomers, and for verdicts. */
enum { SGP_ROOMS = 5 };

/* How outer_momentum and outer_anchor are used: SlowMo (mixing/slow_update.h), or outer steps (mixing/outer.h). */
typedef enum sgp_outer_kind {
    SGP_OUTER_NONE = 0,
    SGP_OUTER_SLOW,
    SGP_OUTER_BY_MEAN,
    SGP_OUTER_BY_PUSH,
} sgp_outer_kind_t;

/* An algorithm mixes this worker's segment of the vector: z, count and length describe the segment. In a node of one
 * process the segment is the whole vector. */
struct sgp_mixer {
    sgp_mixer_options_t options; /* defaults filled in */
    const sgp_algorithm_ops_t *ops;
    void *extra;                 /* the algorithm's own state */
    sgp_ranges_t *ranges;        /* NULL: the encoding does not know the receiver */
    sgp_progress_t *progress;    /* NULL: the algorithm needs none */
    sgp_room_t rooms[SGP_ROOMS]; /* promised by the transport */
    sgp_group_t *group;
    sgp_inbox_t *inbox;
    sgp_transport_t *transport;
    int rank;
    int size; /* seats: arrays by rank cover nodes that join later; mixer->graph has the nodes of this step */
    int founders;      /* nodes at the start */
    size_t all_count;  /* P */
    size_t all_length; /* P + S */
    size_t first;      /* of the segment, in the whole vector */
    size_t count;      /* parameters in the segment, before its buffers */
    size_t length;     /* of the segment: parameters and buffers */
    sgp_graph_t graph;
    _Atomic uint64_t timeout; /* nanoseconds; the progress thread reads it between two changes */
    uint32_t channel, average_channel;
    uint64_t averages; /* exact means computed */

    float *all;    /* (P + S) de-biased; the numerator is w z */
    float *own;    /* all, where it is this mixer's memory; NULL: the caller's */
    float *z;      /* (length) the segment that this process mixes */
    double w;      /* push-sum weight */
    uint64_t step; /* of the next sgp_mixer_step */
    uint64_t
        round; /* of the next exchange: the step of its messages. A step makes options.rounds of them; this is the first one */
    uint64_t
        entry; /* a newcomer has told others that it takes no part in the exchanges of rounds before it; otherwise 0 */
    bool exchanges; /* this step ends with an exchange */
    bool held;      /* from sgp_mixer_hold to the step that ends it: only the caller touches z */
    bool broken;    /* the update of this step has made numbers that are not finite */
    sgp_ledger_t ledger;

    float *outer_momentum; /* (count) u of SlowMo, or U of outer steps; NULL: no outer updates */
    float *outer_anchor;   /* (count) z after the last outer update */
    sgp_outer_kind_t outer_kind;  /* of the options */
    sgp_outer_kind_t outer_owner; /* whose vectors these are; a switch can have ended its updates */

    sgp_holes_t holes;
    sgp_round_graphs_t *graphs; /* NULL: not elastic */
    sgp_inbox_owner_t arrivals; /* of this mixer's channel; attached where it is elastic */
    sgp_arrival_t *arrival;     /* NULL: the group takes no newcomers */
    sgp_late_t *late;           /* NULL: not elastic */
    sgp_questions_t *questions; /* NULL: not elastic */
    uint64_t recoveries; /* of all-reduce, after changes of its nodes (algorithms/recovery.h) */
    bool
        regroups; /* this node has let a newcomer in, or is one: its next all-reduce begins with a recovery */
    bool is_new;                /* a newcomer that has made no all-reduce */
    sgp_meeting_t meeting;      /* with the others, before a collective call of the caller */
    bool unmet;                 /* it has made a step since the last one */
    sgp_optimizer_t *optimizer; /* of its last step, in an elastic group; borrowed */
    sgp_edge_t *edges;          /* (max degree) of the graph, in-edges of a step */
    sgp_destination_t *to;      /* (size) destinations of the message being sent */
    double *weights;            /* (size) of all nodes, while sgp_mixer_agree runs */
    sgp_reducer_t reducer;      /* of the segment, over the nodes */
    sgp_workers_t workers;
    sgp_part_step_t *parts;            /* NULL: no step in parts so far */
    sgp_trace_t *trace;                /* borrowed; NULL: off */
    uint64_t paused;                   /* nanoseconds asleep in sgp_transport_pause */
    sgp_mixer_statistics_t statistics; /* with a progress thread: under the transport's lock */
};

/* Whether the node has several processes. */
static inline bool sgp_mixer_has_workers(const sgp_mixer_t *mixer) {
    return mixer->workers.group != NULL;
}

/* Bytes of a message of the vector's length, and whether encoding rounds it. */
static inline uint64_t sgp_mixer_bytes(const sgp_mixer_t *mixer) {
    return sgp_encoding_message(mixer->options.encoding, mixer->transport->chunk_bytes,
                                mixer->length);
}
static inline bool sgp_mixer_is_lossy(const sgp_mixer_t *mixer) {
    return sgp_encoding_is_lossy(mixer->options.encoding);
}

/* Whether the step that is being made ends with an exchange: the last one of its local steps. */
static inline bool sgp_mixer_ends_round(const sgp_mixer_t *mixer) {
    return (mixer->step + 1) % (uint64_t)mixer->options.local_steps == 0;
}

/* The step has been made. */
static inline void sgp_mixer_count_step(sgp_mixer_t *mixer) {
    if (sgp_mixer_ends_round(mixer)) mixer->round += (uint64_t)mixer->options.rounds;
    mixer->step++;
}

/* Elements in a full chunk. */
static inline size_t sgp_mixer_chunk(const sgp_mixer_t *mixer) {
    return sgp_encoding_fit(mixer->options.encoding, mixer->transport->chunk_bytes);
}

/* Elements of the chunk that begins at offset. */
static inline size_t sgp_mixer_chunk_at(const sgp_mixer_t *mixer, size_t offset) {
    size_t left = mixer->length - offset, most = sgp_mixer_chunk(mixer);
    return left < most ? left : most;
}

/* Where the chunk that holds the element ends. */
static inline size_t sgp_mixer_chunk_end(const sgp_mixer_t *mixer, size_t element) {
    size_t begin = element - element % sgp_mixer_chunk(mixer);
    return begin + sgp_mixer_chunk_at(mixer, begin);
}

/* Elements of a block of the vector, for an encoding that has blocks: a chunk may be shorter than theirs. And how many blocks
 * the vector has. */
static inline size_t sgp_mixer_block(const sgp_mixer_t *mixer) {
    size_t chunk = sgp_mixer_chunk(mixer);
    return chunk < SGP_BLOCK ? chunk : SGP_BLOCK;
}
static inline size_t sgp_mixer_blocks(const sgp_mixer_t *mixer) {
    return (mixer->length + sgp_mixer_block(mixer) - 1) / sgp_mixer_block(mixer);
}

/* For the trace of the computing context: the begin of a span, and its end, where the next one may begin. */
static inline uint64_t sgp_mixer_mark(const sgp_mixer_t *mixer) {
    return sgp_trace_begin(mixer->trace);
}
static inline uint64_t sgp_mixer_mark_end(const sgp_mixer_t *mixer, sgp_trace_kind_t kind,
                                          uint64_t start) {
    return sgp_trace_end(mixer->trace, SGP_TRACE_COMPUTING, kind, start);
}

/* For the flight recorder, with the use of the transport: what became of peer's message of a round. */
static inline void sgp_mixer_note(const sgp_mixer_t *mixer, sgp_flight_kind_t kind, int peer,
                                  uint64_t round) {
    sgp_flight_note(mixer->transport->flight, SGP_FLIGHT_MESSAGES, kind, peer, round, 0);
}

/* Whether numbers may be sent, or kept: they are finite, or the options allow all. */
static inline bool sgp_mixer_accepts(const sgp_mixer_t *mixer, bool finite) {
    return finite || mixer->options.allow_not_finite;
}

/* SGP_ERR_NOT_FINITE, logged: some of elements [offset, offset + count) of `what` are not finite. SGP_ERR_PEER_LOST, logged: the others
 * have struck this node off, so its numbers may be those of chunks that were overwritten. */
sgp_status_t sgp_mixer_refuse(const sgp_mixer_t *mixer, const char *what, size_t offset,
                              size_t count);

/* SGP_ERR_INVALID, logged, while the caller holds z (sgp_mixer_hold). call: "average". */
sgp_status_t sgp_mixer_refuse_held(const sgp_mixer_t *mixer, const char *call);

/* Before a step: its arguments. SGP_ERR_INVALID, logged. */
sgp_status_t sgp_mixer_check_step(const sgp_mixer_t *mixer, const sgp_optimizer_t *optimizer,
                                  const float *gradient);

/* A lost node ends the run of every algorithm, also of one that would not wait for it: SGP_ERR_PEER_LOST, logged. */
sgp_status_t sgp_mixer_check_losses(const sgp_mixer_t *mixer);

#endif
