/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the samples of a node in each step.
 *
 * Each epoch has one random permutation of the training set, the same on every node: Fisher and
 * Yates with the random stream (seed, epoch). Segments (data/segments.h) say which of its positions
 * a process takes in a step, so that every sample is taken exactly once per epoch over all nodes
 * and every node makes the same number of steps. The samples of a node are a function of (seed,
 * epoch, segments, step, rank): the same on every transport, and a resumed run needs no other
 * state.
 *
 * A node may have samples of its own (sampler_set_own). Then the positions tell how many samples it takes in a step, and it
 * takes them from an order of its own: its samples shuffled, then all of them shuffled again, as often as the epoch needs.
 * The entries of step s begin at place s workers batch of that order, whatever the segments are, and its workers take one
 * part after the other.
 *
 * Members may come and go in the middle of an epoch. The main part of an epoch ends when its
 * positions are divided up. Make-up steps then take the positions that nobody took; their numbers
 * follow those of the main part. Until something is changed there is one segment and no make-up
 * step. */
#ifndef SGP_DATA_SAMPLER_H
#define SGP_DATA_SAMPLER_H

#include "data/segments.h"

#include <sgp/status.h>
#include <stdint.h>

typedef struct sampler_options {
    uint64_t count; /* samples in the training set; required, > 0 */
    int rank;
    int size;    /* nodes, or processes where nodes have several workers; required, > rank */
    int workers; /* of a node: rank r is worker r mod workers of node r / workers; 0: one */
    int batch;   /* samples per rank and step; required, > 0 */
    uint64_t seed;
    bool own; /* nodes have samples of their own: call sampler_set_own before an epoch begins */
} sampler_options_t;

/* The samples that a node has of its own. */
typedef struct sampler_own {
    const uint64_t *samples; /* (count) borrowed, until it is replaced; NULL: 0 to count - 1 */
    uint64_t count;          /* > 0, <= sampler_options_t.count */
    uint64_t seed;           /* of the order; differs between nodes */
} sampler_own_t;

/* Embedded; fields are private. One thread changes it; any number may ask it in between. */
typedef struct sampler {
    sampler_options_t options;
    uint64_t self; /* this node's number among the members */
    int worker;    /* of it */
    segments_t main;
    bool making_up;
    segments_t make_up;      /* of places in `returned`; if making_up */
    position_set_t returned; /* positions that the make-up steps take */
    sampler_own_t own;       /* if options.own */
    uint64_t *permutation;   /* (count) of the current epoch; (2 count) if options.own */
} sampler_t;

/* The segments of the steps to come: of the main part, or of making up. */
static inline const segments_t *sampler_segments_of(const sampler_t *sampler) {
    return sampler->making_up ? &sampler->make_up : &sampler->main;
}

static inline segments_t *sampler_segments(sampler_t *sampler) {
    return sampler->making_up ? &sampler->make_up : &sampler->main;
}

/* Copies options; the first epoch is 0. The members are numbered segments_number(node, 0).
 * SGP_ERR_INVALID: an option is out of range; the log names it. SGP_ERR_NO_MEMORY. After an error
 * call no fini. */
sgp_status_t sampler_init(sampler_t *sampler, const sampler_options_t *options);
void sampler_fini(sampler_t *sampler);

/* The samples of this node from the next epoch that begins. Only with options.own. */
void sampler_set_own(sampler_t *sampler, const sampler_own_t *own);

/* Steps of the current epoch that are known of: of the main part, and of making up once that has begun. Without
 * a change of members count / (size * batch), rounded up. */
uint64_t sampler_steps(const sampler_t *sampler);

/* Draws the permutation of `epoch`, from 0, and begins its first segment. Its members are those that the plan has
 * at the end of the epoch before, after its sampler_steps; who joins or leaves later stays known, in steps of this
 * epoch. Allocates nothing. */
void sampler_begin_epoch(sampler_t *sampler, uint64_t epoch);

/* In an epoch that has begun and has no step yet: others have taken the positions before `position` in the steps before
 * `step`, and the present members take the rest from `step` on. position <= count. */
void sampler_begin_rest(sampler_t *sampler, uint64_t step, uint64_t position);

/* From `step` on, which no process has begun and before which all are done, `size` processes take what is left of
 * the epoch, and this one has `rank` among them; they are numbered as by sampler_init. Positions returned
 * before stay returned, and if making up had begun, what is left of it is to be made up again. step >= that of the
 * last call in this epoch. SGP_ERR_INVALID: rank and size do not fit each other. SGP_ERR_NO_MEMORY. Nothing
 * changed then. */
sgp_status_t sampler_set_members(sampler_t *sampler, uint64_t step, int rank, int size);

/* The same with numbers of the caller's. members: (nodes) ascending, with self among them, > 0. */
sgp_status_t sampler_set_plan(sampler_t *sampler, uint64_t step, const uint64_t *members, int nodes,
                              uint64_t self);

