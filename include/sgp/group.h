/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes part: rank, size, and the connections between the nodes.
 *
 * A group is made by a launcher, which tells each process its place, or by processes that are told
 * where to meet. Options that are left open come from the environment, in this order:
 *  - SGP_RANK, SGP_SIZE and SGP_RENDEZVOUS, a directory in which the nodes find each other (`sgp run`);
 *  - SGP_JOIN=HOST:PORT with SGP_SIZE: the process that finds HOST to be its own address, and
 *    the port free, founds the group, and the others join there;
 *  - PMIx or PMI-1 (mpirun, srun);
 *  - RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT (torchrun);
 *  - SLURM_PROCID and so on (srun without PMIx).
 * Without all of these the process is a group of one. */
#ifndef SGP_GROUP_H
#define SGP_GROUP_H

#include <sgp/encryption.h>
#include <sgp/log.h>
#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not thread-safe: one caller per group, and the mixers of a group belong to the same caller. */
typedef struct sgp_group sgp_group_t;

typedef struct sgp_group_options {
    int rank;               /* this node; used when size > 0 */
    int size;               /* nodes; 0: rank and size from the environment */
    const char *rendezvous; /* directory that all nodes can reach, private to this run; NULL:
                               SGP_RENDEZVOUS */
    int join_timeout_ms; /* for all nodes to come; 0: SGP_JOIN_TIMEOUT_MS, else 30,000, and 300,000
                               with join, as people are slower than launchers */
    int timeout_ms;      /* of each collective call, for the slowest node; 0: 600,000
                               (a node that ended is noticed at once) */

    const char *transport; /* "shm": memory of one machine, "tcp", "mpi", "auto": shm between nodes
                               of one machine and tcp between others; NULL: SGP_TRANSPORT, else auto */
    const char *join;      /* "HOST:PORT", where the group is founded; any member can stand for it.
                               Needs size. NULL: SGP_JOIN */
    bool claim_rank;       /* with join: this node claims `rank`; false: ranks in order of arrival.
                               (With SGP_JOIN of the environment, a size given here claims it.) */
    const char *interface; /* by name or address, on which others reach this node; NULL:
                               SGP_INTERFACE, else all interfaces, and the address that leads to HOST */
    const char *ports; /* "7070-7090", of which the first free one is listened on; NULL: SGP_PORTS,
                               else any */
    const char *key;   /* a secret that all nodes know, 16 characters or more; NULL: SGP_KEY */
    const char *key_file; /* the same in a file; NULL: SGP_KEY_FILE. Without a key only nodes of
                               this machine are accepted; a launcher that can brings one of its own */
    bool insecure;       /* without a key: accept nodes of other machines as well; SGP_INSECURE=1 */
    int peer_timeout_ms; /* shm and tcp: a node that is silent (stopped, suspended, out of reach) for so
                               long is lost; one that computes is not. 0: SGP_PEER_TIMEOUT_MS,
                               else 10,000 */

    sgp_log_fn
        log; /* of this group alone: the lines of its calls, its mixers and its threads go here
                       instead of to sgp_log_set's; NULL: no callback of its own */
    void *log_user;            /* handed to log; must live as long as the group */
    sgp_log_level_t log_level; /* 0: SGP_LOG_WARNING */

    /* 1: the others go on without a node that is lost or has left (the same on all nodes; not with "mpi"): no call of theirs
     * fails for that. Their mixers send nothing to it and wait for nothing from it, sgp_mixer_average leaves it out, and
     * some steps later the graph is that of the nodes that are left (SGP_EVENT_REPLANNED). 0: the loss of a node ends the calls of all others. */
    uint64_t elastic;

    /* Of an elastic group, over shm and tcp. A node that is silent is left out of the mixing, at no cost if that was a
     * mistake, and taken in again as soon as it is heard. */
    uint64_t
        suspect_ms; /* nothing has been heard from it for so long; one that computes is heard. 0: 500 */
    uint64_t
        stall_ms; /* it is heard, but has not ended its step for so long and 8 times the median of its last 64;
                            collective calls do not count. 0: 1,000 */
    uint64_t
        dead_ms; /* after so long a node of which nothing is heard is lost. 0: the peer time limit */

    /* Of an elastic group, the same on all nodes. A part of it that hears no more than this share of the nodes (exactly the
     * share is enough with the lowest of them) pauses, so that no two parts go on: its calls wait, and end with
     * SGP_ERR_PEER_LOST if it hears too few for pause_ms. Nodes that have certainly ended do not count. 0: 0.5; below 0:
     * every part goes on. */
    double quorum;
    uint64_t pause_ms; /* 0: 60,000 */

    /* Of an elastic group, the same on all nodes: nodes there can be at a time, those that come later among them. More than
     * the size: nodes can join while the others train, at the address of any node, over tcp; "shm" excludes that. Without a
     * key these are processes of the same machine, unless insecure; a launcher's own key is not used. 0: the size. */
    uint64_t capacity;

    /* "HOST:PORT" of a node of a group that trains already, or of several, with commas between them: this process joins it
     * (see "newcomers" below), over tcp. rank, size, join, rendezvous, elastic and capacity are the group's, and the
     * environment names no other one. NULL: no. */
    const char *contacts;

    /* With contacts: what the node that is called may judge (sgp_newcomers_t.judge), at most 4 KiB. Borrowed by the call. */
    const void *about; /* (about_bytes) */
    uint64_t about_bytes;

    /* With contacts: the place and the incarnation of a node that the others took for dead, and that comes back: it gets its
     * place again, if that is free. rejoin 0: any place. */
    uint64_t rejoin;
    int32_t rejoin_rank;
    uint32_t rejoin_incarnation;

    /* sgp_encryption_t, of messages over tcp between nodes that have a key. With a key they are authenticated in every case.
     * A node with on and one with off do not come together. 0: SGP_ENCRYPTION of the environment ("auto", "on", "off"), else
     * encrypted between machines; any other value overrides the environment. */
    uint64_t encryption;
} sgp_group_options_t;

