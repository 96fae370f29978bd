/* SPDX-License-Identifier: Apache-2.0 */
/* The transport `simulated`: ranks on the hosts of a cluster that SimGrid simulates. Messages are real, the time they
 * take is simulated. Called by src/simulate and tests; it never reads the machine's clock, and starts no thread.
 *
 * A rank is an actor, its agent a second one on the same host. A payload travels unchanged and takes the time of
 * `scale` times its bytes on the links between the two hosts, which all transfers under way share fairly: a small
 * vector stands for a large model. Vectors of different steps take turns at their sender and at their receiver, as over
 * tcp (transport/tcp/scheduler.h): one passes whole when no vector of another step passes at either end. The actors of a
 * simulation take turns on one thread, so the same input gives the same run.
 *
 * SimGrid simulates one cluster per process. Input that it refuses, such as a platform file that does not parse, ends
 * the process after SimGrid's lines on standard error: run it in a child process to survive that. */
#ifndef SGP_TRANSPORT_SIMULATED_SIMULATED_H
#define SGP_TRANSPORT_SIMULATED_SIMULATED_H

#include "transport/transport.h"

typedef struct sgp_simulated sgp_simulated_t;

typedef struct sgp_simulated_options {
    const char *platform; /* SimGrid's file; rank r is on host r in the natural order of names */
    int size;             /* ranks; required, >= 1 */
    size_t chunk_bytes;   /* of real payload, a multiple of 64; 0: 256 KiB */
    size_t vector; /* numbers in the vector that stands for a model; 0: no message stands for more
                          than itself */
    double scale;  /* simulated bytes per byte of payload, except SGP_ENCODING_BYTES; 0: 1 */
    double room_chunk; /* simulated bytes of a chunk of room; 0: chunk_bytes */

    /* Added to each message after its transfer. The platform's own latency is part of a message's turn on the
     * links. */
    double latency_seconds;

    /* The messages of a rank leave one after the other; false: those of one step share its link, as connections
     * do. */
    bool one_by_one;

    /* Bytes per second: each rank's messages leave one by one at this rate, independent of all others and of the
     * platform's links. For exchanges of equal parts between all ranks: there the links into nodes are not the limit,
     * and SimGrid needs far longer for n (n - 1) messages at a time. 0: the platform's links. */
    double line_rate;

    double copy_seconds;   /* per simulated byte written into a message */
    double absorb_seconds; /* per simulated byte absorbed from one */
    double notice_seconds; /* from a rank's loss until the others know of it */
    size_t stack_bytes;    /* of a rank; 0: 64 KiB, and more for many ranks */
    bool threads;          /* actors are threads that take turns: for sanitizers */
} sgp_simulated_options_t;

/* Loads SimGrid's module. SGP_ERR_UNSUPPORTED, logged: there is none, or it is of another version of sgp. */
sgp_status_t sgp_simulated_load(void);

/* Once per process. Sets *cluster only on success. SGP_ERR_INVALID, SGP_ERR_NOT_FOUND (no such platform file),
 * SGP_ERR_UNSUPPORTED (no SimGrid), SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_simulated_create(const sgp_simulated_options_t *options,
                                  sgp_simulated_t **cluster);

/* The transport of a rank, for its actor; owned by the cluster: its destroy only marks the rank as gone (as
 * lost, if it did not leave before). */
sgp_transport_t *sgp_simulated_transport(sgp_simulated_t *cluster, int rank);

/* Gives a rank its actor, which sgp_simulated_run starts. body must leave or destroy its transport before it returns. */
void sgp_simulated_actor(sgp_simulated_t *cluster, int rank,
                         void (*body)(sgp_transport_t *transport, void *context), void *context);

/* Returns when all actors have ended. */
void sgp_simulated_run(sgp_simulated_t *cluster);

/* From a rank's first context: sleeps until then (nanoseconds), whatever arrives; its agent goes on. */
void sgp_simulated_sleep(sgp_transport_t *transport, uint64_t until);

/* From a rank's first context: sleeps until each rank is in this call or gone; its agent goes on. Takes no simulated time
 * and sends nothing: for measurements, not for algorithms. */
void sgp_simulated_barrier(sgp_transport_t *transport);

/* The route between two ranks: seconds, bytes per second. */
void sgp_simulated_route(const sgp_simulated_t *cluster, int src, int dst, double *latency,
                         double *bandwidth);

/* Simulated bytes that a rank has sent. */
double sgp_simulated_sent(const sgp_transport_t *transport);

/* After run. NULL is fine. */
void sgp_simulated_destroy(sgp_simulated_t *cluster);

#endif
