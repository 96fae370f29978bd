/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks on the hosts of a cluster that SimGrid simulates: what they send is real, the time it takes is not.
 *
 * A rank is an actor, its agent a second one on the same host. Payloads are carried as they are, and take
 * the time of `scale` times their bytes on the links between the two hosts, which all that is under way at a
 * time shares fairly. Vectors of different steps take turns at their sender and at their receiver, as over tcp
 * (transport/tcp/scheduler.h): one passes whole when none of another step does at either end. So a small vector
 * stands for a large model. The actors of a simulation take turns on one thread, and the same input gives the
 * same run.
 *
 * SimGrid simulates one cluster in the life of a process. What it refuses (a platform's file that does not
 * parse) ends the process, after lines of SimGrid's on standard error: whoever wants to go on runs it in a
 * child. */
#ifndef SGP_TRANSPORT_SIMULATED_SIMULATED_H
#define SGP_TRANSPORT_SIMULATED_SIMULATED_H

#include "transport/transport.h"

typedef struct sgp_simulated sgp_simulated_t;

typedef struct sgp_simulated_options {
    const char *platform; /* SimGrid's file; rank r is on host r in the natural order of names */
    int size;             /* ranks; required, >= 1 */
    size_t chunk_bytes;   /* of real payload, a multiple of 64; 0: 256 KiB */
    size_t vector;     /* numbers in the vector that stands for a model; 0: nothing stands for more
                              than itself */
    double scale;      /* simulated bytes for one of payload that is not SGP_ENCODING_BYTES; 0: 1 */
    double room_chunk; /* simulated bytes of a chunk, in which room is counted; 0: chunk_bytes */

    /* Of a message, on top of the platform's, when it has left the links behind: a platform's latency belongs
     * to a message's turn on them. */
    double latency_seconds;

    /* The messages of a rank leave one after the other; otherwise those of a step share its link, as
     * connections do. */
    bool one_by_one;

    /* Bytes a second: one by one at that rate, whatever else is under way, and without the platform's links.
     * Where everybody sends everybody as much at a time, links into nodes are not what limits, and n (n - 1)
     * messages at a time take SimGrid far longer. 0: the platform's links. */
    double line_rate;

    double copy_seconds;   /* a simulated byte takes to be written into a message, */
    double absorb_seconds; /*   and to be absorbed from one */
    double notice_seconds; /* until the others learn that a rank is lost */
    size_t stack_bytes;    /* of a rank; 0: 64 KiB, and more for many ranks */
    bool threads;          /* actors are threads that take turns: for sanitizers */
} sgp_simulated_options_t;

/* Whether SimGrid can be had at all, and the module's table is of this version. SGP_ERR_UNSUPPORTED, logged. */
sgp_status_t sgp_simulated_load(void);

/* Once in a process. Sets *cluster only on success. SGP_ERR_INVALID, SGP_ERR_UNSUPPORTED (there is no
 * SimGrid), SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_simulated_create(const sgp_simulated_options_t *options,
                                  sgp_simulated_t **cluster);

/* The transport of a rank, for its actor; owned by the cluster: its destroy only marks the rank as gone (as
 * lost, if it did not leave before). */
sgp_transport_t *sgp_simulated_transport(sgp_simulated_t *cluster, int rank);

/* The actor of a rank, which run starts. body ends with its transport left or destroyed. */
void sgp_simulated_actor(sgp_simulated_t *cluster, int rank,
                         void (*body)(sgp_transport_t *transport, void *context), void *context);

/* Runs all actors to their end. */
void sgp_simulated_run(sgp_simulated_t *cluster);

/* From a rank's own context: asleep until then, whatever arrives; its agent goes on. Nanoseconds. */
void sgp_simulated_sleep(sgp_transport_t *transport, uint64_t until);

/* From a rank's own context: until all ranks have come or are gone; its agent goes on. Takes no time itself and
 * sends nothing: for measuring, not for algorithms. */
void sgp_simulated_meet(sgp_transport_t *transport);

/* Of the route between two ranks: seconds, bytes a second. */
void sgp_simulated_route(const sgp_simulated_t *cluster, int src, int dst, double *latency,
                         double *bandwidth);

/* Simulated bytes that a rank has sent. */
double sgp_simulated_sent(const sgp_transport_t *transport);

/* After run. NULL is fine. */
void sgp_simulated_destroy(sgp_simulated_t *cluster);

#endif
