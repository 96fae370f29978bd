/* SPDX-License-Identifier: Apache-2.0 */
/* Averaging one vector over the nodes of a group while each of them changes it.
 *
 * PushSum: node i holds a numerator x (a vector) and a weight w (a number, 1 at the start). The sums of
 * x and of w over nodes and messages never change but by the local steps, and z = x / w is each node's
 * estimate of the mean of all x. The mixer stores (z, w), with x = w z: one buffer, at a fixed address,
 * at which a gradient can be taken.
 *
 *   local step   z <- z - (lr / w) d                          (x <- x - lr d)
 *   push         sends (z, p w) to an out-peer, w <- w - p w
 *   absorb       z <- z + v / (w + v) (y - z), w <- w + v     (x <- x + v y), of an arriving (y, v)
 *
 * Source: Assran et al. 2019, algorithm 1; this is the same arithmetic with x = w z put in.
 *
 * Where z is rounded to travel, y = dec(enc(z)) is what the out-peers get, with weights of s in all, and
 * the sender keeps what they did not get:
 *
 *   push         w' = w - s,  z <- z + s / w' (z - y)         (x <- x - s y)
 *
 * A training loop:
 *
 *   sgp_mixer_create(group, &(sgp_mixer_options_t){.count = P}, initial, &mixer);
 *   for (each step) {
 *       gradient(sgp_mixer_parameters(mixer), g);
 *       sgp_mixer_step(mixer, optimizer, g, lr);
 *   }
 *   sgp_mixer_average(mixer, average, NULL); */
#ifndef SGP_MIXER_H
#define SGP_MIXER_H

#include <sgp/encoding.h>
#include <sgp/graph.h>
#include <sgp/group.h>
#include <sgp/optimizer.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not thread-safe: one caller per mixer, the caller of its group. */
typedef struct sgp_mixer sgp_mixer_t;

typedef enum sgp_algorithm {
    SGP_ALGORITHM_SGP = 0,   /* Stochastic Gradient Push; with an overlap the same as OSGP */
    SGP_ALGORITHM_ALLREDUCE, /* exact mean of all gradients in every step: the baseline */
    SGP_ALGORITHM_OSGP,      /* SGP that overlaps communication with computation: see overlap */
    SGP_ALGORITHM_DPSGD,     /* D-PSGD (Lian et al. 2017): pairs average with each other in each
                                step; needs a symmetric graph */
    SGP_ALGORITHM_ADPSGD,    /* AD-PSGD (Lian et al. 2018): pairs average whenever one of them, the
                                active one, is ready; the passive one answers while it computes */
    SGP_ALGORITHM_SERVER,    /* an asynchronous parameter server, rank 0: see below */
} sgp_algorithm_t;

/* SGP_ALGORITHM_SERVER (Downpour SGD, Dean et al. 2012) is a baseline: rank 0 has the parameters and applies each node's
 * gradient when it arrives; a step sends one and waits for the parameters that it has made, and for no other node. Rank 0
 * takes gradients of its own, and serves beside them. All nodes start with the same values. n gradients, one of each node,
 * count as one mean gradient: each moves the parameters by lr / n. The optimizer of rank 0 does all updates, from its first
 * step on: it lives until the mixer is destroyed, and only between sgp_mixer_average, sgp_mixer_switch or
 * sgp_mixer_state_save and the next step may others read it. Without an optimizer the nodes' own changes of z are sent,
 * of which the server adds 1/n. It is no push-sum: w is 1, a graph is not used, and there are no overlap, rounds,
 * local steps or slow momentum. Encodings without blocks round gradients and the parameters that answer them. The group must not be elastic: rank 0 ends the run of all. */

/* An overlap without bound: a step waits for nothing and absorbs what has arrived. */
#define SGP_OVERLAP_ASYNC (-1)

