/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of an algorithm: one file of this folder, which fills one sgp_algorithm_ops_t; algorithm_table.c lists it.
 * An algorithm talks to other nodes through the inbox alone. It calls push.h, reduce.h, local_step.h and
 * progress_thread.h; it never calls mixer.c, and never another algorithm. */
#ifndef SGP_MIXING_ALGORITHMS_ALGORITHM_OPS_H
#define SGP_MIXING_ALGORITHMS_ALGORITHM_OPS_H

#include "base/state.h"
#include "mixing/local_step.h"
#include "mixing/progress_thread.h"
#include "mixing/part_step.h"

/* A step in parts. The bits after it are those of `step`. deadline: of every wait. */
typedef struct sgp_part_ops {
    /* Cuts step->chunks into the chunks of the messages of this step, and reserves what it can. Waits as step does before
     * the local update. */
    sgp_status_t (*begin)(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline);

    /* Elements [offset, offset + count) of chunk `index` are given: the local update. whole: they are the last ones of the
     * chunk, which leaves as soon as the algorithm lets it. */
    sgp_status_t (*give)(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t index, size_t offset,
                         size_t count, bool whole, uint64_t deadline);

    /* Absorbs into whole chunks what has arrived for them. Does not wait for arrivals. */
    sgp_status_t (*absorb)(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline);

    /* All elements have been given: waits as long as the next gradient has to wait for the whole vector. NULL: it has
     * not. */
    sgp_status_t (*end)(sgp_mixer_t *mixer, sgp_part_step_t *step, uint64_t deadline);

    /* Absorbs, asleep until chunks `first` to `last` are done. */
    sgp_status_t (*await)(sgp_mixer_t *mixer, sgp_part_step_t *step, size_t first, size_t last,
                          uint64_t deadline);

    /* All chunks are done: the weight, the counts. An error: as of await. */
    sgp_status_t (*finish)(sgp_mixer_t *mixer, sgp_part_step_t *step);

    /* In the middle, after an error or at the mixer's end: gives room back that messages have not used. */
    void (*abandon)(sgp_mixer_t *mixer, sgp_part_step_t *step);
} sgp_part_ops_t;

struct sgp_algorithm_ops {
    /* Makes the algorithm's own state, mixer->extra. NULL: it has none. Sends nothing and leaves (z, w) alone: resume
     * follows. SGP_ERR_NO_MEMORY, SGP_ERR_UNSUPPORTED; logged. destroy frees that state; extra may be NULL. */
    sgp_status_t (*create)(sgp_mixer_t *mixer);
    void (*destroy)(sgp_mixer_t *mixer);

    /* The work of the progress thread (mixing/progress_thread.h), and the same work as the node itself does it during a
     * collective call. NULL: none. alone: other nodes wait for that work at any time. has_progress: whether these options need a progress thread; NULL: if there is work. */
    sgp_work_fn work;
    void (*serve)(void *mixer);
    bool alone;
    bool (*has_progress)(const sgp_mixer_t *mixer);

    /* Messages of the vector's length that may be under way at a time. With fewer, a node would wait for room although
     * the algorithm lets its receiver be behind. notices: messages of a few bytes beside them; NULL: none. */
    unsigned (*messages)(const sgp_mixer_t *mixer);
    unsigned (*notices)(const sgp_mixer_t *mixer);

    /* The local update and, if mixer->exchanges, the exchange of mixer->round. deadline: of every wait. */
    sgp_status_t (*step)(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline);

    /* The same part by part; NULL: it cannot. */
    const sgp_part_ops_t *parts;

    /* Absorbs the messages that are under way to this node. All nodes call it after the same step. Then (z, w) is all the
     * mass of this node, and the caller may use the transport. NULL: that holds after every step. */
    sgp_status_t (*settle)(sgp_mixer_t *mixer, uint64_t deadline);

    /* In an elastic group: meets the nodes that a loss has stopped in a step that this one has made. A part of settle, and
     * what a caller's other collective calls begin with. NULL: no node is stopped. */
    sgp_status_t (*meet)(sgp_mixer_t *mixer);

    /* The seat of that rank has a new member: what is here of the earlier one is dropped after this. NULL: nothing to do. */
    void (*opened)(sgp_mixer_t *mixer, int rank);

    /* This node alone will change z: the algorithm does not touch z until resume. NULL: it never does between steps. */
    sgp_status_t (*hold)(sgp_mixer_t *mixer, uint64_t deadline);

    /* After create, settle or hold: continues with (z, w), which may have changed. NULL: nothing to do. */
    sgp_status_t (*resume)(sgp_mixer_t *mixer);

    /* Adds the parts of extra that a checkpoint after settle must hold. NULL: none. */
    void (*state)(sgp_mixer_t *mixer, sgp_state_t *state);
};

extern const sgp_algorithm_ops_t sgp_algorithm_lockstep; /* sgp.c: sgp and dpsgd */
extern const sgp_algorithm_ops_t sgp_algorithm_overlap;  /* overlap.c: osgp */
extern const sgp_algorithm_ops_t sgp_algorithm_async;    /* async.c: osgp without a bound */
extern const sgp_algorithm_ops_t sgp_algorithm_pairs;    /* pairs.c: adpsgd */
extern const sgp_algorithm_ops_t sgp_algorithm_allreduce;
extern const sgp_algorithm_ops_t sgp_algorithm_server;
extern const sgp_algorithm_ops_t
    sgp_algorithm_library_allreduce; /* by the transport's own library */

#endif
