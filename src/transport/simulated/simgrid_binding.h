/* SPDX-License-Identifier: Apache-2.0 */
/* What the transport needs of SimGrid, as a table of functions.
 *
 * The module libsgp-simgrid.so holds binding.c and exports this table alone; it is loaded at run time, so that
 * libsgp and the program need no SimGrid (as transport/mpi/mpi_binding.h). It calls nothing of libsgp.
 *
 * Times are in seconds. All actors of a simulation take turns on one thread, and one gives way to others
 * in the calls that say so and nowhere else. What SimGrid cannot do, it reports on standard error, and ends
 * the process. */
#ifndef SGP_TRANSPORT_SIMULATED_SIMGRID_BINDING_H
#define SGP_TRANSPORT_SIMULATED_SIMGRID_BINDING_H

#include <stdbool.h>
#include <stddef.h>

#define SGP_SIMGRID_BINDING        sgp_simgrid_binding_1 /* the table's name, changed with its layout */
#define SGP_SIMGRID_BINDING_SYMBOL "sgp_simgrid_binding_1"

typedef struct sgp_simgrid_binding {
    /* Once in a process. threads: actors are threads that take turns, for sanitizers. Reads the platform's
     * file. */
    void (*start)(const char *platform, bool threads);

    /* Hosts are numbered in the natural order of their names: node-2 before node-10. */
    int (*hosts)(void);

    /* The route from one host to another: the sum of its latencies, and the least bandwidth in bytes a
     * second. */
    void (*route)(int src, int dst, double *latency, double *bandwidth);

    /* A new actor that calls body(context) on its host. Gives way where an actor calls it. */
    void (*actor)(int host, size_t stack_bytes, void (*body)(void *context), void *context);
    void *(*self)(void); /* the context of the calling actor */

    /* Until all actors have ended. */
    void (*run)(void);

    double (*now)(void);
    void (*sleep)(double seconds); /* gives way */

    /* Semaphores start at zero. acquire gives way; seconds below 0: no limit; false: the time has passed. */
    void *(*semaphore)(void);
    bool (*acquire)(void *semaphore, double seconds);
    void (*release)(void *semaphore); /* gives way */
    void (*destroy)(void *semaphore);

    /* Sends so many bytes from host to host; returns when they have arrived. Gives way. */
    void (*carry)(int src, int dst, double bytes);
} sgp_simgrid_binding_t;

#endif