/* ---- members that come and go ---- */

/* Tells events (data/segments.h), in steps of this epoch, when this process is about to make step `now`. From
 * *changed on, but not before `now`, its samples may be others than before; SEGMENTS_NEVER: none are. If
 * the plan turns out to have changed before `now`, the positions that this process has taken by the old one are
 * reported as used, and those that the new one gives it in these steps as returned. changed: NULL is fine.
 * SGP_ERR_NO_MEMORY, logged: some of that may be unknown now. */
sgp_status_t sampler_tell(sampler_t *sampler, const segments_event_t *events /* (count) */,
                          size_t count, uint64_t now, uint64_t *changed);

/* This process's report of the main part, or of the present round of make-up steps, for agree; the errors of
 * segments_encode. */
sgp_status_t sampler_report(const sampler_t *sampler, unsigned char *bytes, size_t room,
                            size_t *size);

/* A report of a process, as bytes. */
typedef struct sampler_report {
    const unsigned char *bytes;
    size_t size;
} sampler_report_t;

/* Merges the reports of others before step `step`, which ends nothing; for a checkpoint, which then knows the
 * steps that others have passed over. The errors of sampler_make_up but SGP_ERR_AGAIN. */
sgp_status_t sampler_merge(sampler_t *sampler, uint64_t step,
                           const sampler_report_t *reports /* (count) */, size_t count);

/* Ends the main part, or a round of make-up steps, before step `step`, which is the same for all, with the reports that
 * `agree` gave to all of them, this process's own among them. All then have the same segments, and a round of make-up
 * steps begins with that step; sampler_steps says how long it is: `step` if no position is left. Positions that are lost in
 * a round are made up in the next one. Members that the reports know to leave, and those without a report, take
 * no part. Of one without a report that is not known to leave nothing is returned.
 *
 * SGP_ERR_AGAIN: the reports know of different joins and leaves. They are merged now: report again, and agree
 * again. All processes get the same answer. SGP_ERR_FORMAT, SGP_ERR_MISMATCH: a report is bad; logged, nothing
 * changed. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sampler_make_up(sampler_t *sampler, uint64_t step,
                             const sampler_report_t *reports /* (count) */, size_t count);

/* Positions that were lost in the present round of make-up steps before `until`, as far as this process knows: missed
 * unless a further round takes them. SGP_ERR_NO_MEMORY. */
sgp_status_t sampler_missed(const sampler_t *sampler, uint64_t until, uint64_t *missed);

/* Samples of the epoch that the plan has given to somebody before `step`, of `count`. In the main part that is the
 * cursor. While making up, those to be made up are not yet among them. */
uint64_t sampler_reached(const sampler_t *sampler, uint64_t step);

/* ---- state ---- */

/* The segments as bytes, for a checkpoint and for a process that joins; the permutation follows from seed and
 * epoch, the rest from the options. bytes: (sampler_state_bytes). */
size_t sampler_state_bytes(const sampler_t *sampler);
void sampler_save(const sampler_t *sampler, unsigned char *bytes);

/* Takes a saved state of the same epoch. Then say who the members are (sampler_set_members, sampler_set_plan), or
 * which of those that were saved this is (sampler_set_self). SGP_ERR_FORMAT: bad bytes. SGP_ERR_MISMATCH: another
 * number of samples, of workers or another batch. SGP_ERR_NO_MEMORY. All logged; nothing changed then. */
sgp_status_t sampler_restore(sampler_t *sampler, const unsigned char *bytes, size_t size);

/* Which member this process belongs to; one that the plan does not have takes nothing. */
void sampler_set_self(sampler_t *sampler, uint64_t self);

/* ---- the samples of a step ---- */

/* The places that this process takes in `step`: positions of the permutation, or, while making up, places in the list
 * of the returned ones. With samples of its own only the number counts. */
cursor_part_t sampler_part(const sampler_t *sampler, uint64_t step);

/* Entry i of the process's batch, 0 <= i < batch, as a place. Entries from part.count on only fill the batch
 * for batch norm: they are what the process would take if the permutation, or the list, started over. */
static inline uint64_t sampler_position(const cursor_part_t *part, int i) {
    return (i < part->count ? part->first : part->after) + (uint64_t)i;
}

/* The same as a position of the permutation, maybe behind the last one, or as a place of the node's own order. part:
 * sampler_part of that step. */
uint64_t sampler_entry(const sampler_t *sampler, uint64_t step, const cursor_part_t *part, int i);

/* The sample at a position; behind the last one the permutation starts over. */
static inline uint64_t sampler_at(const sampler_t *sampler, uint64_t position) {
    return sampler->permutation[position % sampler->options.count];
}

/* Writes `batch` indices of samples and returns the number of this node's own in `step`, which come
 * first. Allocates nothing. */
int sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices /* (batch) */);

#endif