/* Joins, and blocks until all nodes have; at most join_timeout_ms. Copies options. Sets *group only on
 * success. SGP_ERR_INVALID: the options make no sense together. SGP_ERR_NOT_FOUND: no such host.
 * SGP_ERR_TIMEOUT: no process was reached, or the log names a node that did not come. SGP_ERR_REFUSED: by
 * the group: it is full, or the rank is taken. SGP_ERR_MISMATCH: another version of the library, size or
 * transport on the other side. SGP_ERR_UNSUPPORTED: not in this build. SGP_ERR_SYSTEM: a port is taken,
 * or a system call failed. The log always says why. */
SGP_API sgp_status_t sgp_group_join_sized(const sgp_group_options_t *options, size_t size,
                                          sgp_group_t **group);
static inline sgp_status_t sgp_group_join(const sgp_group_options_t *options, sgp_group_t **group) {
    return sgp_group_join_sized(options, sizeof *options, group);
}

SGP_API int sgp_group_rank(const sgp_group_t *group);
SGP_API int sgp_group_size(const sgp_group_t *group);

/* For nodes of several workers: process r of a joined group is worker r mod M of node r / M.
 * *nodes: this worker and the workers of the same number on all nodes, of rank r / M; *workers:
 * those of this node, of rank r mod M (see sgp/mixer.h). Every process calls it; blocks as
 * sgp_group_join. Sets both only on success; they are left before the group is. SGP_ERR_INVALID:
 * the group is not a whole number of nodes. SGP_ERR_UNSUPPORTED: it was not made by
 * sgp_group_join. The errors of sgp_group_join. */
SGP_API sgp_status_t sgp_group_split(sgp_group_t *group, int workers_per_node, sgp_group_t **nodes,
                                     sgp_group_t **workers);

/* A group of the same nodes, with connections and threads of its own and the same log: for another mixer, or for another
 * thread, which may use it while this one is used. Every node calls it; blocks as sgp_group_join. Sets *copy only on
 * success. The two are left or aborted in any order. SGP_ERR_INVALID: a call of the group is in the middle.
 * SGP_ERR_UNSUPPORTED: it was not made by sgp_group_join, nor from such a group. The errors of sgp_group_join. */
SGP_API sgp_status_t sgp_group_duplicate(sgp_group_t *group, sgp_group_t **copy);

/* Returns when every node has called it. SGP_ERR_TIMEOUT. SGP_ERR_PEER_LOST: a node is lost
 * (sgp_group_lost_peer), or has left without sending what this one waits for. */
SGP_API sgp_status_t sgp_group_barrier(sgp_group_t *group);