typedef struct sgp_mixer_options {
    size_t count;              /* P, floats that the optimizer moves; required, > 0 */
    size_t buffers;            /* S, floats that are averaged as well but only the caller changes
                                  (batch-norm running statistics); 0 */
    sgp_algorithm_t algorithm; /* SGP_ALGORITHM_SGP */
    sgp_graph_t
        graph;   /* size 0: the group's; all zero: one-peer exponential. Unused by all-reduce */
    int overlap; /* sgp and osgp: step k waits for the messages of step k - overlap; 0: its own;
                       SGP_OVERLAP_ASYNC: for none */
    bool allow_not_finite; /* send infinities and NaNs as well, instead of SGP_ERR_NOT_FINITE */
    bool biased;           /* an ablation: the push-sum weight is ignored, z = x. Not an average */
    sgp_encoding_t encoding; /* of the vectors between nodes; SGP_ENCODING_FLOAT32. Averages
                                (sgp_mixer_average) and a node's own workers stay at float32. All-reduce
                                adds a gradient's rounding to the next one (error feedback); what is
                                left of it when the algorithm changes is dropped */
    int local_steps; /* H: the nodes exchange in every H-th step only, all its rounds; 0: in each */
    float slow_momentum; /* beta in [0, 1) of SlowMo (Wang et al. 2020); used if slow_every > 0 */
    int slow_every;      /* tau: steps from one slow update to the next; 0: no slow momentum */
    bool slow_alone;     /* without the exact average before a slow update */
    bool
        library_allreduce; /* all-reduce by the library under the transport, MPI_Allreduce, instead of our
                               own: its bits, and its own way of waiting, without a time limit. float32 only */
    int timeout_ms;        /* longest wait for a message of a step; 0: 60,000 */
    sgp_group_t *workers; /* of this node, borrowed; NULL or of size 1: the node is one process.
                             See below */
    float *vector; /* (P + S), 64-byte aligned, of any mapping: the vector lies there instead of in
                      memory of the mixer's own. Borrowed for the mixer's life. Without initial values
                      its contents are the initial ones. NULL: the mixer's own */
    uint64_t
        passes_over; /* in an elastic group: 1: a node that stood still or was cut off, while the others
                             went on, goes on from their step. The caller counts the steps between as
                             made (statistics.passed_over). 0: it makes them, and the others wait */
    int64_t
        rounds; /* R, sgp and dpsgd without an overlap: exchanges per step, 1 to SGP_ROUNDS_MOST; after the
                       local update, R times: push to the graph's next peers and absorb. So each step brings the
                       nodes nearer to their mean: to the mean itself (but for rounding) where R is the period of a
                       graph that is exact after it. SGP_ROUNDS_AUTO: that period, of the group at its start. 0: 1 */
    float
        outer_lr; /* outer steps (DiLoCo, Douillard et al. 2023): what the local steps from one exchange to the next
                       have changed, D, counts as one step of an outer optimizer at this rate, 10 at most; 0.7 is usual.
                       0: none. With all-reduce the mean of all D is taken, and only D is encoded: so it
                       bears int4; the nodes start with the same values. With sgp and dpsgd, overlap 0, each node takes its
                       own D before it pushes. Not with slow_every */
    float outer_momentum; /* of outer steps: Nesterov's, in [0, 1); 0.8 is usual */
} sgp_mixer_options_t;

#define SGP_ROUNDS_AUTO (-1)
#define SGP_ROUNDS_MOST 64

/* A node of M workers (processes, one GPU each): they average their gradients exactly, in order of
 * rank, and gossip as one node. Their mixer is created over two groups, as sgp_group_split makes
 * them: `nodes`, which is this worker and its counterparts on the other nodes, and
 * options.workers. Each worker updates and exchanges a segment of the vector, 1/M of it, and all
 * of them have the same z after every step. So N nodes of M workers do what N nodes with M times
 * the batch do, but for rounding.
 *
 * All workers make the same calls with the same options; those of a node start with the same
 * values. Where the caller changes z (a NULL optimizer, buffers), the workers' changes are
 * averaged by the next step. A call that waits for nodes waits for the node's own workers, too. */

/* Counters and times since the mixer was created. Messages are those to and from other nodes; refused and
 * resent count chunks, pieces of a message, and those of all of the group's mixers. */
typedef struct sgp_mixer_statistics {
    uint64_t steps;
    uint64_t sent;         /* messages; a step of R rounds sends R to each of its peers */
    uint64_t received;     /* messages absorbed */
    uint64_t late;         /* absorbed in a later step than their own */
    uint64_t refused;      /* chunks that arrived and were not accepted */
    uint64_t resent;       /* chunks sent again, as they had arrived damaged */
    uint64_t reabsorbed;   /* taken back by the sender because they could not be delivered */
    uint64_t bytes_sent;   /* payload */
    uint64_t step_ns;      /* in sgp_mixer_step, or the calls of a step in parts */
    uint64_t wait_ns;      /* of step_ns: asleep until a message arrived */
    uint64_t last_step_ns; /* the last step alone */
    uint64_t last_wait_ns;
    double weight; /* w now */

    /* Of an elastic group (sgp/group.h), which goes on without nodes that are gone: */
    uint64_t torn;          /* messages whose sender died in the middle of them */
    double weight_returned; /* w of messages to nodes that died before they had absorbed them */
    uint64_t silences;      /* times that another node fell silent */
    uint64_t holes;         /* messages not sent, as their receiver was gone or silent */
    uint64_t waits_asked;   /* questions to senders whose messages were long in coming */
    uint64_t
        passed_over; /* steps: options.passes_over. sgp_mixer_step adds to it before its own step */
    double
        weight_created; /* w of torn messages that counts although parts of their vectors are missing, which keep
                           this node's z: with rounds */
    uint64_t
        staleness; /* server, on rank 0: sum over requests of the updates between the parameters that a node had and its request.
                      `late` counts the requests with any */
} sgp_mixer_statistics_t;

