/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of SimGrid that the transport uses, as a table.
 *
 * The module libsgp-simgrid.so consists of simgrid_binding.c and exports this table alone. It is loaded at run time, so
 * that libsgp and the program do not need SimGrid (as transport/mpi/mpi_binding.h). It never calls libsgp.
 *
 * Times are in seconds. All actors of a simulation take turns on one thread; an actor yields to others only in the
 * calls that say so. SimGrid reports its errors on standard error and ends the process. */
#ifndef SGP_TRANSPORT_SIMULATED_SIMGRID_BINDING_H
#define SGP_TRANSPORT_SIMULATED_SIMGRID_BINDING_H

#include <stdbool.h>
#include <stddef.h>

#define SGP_SIMGRID_BINDING        sgp_simgrid_binding_1 /* the table's name, changed with its layout */
#define SGP_SIMGRID_BINDING_SYMBOL "sgp_simgrid_binding_1"

typedef struct sgp_simgrid_binding {
    /* Once per process. Reads the platform's file. threads: actors are threads that take turns, for sanitizers. */
    void (*start)(const char *platform, bool threads);

    /* Hosts are numbered in the natural order of their names: node-2 before node-10. */
    int (*hosts)(void);

    /* The route from one host to another: the sum of its latencies, and the least bandwidth in bytes per
     * second. */
    void (*route)(int src, int dst, double *latency, double *bandwidth);

    /* Starts an actor that calls body(context) on its host. Yields if an actor calls it. */
    void (*actor)(int host, size_t stack_bytes, void (*body)(void *context), void *context);
    void *(*self)(void); /* the context of the calling actor */

    /* Returns when all actors have ended. */
    void (*run)(void);

    double (*now)(void);
    void (*sleep)(double seconds); /* yields */

    /* Semaphores start at zero. acquire yields; seconds below 0: no limit; false: the time has passed. */
    void *(*semaphore)(void);
    bool (*acquire)(void *semaphore, double seconds);
    void (*release)(void *semaphore); /* yields */
    void (*destroy)(void *semaphore);

    /* Sends so many bytes from host to host; returns when they have arrived. Yields. */
    void (*transfer)(int src, int dst, double bytes);
} sgp_simgrid_binding_t;

#endif