/* Collects `bytes` (the same on every node, at most 64 KiB) from each node, in order of rank: as
 * many as there are places (sgp_group_capacity), which is the size but in a group with places for newcomers. Zeros of one
 * that is not there. May block, as barrier. */
SGP_API sgp_status_t sgp_group_gather(sgp_group_t *group, const void *mine /* (bytes) */,
                                      size_t bytes, void *all /* (capacity, bytes) */);

/* Every node gets root's `count` bytes: any number, the same on every node; 0 is fine. They travel along a chain of the
 * nodes, piece by piece, so that each node receives and sends them once. Blocks as sgp_group_gather; the time limit
 * holds for each piece. On an error `bytes` are undefined, but for root's. SGP_ERR_INVALID: no such root; this node
 * sends nothing. On all nodes: SGP_ERR_MISMATCH: another count or root on another node; SGP_ERR_NO_MEMORY: no room for
 * the messages on one of them. And the errors of sgp_group_gather. */
SGP_API sgp_status_t sgp_group_broadcast(sgp_group_t *group, void *bytes /* (count) */,
                                         size_t count, int root);

/* Every call of the group and of its mixers that waits longer than this returns SGP_ERR_AGAIN; the same call, made
 * again by the same thread, goes on where it was (its arguments are those of the first one). 0: they return when they
 * are done. For programs that must look at something else meanwhile, such as Python at its signals. While a call is
 * in the middle, other calls of the group and its mixers are SGP_ERR_INVALID, but for those that do not wait;
 * destroying a mixer of the group or leaving it ends the call. The memory of its arguments, gradient
 * included, must stay as it is until the call has returned something else. */
SGP_API void sgp_group_set_slice(sgp_group_t *group, int milliseconds);

/* The call that waits now, or else the next one that would, returns SGP_ERR_INTERRUPTED, within 50 ms. It can be made
 * again and goes on where it was, as after SGP_ERR_AGAIN. Safe in a signal handler and from any thread, as long as the
 * group exists. Joining, splitting, duplicating and leaving do not end sooner, nor does MPI's own all-reduce. */
SGP_API void sgp_group_interrupt(sgp_group_t *group);

/* The rank of the node that was lost first (it ended without leaving, or fell silent), or -1. A node that ended
 * because of another's loss is not the first, whatever was noticed first. */
SGP_API int sgp_group_lost_peer(const sgp_group_t *group);

/* A change of another node that the transport has noticed.
 *  LOST: it is gone: it ended without leaving, or was silent for the peer time limit.
 *  LEFT: it has left in order.
 *  SILENT: nothing has been heard from it for a third of the peer time limit; it may come back. In an elastic group: for
 *  suspect_ms, or it hangs (stall_ms), or does not hear this node. shm: any node; tcp: a node to or from which there is a
 *  connection; never with mpi.
 *  BACK: it has been heard again after SILENT.
 * Of an elastic group also changes of its members:
 *  JOINED: the node is one of the graph from `step` on.
 *  REPLANNED: from `step` on the graph is that of the members that are left, or there (rank: this node).
 *  PAUSED: this node has paused in `step`, because it hears too few of the others; RESUMED: it goes on (rank: this node). */
typedef enum sgp_event_kind {
    SGP_EVENT_LOST = 1,
    SGP_EVENT_LEFT = 2,
    SGP_EVENT_SILENT = 3,
    SGP_EVENT_BACK = 4,
    SGP_EVENT_JOINED = 5,
    SGP_EVENT_REPLANNED = 6,
    SGP_EVENT_PAUSED = 7,
    SGP_EVENT_RESUMED = 8,
} sgp_event_kind_t;

typedef struct sgp_event {
    sgp_event_kind_t kind;
    int rank;
    double age;      /* seconds since it was noticed */
    char reason[96]; /* why it is lost, as in the log; "" for the others */
    uint64_t
        step; /* of LOST and LEFT in an elastic group: from which on the graph is without it; 0: not known yet */
} sgp_event_t;

/* The oldest event that has not been taken yet. Of each node one is kept at most, the latest: LOST and LEFT are the last
 * of a node and never missing. Never blocks, also while a call is in the middle. SGP_ERR_AGAIN: there is none.
 * SGP_ERR_INVALID: no such size. */
SGP_API sgp_status_t sgp_group_next_event_sized(sgp_group_t *group, sgp_event_t *event,
                                                size_t size);