/* Figures of all nodes together, measured by sgp_mixer_average; the same on every node. */
typedef struct sgp_mixer_consensus {
    double w_total;  /* sum of w over nodes: their number, to rounding */
    double drift;    /* |sum of x - what the local steps made of it| / |sum of x|, over sampled
                        coordinates: the rounding of the mixing, and anything lost */
    double distance; /* root mean square over nodes of |z_i - mean|, divided by |mean|, over the P
                        parameters */
} sgp_mixer_consensus_t;

/* Copies options and initial values ((P + S), NULL: zeros, or those of options.vector); each node may start
 * with its own. Sets *mixer only on success. Every node of the group calls it, in the same order for several mixers;
 * it does not block. SGP_ERR_INVALID: an option is out of range, or the vector has fewer than
 * 16 numbers for each worker of a node; the log says which. SGP_ERR_UNSUPPORTED: library_allreduce, and
 * the group's transport has no such library; or adpsgd or server beside another mixer of the group that has an overlap or
 * is adpsgd or server: give it a group of its own. All others share a group; the nodes step them in the same order.
 * SGP_ERR_NO_MEMORY: nothing changed, and options.vector neither. */
SGP_API sgp_status_t sgp_mixer_create_sized(sgp_group_t *group, const sgp_mixer_options_t *options,
                                            size_t size, const float *initial, sgp_mixer_t **mixer);
static inline sgp_status_t sgp_mixer_create(sgp_group_t *group, const sgp_mixer_options_t *options,
                                            const float *initial, sgp_mixer_t **mixer) {
    return sgp_mixer_create_sized(group, options, sizeof *options, initial, mixer);
}

/* Messages of this node still in flight are delivered all the same. NULL is fine. */
SGP_API void sgp_mixer_destroy(sgp_mixer_t *mixer);

/* z, (P + S), parameters first, then buffers: 64-byte aligned, at the same address for the mixer's
 * whole life. Owned by the mixer, but for options.vector. Its values are this node's estimate until the next call on the
 * mixer. A caller with its own optimizer changes it in place and steps with a NULL optimizer,
 * best after sgp_mixer_hold: a change of z by d changes x by w d. */
SGP_API float *sgp_mixer_parameters(sgp_mixer_t *mixer);

/* The S buffers behind the parameters: written by the caller between steps (each node its own
 * statistics). */
SGP_API float *sgp_mixer_buffers(sgp_mixer_t *mixer);

/* Another algorithm, graph, overlap, ... from the next step on; count, buffers, workers, timeout_ms and vector
 * are those of before. All nodes call it after the same step, with the same options; it blocks as
 * sgp_mixer_average. Messages in flight are absorbed first. If the algorithm changes, the nodes go
 * on from their exact mean, each with weight 1. Momentum is the optimizer's and stays.
 *
 * All nodes switch, or none does and the mixer goes on as before: SGP_ERR_INVALID: refused at once.
 * SGP_ERR_UNSUPPORTED, as sgp_mixer_create. SGP_ERR_NO_MEMORY: the new algorithm is made beside the old
 * one. The last two also if another node cannot switch; the log names it. After any other error, one of
 * sgp_mixer_average, the run is over for this mixer. */
SGP_API sgp_status_t sgp_mixer_switch_sized(sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                            size_t size);
static inline sgp_status_t sgp_mixer_switch(sgp_mixer_t *mixer,
                                            const sgp_mixer_options_t *options) {
    return sgp_mixer_switch_sized(mixer, options, sizeof *options);
}

