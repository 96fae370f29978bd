/* SPDX-License-Identifier: Apache-2.0 */
/* The transport `loopback`: ranks as threads of one process, joined by a hub. Called by the program and by tests; its
 * messages never leave the process.
 *
 * With virtual time the run is a simulation: time stands still while any rank works, and jumps to the next arrival or
 * deadline when all ranks sleep. So delays cost nothing, and the same seed gives the same run, in whatever order the
 * operating system runs the threads. */
#ifndef SGP_TRANSPORT_LOOPBACK_LOOPBACK_H
#define SGP_TRANSPORT_LOOPBACK_LOOPBACK_H

#include "transport/transport.h"

typedef struct sgp_loopback sgp_loopback_t;

/* Faults of a run in virtual time. Time stands still while a rank works, so a fault at a time finds all ranks asleep. */
typedef enum sgp_fault_kind {
    SGP_FAULT_KILL,         /* of `seat` at from_ns */
    SGP_FAULT_KILL_AT_CALL, /* of `seat` as it makes its call number `call`, which has no effect any more */
    SGP_FAULT_STALL, /* `seat` does not run for length_ns from from_ns on; chunks arrive meanwhile */
    SGP_FAULT_CUT, /* of the link from `seat` to `other`, for length_ns from from_ns on: chunks under way
                               then, or sent, arrive after it */
    SGP_FAULT_CUT_BOTH, /* and that from `other` to `seat` */
} sgp_fault_kind_t;

/* For length_ns. A rank that is stalled for good runs on once all others have ended. */
#define SGP_FOR_GOOD UINT64_MAX

/* A rank that is killed is lost for all others at once, but for those to which its link is cut: for them after that. Chunks that it had committed arrive; an unfinished message stays
 * torn. Its thread runs on, without effect on others, and must come to its end: `now` returns UINT64_MAX, wait, pause
 * and receive return at once, wait and send_begin with SGP_ERR_PEER_LOST. */
typedef struct sgp_loopback_fault {
    sgp_fault_kind_t kind;
    int seat, other;
    uint64_t from_ns, length_ns; /* virtual time */
    uint64_t call;               /* counted from 1, as by sgp_loopback_calls */
} sgp_loopback_fault_t;

typedef struct sgp_loopback_options {
    int size;           /* ranks at the start; required, >= 1 */
    int seats;          /* ranks at a time, with newcomers (sgp_loopback_join); 0: size */
    size_t chunk_bytes; /* a multiple of 64; 0: 256 KiB */
    size_t capacity;    /* chunks that one rank may have under way; 0: no limit */
    bool virtual_time;  /* false: real time, and messages arrive at once */
    bool
        one_at_a_time; /* with virtual time: of all contexts one runs until it sleeps, then the next one, in an order
                              drawn from the seed. So calls that end a rank, too, give the same run each time, once all
                              ranks have slept for the first time */
    uint64_t seed;         /* of delays and losses */
    uint64_t delay_min_ns; /* with virtual time: each chunk's delay is drawn from [min, max]; */
    uint64_t delay_max_ns; /*   chunks are reordered if min < max */
    double loss;           /* probability that a message is lost, with all its chunks */
    const sgp_loopback_fault_t *faults; /* (fault_count) copied; they need virtual time */
    int fault_count;
    uint64_t
        suspect_ns; /* a rank that another has not heard for so long, for a fault, is silent; 0: 500 ms */
    uint64_t dead_ns; /* and lost for it after so long; 0: never */
} sgp_loopback_options_t;

/* Sets *hub only on success. SGP_ERR_INVALID (logged), SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_loopback_create(const sgp_loopback_options_t *options, sgp_loopback_t **hub);

/* The transport of a rank, for one thread; owned by the hub. Its destroy marks the rank as gone: as lost, unless it has
 * left before. Of a seat that is absent it is nobody's until sgp_loopback_join. */
sgp_transport_t *sgp_loopback_transport(sgp_loopback_t *hub, int rank);

/* A newcomer takes a seat that is absent, or whose member is gone and has destroyed its transport: this call waits for
 * that, in real time. Its incarnation is the next one of the seat. It is elastic, and begins with the fates of all ranks
 * as they are; each of these sends to it and hears it once it has opened the seat. Its thread counts as working from now
 * on, so in virtual time call this from a rank that works, whose thread starts the newcomer's: then the same seed gives
 * the same run. Sets *transport, the hub's, only on success. SGP_ERR_INVALID (a member is there, or no such seat),
 * SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_loopback_join(sgp_loopback_t *hub, int seat, sgp_transport_t **transport);

/* The calls of a rank so far that a kill can hit: those that begin, continue, send or abandon a message, receive or release
 * a chunk, take back, wait or pause. In virtual time the same in each run of the same options and code, for a rank
 * without an agent. */
uint64_t sgp_loopback_calls(sgp_transport_t *transport);

/* Call when no thread uses the hub's transports any more. NULL is fine. */
void sgp_loopback_destroy(sgp_loopback_t *hub);

#endif