static inline sgp_status_t sgp_group_next_event(sgp_group_t *group, sgp_event_t *event) {
    return sgp_group_next_event_sized(group, event, sizeof *event);
}

/* ---- members ---- */

typedef enum sgp_member_condition {
    SGP_CONDITION_UNUSED = 0, /* the place has no node, and had none */
    SGP_CONDITION_LIVE = 1,
    SGP_CONDITION_SILENT = 2, /* not heard now, by this node; it may come back */
    SGP_CONDITION_COMING = 3, /* it has joined, and makes its first step later */
    SGP_CONDITION_LEFT = 4,
    SGP_CONDITION_DEAD = 5,
} sgp_member_condition_t;

/* The node that has a place of the group, or had it last. */
typedef struct sgp_member {
    int rank;             /* its place */
    uint32_t incarnation; /* counts the nodes that had the place, from 0 */
    sgp_member_condition_t condition;
    uint32_t reserved; /* 0 */
    uint64_t from;     /* its first step */
    uint64_t
        until; /* from this step on the graph is without it; UINT64_MAX: it is not known to end */
    uint64_t step; /* the latest of which this node has heard; 0: of none */
} sgp_member_t;

/* What this node knows of the members. Nodes with the same digest know the same. */
typedef struct sgp_members {
    uint64_t version; /* counts changes */
    uint64_t digest;
    int capacity; /* places */
    int live;  /* members in the graph that are not known to have ended, silent ones among them */
    int rank;  /* of this node in the graph of the present step; -1: the graph is without it */
    int nodes; /* of that graph; those that have ended are in it until their `until` */
} sgp_members_t;

/* Sets *view, and the first `room` of members, by rank: (sgp_group_capacity) for all; NULL with 0: none. Never blocks.
 * SGP_ERR_INVALID: no such sizes. */
SGP_API sgp_status_t sgp_group_view_sized(sgp_group_t *group, sgp_members_t *view, size_t view_size,
                                          sgp_member_t *members, size_t member_size, size_t room);
static inline sgp_status_t sgp_group_view(sgp_group_t *group, sgp_members_t *view,
                                          sgp_member_t *members, size_t room) {
    return sgp_group_view_sized(group, view, sizeof *view, members, sizeof *members, room);
}

/* Places for nodes: the ranks there can be. */
SGP_API int sgp_group_capacity(const sgp_group_t *group);

/* ---- newcomers ----
 *
 * A node joins while the others train. Any member can be called; it is the sponsor of the newcomer. The group has one mixer,
 * which is created before the first newcomer is.
 *
 *     a member                                         a newcomer
 *     sgp_group_accept: from now on it answers
 *                                                      sgp_group_join with options.contacts: it gets a place, and
 *                                                      sgp_group_blob: the blob
 *     between two steps: snapshot is called       <-   sgp_group_fetch: the snapshot. It loads its data, ...
 *     in sgp_mixer_step: JOINED, from step K on   <-   sgp_mixer_create: it is ready
 *     at the beginning of step K                  ->   sgp_mixer_create returns: the vector is that of the sponsor before
 *                                                      step K, w is 1, and the next sgp_mixer_step is step K
 *
 * The options of the mixer are those of the others; the blob is there to say them. Members serve newcomers in
 * sgp_mixer_step and wherever they wait, and are never held up. From step K on the graph has the newcomer on all nodes; one
 * that is not there in time is left out like a silent node. A newcomer that ends before K, or a sponsor that does, disturbs
 * nobody. Collective calls after step K include the newcomer: it makes the same calls after the same steps. */

typedef struct sgp_newcomers {
    /* What a newcomer must know before it creates its mixer, such as the options of the run. Copied. */
    const void *blob; /* (blob_bytes) at most 64 KiB */
    size_t blob_bytes;

    /* Whether a newcomer may join that gave `about`. false: it is refused; why: (room) becomes the reason that both log.
     * NULL: all may. */
    bool (*judge)(void *user, const void *about /* (bytes) */, size_t bytes, char *why,
                  size_t room);

    /* The state of this node between two steps, as far as a newcomer needs it, without the mixer: the optimizer, sums of the
     * epoch. *bytes: (*count) malloc; the library frees it. Called at the beginning of sgp_mixer_step, by its thread. Anything
     * but SGP_OK: the newcomer is refused. NULL: there is none, sgp_group_fetch gives 0 bytes. */
    sgp_status_t (*snapshot)(void *user, void **bytes, size_t *count);
    void *user;
} sgp_newcomers_t;