/* One step: the local update with `gradient` (borrowed for the call), then the algorithm's
 * exchange. optimizer may be NULL: no local update by the mixer, gradient is not read (sgp);
 * all-reduce then averages z itself. Waits as the algorithm says, asleep. On an error the vector is
 * between two steps: the run is over for this mixer. SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT: a node
 * ended, or has left without sending what this one waits for, or was silent for timeout_ms; the
 * log names it. SGP_ERR_MISMATCH: a node sent a vector of another length or encoding.
 * SGP_ERR_NOT_FINITE: what this node would send, or its vector after the update, has an infinity
 * or a NaN; that part of it was not sent. Many nodes can meet it in one step, so the log has it at
 * level info. In an elastic group all-reduce keeps `optimizer` until the next step: sgp_mixer_average,
 * sgp_mixer_switch, sgp_mixer_state_save and the first barrier or gather of the group after it can read and write it, and
 * write z. A barrier or gather while the mixer is held, or between begin and end of a step in parts, can end with
 * SGP_ERR_MISMATCH there. SGP_ERR_ENDED: another node has said that the run is over (sgp train does). Then
 * destroy the mixer and leave its group. A node that meets SGP_ERR_NOT_FINITE ends with
 * sgp_group_abort, or without leaving: so all others see a loss at once, also those that do not
 * wait for it in this step. */
SGP_API sgp_status_t sgp_mixer_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                                    const float *gradient /* (P) */, float learning_rate);

/* ---- An optimizer of the caller's own ----
 *
 *   sgp_mixer_hold(mixer);
 *   sgp_mixer_statistics(mixer, &statistics);       w: a change of z by d changes x by w d
 *   z -= lr / statistics.weight * d                 by whatever optimizer
 *   sgp_mixer_step(mixer, NULL, NULL, lr)           ends the hold
 *
 * does what sgp_mixer_step does with an optimizer: the same bits, but for all-reduce and the workers of a node, which
 * average z here and gradients there. An overlap is kept, where a NULL optimizer without a hold makes the step
 * itself copy the vector. */

/* Returns when nothing reads or writes z until the hold ends. z then is what the last step made of it, with
 * the rounding error of its push; with adpsgd also with what has arrived until now. A later step absorbs, so the weight
 * changes in a step; or here, where SGP_OVERLAP_ASYNC takes back messages that have found no room. Waits as
 * sgp_mixer_step; the workers of a node call it together. A node of adpsgd, and rank 0 of server, answers nobody while it holds: it must not
 * wait for other nodes meanwhile.
 *
 * sgp_mixer_step without an optimizer ends the hold. With an overlap it returns while z is still being read: the
 * parameters must not be changed before the next hold; buffers may be. learning_rate: for the outer update alone;
 * SGP_ERR_INVALID where one is due and it is not above 0: the hold goes on.
 *
 * SGP_ERR_INVALID: it is held already. While it is held, sgp_mixer_step with an optimizer, sgp_mixer_average,
 * sgp_mixer_switch, sgp_mixer_state_save and sgp_mixer_state_load are SGP_ERR_INVALID and change nothing; sgp_mixer_add
 * and sgp_mixer_statistics are fine, and so is sgp_mixer_destroy. Else the errors of sgp_mixer_step. */
SGP_API sgp_status_t sgp_mixer_hold(sgp_mixer_t *mixer);

/* ---- A step in parts ---- */

/* A step whose gradient becomes known part by part (backward), and whose result is needed part by part (forward). The
 * bits of z after it are those of sgp_mixer_step, and nodes that step in parts mix with nodes that do not.
 *
 *   begin(optimizer, gradient, rate)  optimizer NULL: the caller has changed z in [offset, offset + count) before part
 *   part(offset, count) ...           any order, each element once, all of P + S (the buffers too): the part is updated,
 *                                     and leaves at once, in chunks; a chunk that parts share leaves with its last element
 *   end()                             all parts have been given; returns as soon as the algorithm lets the next gradient
 *                                     begin
 *   wait(offset, count) ...           until the part is as after the step: before the caller reads it, or changes it
 *
 * Between part and wait the mixer changes the part. The parts that have not been given yet are the caller's to read.
 * gradient: borrowed until all parts have been waited for. A step is over then; the next begin, and every other call on
 * the mixer, waits for the rest first. The optimizer counts one step. Statistics are those of the last step that is over,
 * but for the times.
 *
 * Only wait blocks for the messages of other nodes; with an overlap end does, for those that sgp_mixer_step waits for;
 * begin and part sleep until there is room to send. The first begin allocates.
 *
 * SGP_ERR_UNSUPPORTED, before anything moves: adpsgd, server, workers, SGP_OVERLAP_ASYNC, library_allreduce, or slow momentum
 * that is due in this step. SGP_ERR_NO_MEMORY: no step has begun. SGP_ERR_INVALID, and nothing has moved: a part that
 * was given before or is out of range; end while parts are missing (the log names the first element); wait before end; a
 * call in the wrong order, or another step, average, switch or add between begin and end. After any other error, those
 * of sgp_mixer_step, the run is over for this mixer: the chunk that is not finite, or was not sent yet, is never sent, and
 * every further call returns the error. So it is for the nodes that wait for a message of a mixer that is destroyed in the
 * middle of a step. */
