/* SPDX-License-Identifier: Apache-2.0 */
/* The faults of a loopback hub: which rank dies or stands still when, and which link is cut. Called by the files of
 * transport/loopback alone, with the hub's lock held. Times are virtual nanoseconds; it knows neither ranks' state nor
 * messages, and changes nothing itself. */
#ifndef SGP_TRANSPORT_LOOPBACK_FAULTS_H
#define SGP_TRANSPORT_LOOPBACK_FAULTS_H

#include "transport/loopback/loopback.h" /* its options alone */

#define SGP_NEVER UINT64_MAX

/* Embedded. Zeros are no faults. */
typedef struct sgp_faults {
    sgp_loopback_fault_t *of; /* (count) a copy */
    bool *done;               /* (count) kills that were taken */
    int count;
} sgp_faults_t;

/* Copies the faults of the options. SGP_ERR_INVALID, SGP_ERR_NO_MEMORY; logged. sgp_faults_fini is due in every case. */
sgp_status_t sgp_faults_init(sgp_faults_t *faults, const sgp_loopback_options_t *options);
void sgp_faults_fini(sgp_faults_t *faults);

/* When the next rank dies, of those that die at a time; SGP_NEVER. */
uint64_t sgp_faults_next_kill(const sgp_faults_t *faults);

/* A rank whose time has come by `now`, each once; -1: none. */
int sgp_faults_take_kill(sgp_faults_t *faults, uint64_t now);

/* The rank dies at its call of that number, counted from 1. */
bool sgp_faults_kill_at_call(const sgp_faults_t *faults, int seat, uint64_t call);

/* When a rank that would run at `time` runs: then, or at the end of a stall. */
uint64_t sgp_faults_runs_at(const sgp_faults_t *faults, int seat, uint64_t time);

/* When a chunk arrives that is sent at `sent` and takes `delay`: a cut link holds it until the end of the cut, and it
 * takes `delay` from there. SGP_NEVER: the link is cut for good. */
uint64_t sgp_faults_arrival(const sgp_faults_t *faults, int src, int dst, uint64_t sent,
                            uint64_t delay);

/* Since when nothing that `src` says has reached `dst`, at `time`: it stands still, or the link is cut, and in the moment
 * before one of these ended the next had begun. SGP_NEVER: it is heard. src == dst: since when the rank stands still. */
uint64_t sgp_faults_mute_since(const sgp_faults_t *faults, int src, int dst, uint64_t time);

/* Whether the link from `src` to `dst` is cut at `time`. */
bool sgp_faults_is_cut(const sgp_faults_t *faults, int src, int dst, uint64_t time);

/* When the rank last ran on after a stall, not after `time`; 0: it has not stood still. */
uint64_t sgp_faults_resumed(const sgp_faults_t *faults, int seat, uint64_t time);

/* The next time after `time` at which a silence begins to last `length`, or may end. */
uint64_t sgp_faults_next_edge(const sgp_faults_t *faults, uint64_t length, uint64_t time);

#endif