/* This node answers newcomers from now on; given again: with another blob and other functions. newcomers NULL: not any
 * more. Never blocks. SGP_ERR_INVALID: no such size, the blob is too long, or the group is full by its capacity; SGP_ERR_UNSUPPORTED: nobody
 * can call this node (shm, mpi). SGP_ERR_NO_MEMORY. */
SGP_API sgp_status_t sgp_group_accept_sized(sgp_group_t *group, const sgp_newcomers_t *newcomers,
                                            size_t size);
static inline sgp_status_t sgp_group_accept(sgp_group_t *group, const sgp_newcomers_t *newcomers) {
    return sgp_group_accept_sized(group, newcomers, sizeof *newcomers);
}

/* The blob of the sponsor, as long as the group exists; *bytes 0, and never NULL, if this node is no newcomer. */
SGP_API const void *sgp_group_blob(const sgp_group_t *group, size_t *bytes);

/* The sponsor's snapshot, of at most `most` bytes; once, before the mixer is created. *bytes: (*count) malloc, the caller
 * frees it. Blocks, until the sponsor is between two steps; at most timeout_ms of the group. Sets both only on success.
 * SGP_ERR_INVALID: this node is no newcomer, or has its mixer; SGP_ERR_PEER_LOST: the sponsor is gone: join again;
 * SGP_ERR_REFUSED: by the sponsor, or longer than `most`; SGP_ERR_TIMEOUT, SGP_ERR_NO_MEMORY. */
SGP_API sgp_status_t sgp_group_fetch(sgp_group_t *group, size_t most, void **bytes, size_t *count);

/* This newcomer does not join after all: the reason is logged here and by the sponsor. Then sgp_group_abort. Before the
 * mixer is created; no effect afterwards, and for a node that is no newcomer. */
SGP_API void sgp_group_decline(sgp_group_t *group, const char *why);

/* The first step of this node: 0 for a founder. Of a newcomer K or a later one, once its mixer is created, and 0 before: the
 * step at whose beginning a member gave it its vector. Collective calls after that step include it. */
SGP_API uint64_t sgp_group_first_step(const sgp_group_t *group);

/* A number of this node's training, for those who look at the run while it runs (SGP_STATUS of the environment,
 * docs/status.md); NAN: not known any more. The last one of each name counts.
 *  "loss": of training, of the last step or steps.
 *  "accuracy": of the last evaluation, 0 to 1.
 *  "samples": that this node has trained on since its start; samples per second follow from it.
 *  "epoch": that it is in, from 1; "epochs": of the whole run.
 *  "seconds_left": of the whole run.
 * Cheap enough for each step: one store. Any thread, as long as the group exists. SGP_ERR_INVALID: another name, or a value that is
 * out of range. */
SGP_API sgp_status_t sgp_group_report(sgp_group_t *group, const char *name, double value);

/* A file descriptor that is readable once something may be done: a message has arrived, room to send came free, another
 * thread of the library has ended its part, or an event is there. For poll and its like; never read, write or close it.
 * It belongs to the group, is the same each time, and is made by the first call, which starts a thread; at first it is
 * readable. When it is, make the call that returned SGP_ERR_AGAIN again, and take the events: with the call, or where
 * none is in the middle, with sgp_group_next_event, it stops being readable until something happens after that.
 * A time limit makes nothing readable: give poll one. Groups that were split off have descriptors of their own, and a
 * mixer of several workers waits in both. -1: the transport has none (mpi), or there is no memory; sgp_last_error has
 * the reason. */
SGP_API int sgp_group_descriptor(sgp_group_t *group);

/* Leaves in order: waits until the others have received what was sent to them (at most timeout_ms)
 * and frees the group. Never fails the others: a node that leaves is not lost. NULL is fine. Mixers
 * of the group are destroyed first. */
SGP_API void sgp_group_leave(sgp_group_t *group);

/* Ends the membership without waiting: the other nodes lose this one at once, as if its process had ended, and may not
 * get what it has sent last. Their logs say that it aborted, where shm or tcp can tell them. For a node that fails and
 * must not look as if it had left in order. Frees the group. NULL is fine. Mixers of the group are destroyed first. */
SGP_API void sgp_group_abort(sgp_group_t *group);

#ifdef __cplusplus
}
#endif
#endif