SGP_API sgp_status_t sgp_mixer_begin(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                                     const float *gradient /* (P) */, float learning_rate);
SGP_API sgp_status_t sgp_mixer_part(sgp_mixer_t *mixer, size_t offset, size_t count);
SGP_API sgp_status_t sgp_mixer_end(sgp_mixer_t *mixer);
SGP_API sgp_status_t sgp_mixer_wait(sgp_mixer_t *mixer, size_t offset, size_t count);

/* Between two steps: x <- x + change on elements [offset, offset + count) of the vector (P + S), whatever the push-sum
 * weight is: z <- z + change / w. Waits for the progress thread as sgp_mixer_step does; sends nothing to other nodes.
 * change: (count), borrowed for the call. An outer update counts it as part of the movement since the last one.
 *
 * The workers of a node call it together, with the same arguments, as they share one vector: the change of the worker
 * that owns a segment counts there, and z is the same on all workers afterwards.
 *
 * SGP_ERR_INVALID: the range is outside the vector; nothing has changed. SGP_ERR_NOT_FINITE: a change is not finite, and
 * the options do not allow it; nothing has changed. Else the errors of sgp_mixer_step, after which the run is over for
 * this mixer. */
SGP_API sgp_status_t sgp_mixer_add(sgp_mixer_t *mixer, size_t offset, size_t count,
                                   const float *change /* (count) */);

/* ---- State, for resuming bit for bit ---- */

/* Bytes of the state as it is now. */
SGP_API size_t sgp_mixer_state_size(const sgp_mixer_t *mixer);

/* Messages in flight are absorbed first, as in sgp_mixer_average: a run that saves and goes on equals one that saves,
 * ends, and is resumed. Every node calls it after the same step; blocks as sgp_mixer_average, with its errors. The
 * optimizer has a state of its own. size: sgp_mixer_state_size. SGP_ERR_INVALID: another size, or the mixer is held;
 * nothing has changed. */
SGP_API sgp_status_t sgp_mixer_state_save(sgp_mixer_t *mixer, void *bytes /* (size) */,
                                          size_t size);

/* Into a mixer with the same options on the same node, before its first step, on every node; sends nothing. With adpsgd
 * nodes meet before the first step (sgp_group_barrier), as a passive one would answer with values of before. SGP_ERR_INVALID: not a
 * whole, undamaged state, the mixer has stepped, or it is held. SGP_ERR_MISMATCH: of another mixer or version; the log
 * says the first difference. After both nothing has changed. */
SGP_API sgp_status_t sgp_mixer_state_load(sgp_mixer_t *mixer, const void *bytes /* (size) */,
                                          size_t size);

/* Absorbs the messages in flight, and computes the exact weighted mean over the nodes (accumulated in
 * double, in order of rank: the same bits on every node). Every node calls it after the same step;
 * blocks as a barrier does. The state of the mixer is as after its last step. average: (P + S) or
 * NULL. consensus: filled if not NULL. */
SGP_API sgp_status_t sgp_mixer_average_sized(sgp_mixer_t *mixer, float *average,
                                             sgp_mixer_consensus_t *consensus, size_t size);
static inline sgp_status_t sgp_mixer_average(sgp_mixer_t *mixer, float *average,
                                             sgp_mixer_consensus_t *consensus) {
    return sgp_mixer_average_sized(mixer, average, consensus, sizeof *consensus);
}

/* Fills *statistics. SGP_ERR_INVALID: no such size. */
SGP_API sgp_status_t sgp_mixer_statistics_sized(const sgp_mixer_t *mixer,
                                                sgp_mixer_statistics_t *statistics, size_t size);
static inline void sgp_mixer_statistics(const sgp_mixer_t *mixer,
                                        sgp_mixer_statistics_t *statistics) {
    (void)sgp_mixer_statistics_sized(mixer, statistics, sizeof *statistics);
}

/* "sgp", "allreduce", "osgp", "dpsgd", "adpsgd", "server"; never NULL, static. */
SGP_API const char *sgp_algorithm_name(sgp_algorithm_t algorithm);

/* The algorithm of that name. SGP_ERR_NOT_FOUND leaves *algorithm as it was. */
SGP_API sgp_status_t sgp_algorithm_parse(const char *name, sgp_algorithm_t *algorithm);

#ifdef __cplusplus
}
#endif
#endif
